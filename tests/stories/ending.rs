//! What becomes of a certificate whose namespace, or kind, went while nobody looked?

use anyhow::{Context, Result, ensure};
use certwright::api::{certificate::Certificate, issuance::IssuanceState, issuer::ClusterIssuer};
use k8s_openapi::{
    api::core::v1::{Namespace, Secret},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, CustomResourceExt,
    api::{DeleteParams, ObjectMeta, PostParams},
};
use serde_json::json;
use testbed::{Bed, acme::Refusal, process::wait::until};

use crate::{scene::Scene, site::SOON};

/// The account key was copied, and the operator died before the CA took the revocation: whoever comes
/// after the namespace is gone signs by the copy.
pub(crate) async fn the_copy_outlives_the_operator(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "ending-copy").await?;
    let gate = scene.site.pebble.gate().await?;
    let server = json!({"server": gate.directory_url()});
    scene.site.change_issuer(server).await?;
    let args = ["--deletion-delay=1s"];
    let operator = scene.wide_operator(&args).await?;
    let serial = scene.issued("www").await?.leaf.serial;
    gate.refuse_revocations(Refusal {
        status: 500,
        problem: json!({
            "type": "urn:ietf:params:acme:error:serverInternal", "detail": "broken", "status": 500,
        }),
        retry_after: None,
    });
    let namespaces: Api<Namespace> = Api::all(bed.client().clone());
    let name = scene.site.namespace.name();
    namespaces.delete(name, &DeleteParams::default()).await?;
    until("a try to fail", SOON, async || {
        let status = scene.record(&serial).await?.status.unwrap_or_default();
        ensure!(status.state == Some(IssuanceState::Revoking), "{status:?}");
        ensure!(status.tries.is_some(), "{status:?}");
        Ok(())
    })
    .await?;
    operator.kill().await?;
    gone(&namespaces, name).await?;
    gate.admit();
    let operator = scene.wide_operator(&args).await?;
    let done = scene
        .becomes(&serial, IssuanceState::Revoked, &operator)
        .await?;
    let revocation = done.status.and_then(|status| status.revocation);
    let signed_by = revocation.and_then(|revocation| revocation.signed_by);
    ensure!(signed_by.as_deref() == Some("account key"), "{signed_by:?}");
    ensure!(scene.at_ca(&serial).await? == "5");
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// The definition of Certificates went and came while nobody looked: nothing is revoked, and who is put
/// back keeps what it had.
pub(crate) async fn the_definition_went_meanwhile(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "ending-definition").await?;
    let args = ["--deletion-delay=1s"];
    let operator = scene.operator(&args).await?;
    let serial = scene.issued("www").await?.leaf.serial;
    operator.kill().await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(bed.client().clone());
    let name = Certificate::crd_name();
    let mut definition = definitions.get(name).await?;
    definitions.delete(name, &DeleteParams::default()).await?;
    until("the definition to go", SOON, async || {
        ensure!(definitions.get_opt(name).await?.is_none(), "it stands");
        Ok(())
    })
    .await?;
    definition.metadata = ObjectMeta {
        name: Some(name.to_owned()),
        labels: definition.metadata.labels,
        annotations: definition.metadata.annotations,
        ..ObjectMeta::default()
    };
    definition.status = None;
    definitions
        .create(&PostParams::default(), &definition)
        .await?;
    let certificates: Api<Certificate> = scene.site.api();
    until("the kind to be served", SOON, async || {
        let all = certificates.list(&Default::default()).await?;
        ensure!(all.items.is_empty(), "{all:?}");
        Ok(())
    })
    .await?;
    let operator = scene.operator(&args).await?;
    let held = scene
        .becomes(&serial, IssuanceState::Held, &operator)
        .await?;
    let message = held.status.and_then(|status| status.message);
    ensure!(message.is_some_and(|message| message.contains("definition")));
    operator.kill().await?;
    scene.ask("www", json!({})).await?;
    let operator = scene.operator(&args).await?;
    scene
        .becomes(&serial, IssuanceState::Active, &operator)
        .await?;
    let back = scene.site.issued("www", &[&scene.host("www")]).await?;
    ensure!(back.leaf.serial == serial, "another was issued");
    ensure!(scene.at_ca(&serial).await? == "Valid");
    ensure!(operator.stop().await?.success());
    Ok(())
}

async fn gone(namespaces: &Api<Namespace>, name: &str) -> Result<()> {
    until("the namespace to go", SOON * 2, async || {
        ensure!(namespaces.get_opt(name).await?.is_none(), "it stands");
        Ok(())
    })
    .await
}

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
    gone(&namespaces, name).await?;
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
