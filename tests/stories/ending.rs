//! What becomes of a certificate whose namespace went while nobody looked?

use anyhow::{Context, Result, ensure};
use certwright::api::{issuance::IssuanceState, issuer::ClusterIssuer};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, api::DeleteParams};
use serde_json::json;
use testbed::{Bed, process::wait::until};

use crate::{scene::Scene, site::SOON};

/// The account of a ClusterIssuer outlives the namespace: its key signs for the revocation, although
/// the operator was down from beginning to end.
pub(crate) async fn a_cluster_issuer_outlives_it(bed: &Bed) -> Result<()> {
    const ISSUER: &str = "ending-cluster";
    let scene = Scene::new(bed, ISSUER).await?;
    let args = ["--deletion-delay=1s"];
    let operator = scene.wide_operator(&args).await?;
    let mut key = bed.tsig_secret(&format!("{ISSUER}-tsig"));
    key["metadata"]["namespace"] = json!("certwright");
    let solvers = json!([{"dns01": bed.dns01(&format!("{ISSUER}-tsig"))}]);
    let mut issuer = bed.acme_issuer(ISSUER, &scene.site.pebble, &solvers);
    issuer["kind"] = json!("ClusterIssuer");
    bed.apply_all(&[key, issuer]).await?;
    let of_all = json!({"issuerRef": {"name": ISSUER, "kind": "ClusterIssuer"}});
    scene.ask("www", of_all).await?;
    let host = scene.host("www");
    let serial = scene.site.issued("www", &[&host]).await?.leaf.serial;
    ensure!(operator.stop().await?.success());

    let namespaces: Api<Namespace> = Api::all(bed.client().clone());
    let name = scene.site.namespace.name();
    namespaces.delete(name, &DeleteParams::default()).await?;
    until("the namespace to go", SOON * 2, async || {
        ensure!(namespaces.get_opt(name).await?.is_none(), "it stands");
        Ok(())
    })
    .await?;
    ensure!(scene.at_ca(&serial).await? == "Valid");
    let operator = scene.wide_operator(&args).await?;
    let done = scene
        .becomes(&serial, IssuanceState::Revoked, &operator)
        .await?;
    let revocation = done.status.and_then(|status| status.revocation);
    let revocation = revocation.context("no revocation")?;
    ensure!(revocation.signed_by.as_deref() == Some("account key"));
    ensure!(revocation.by == format!("deletion of Certificate {name}/www"));
    ensure!(scene.at_ca(&serial).await? == "5");
    ensure!(operator.stop().await?.success());

    let issuers: Api<ClusterIssuer> = Api::all(bed.client().clone());
    issuers.delete(ISSUER, &DeleteParams::default()).await?;
    let secrets: Api<Secret> = scene.secrets_of_operator();
    for part in ["account", "tsig"] {
        let name = format!("{ISSUER}-{part}");
        secrets.delete(&name, &DeleteParams::default()).await?;
    }
    Ok(())
}
