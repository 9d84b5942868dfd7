//! What keeps a certificate from going with its Certificate, beside an Ingress?

use anyhow::{Context, Result, ensure};
use certwright::api::{certificate::Certificate, issuance::IssuanceState};
use k8s_openapi::{
    api::core::v1::Secret,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, ObjectMeta, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};
use testbed::{Bed, operator::Operator, process::wait::until};

use crate::{
    scene::Scene,
    site::{SOON, certificate},
};

/// A Secret that a Gateway names, of this namespace or another, is held until none does any more.
pub(crate) async fn a_gateway_holds_it(bed: &Bed) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(bed.client().clone());
    bed.apply_all(&[gateways()]).await?;
    let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "Gateway");
    let kind = ApiResource::from_gvk_with_plural(&kind, "gateways");
    let all: Api<DynamicObject> = Api::all_with(bed.client().clone(), &kind);
    until("Gateways to be served", SOON, async || {
        all.list(&Default::default())
            .await
            .map(drop)
            .map_err(Into::into)
    })
    .await?;
    let outcome = held_by_gateways(bed, &kind).await;
    let name = "gateways.gateway.networking.k8s.io";
    definitions.delete(name, &DeleteParams::default()).await?;
    until("the definition to go", SOON, async || {
        ensure!(definitions.get_opt(name).await?.is_none(), "it stands");
        Ok(())
    })
    .await?;
    outcome
}

async fn held_by_gateways(bed: &Bed, kind: &ApiResource) -> Result<()> {
    let scene = Scene::new(bed, "gateway").await?;
    let operator = scene.wide_operator(&["--deletion-delay=1s"]).await?;
    let serial = scene.issued("www").await?.leaf.serial;
    let own = scene.site.namespace.name();
    let elsewhere = bed.namespace("gateway-infra").await?;
    let gateway = |name: &str, reference: Value| {
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"name": name},
            "spec": {"listeners": [{"name": "https", "tls": {"certificateRefs": [reference]}}]},
        })
    };
    let here = gateway("near", json!({"name": "www"}));
    scene.site.namespace.apply_all(&[here]).await?;
    let there = gateway("far", json!({"name": "www", "namespace": own}));
    elsewhere.apply_all(&[there]).await?;
    scene.delete("www").await?;
    let places = [(own, "near"), (elsewhere.name(), "far")];
    is_held(&scene, &serial, " names the Secret", &operator).await?;
    for (left, (namespace, name)) in places.into_iter().enumerate() {
        let gateways: Api<DynamicObject> =
            Api::namespaced_with(bed.client().clone(), namespace, kind);
        gateways.delete(name, &DeleteParams::default()).await?;
        if left == 0 {
            let far = format!("Gateway {}/far names the Secret", elsewhere.name());
            is_held(&scene, &serial, &far, &operator).await?;
        }
    }
    scene
        .becomes(&serial, IssuanceState::Revoked, &operator)
        .await?;
    scene.secret_goes("www").await?;
    ensure!(scene.at_ca(&serial).await? == "5");
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// A copy of the Secret that another Certificate elsewhere names holds it too.
pub(crate) async fn a_copy_elsewhere_holds_it(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "copy").await?;
    let operator = scene.wide_operator(&["--deletion-delay=1s"]).await?;
    let issued = scene.issued("www").await?;
    let serial = issued.leaf.serial;
    let other = bed.namespace("copy-kept").await?;
    let mut copy = issued.secret;
    copy.metadata = ObjectMeta {
        name: Some("mirror".to_owned()),
        labels: copy.metadata.labels,
        annotations: copy.metadata.annotations,
        ..ObjectMeta::default()
    };
    let secrets: Api<Secret> = other.api();
    secrets.create(&PostParams::default(), &copy).await?;
    // Of an issuer that there is not: the copy stays as it is.
    let spec = json!({"dnsNames": [scene.host("www")], "issuerRef": {"name": "nobody"}});
    other.apply_all(&[certificate("mirror", spec)?]).await?;
    scene.delete("www").await?;
    let why = format!(
        "a Certificate keeps the same certificate in Secret {}/mirror",
        other.name()
    );
    is_held(&scene, &serial, &why, &operator).await?;
    ensure!(scene.has_secret("www").await?);
    let certificates: Api<Certificate> = other.api();
    certificates
        .delete("mirror", &DeleteParams::default())
        .await?;
    scene
        .becomes(&serial, IssuanceState::Revoked, &operator)
        .await?;
    scene.secret_goes("www").await?;
    // A copy that nobody keeps is not ours to delete.
    ensure!(secrets.get_opt("mirror").await?.is_some());
    ensure!(operator.stop().await?.success());
    Ok(())
}

async fn is_held(scene: &Scene<'_>, serial: &str, why: &str, operator: &Operator) -> Result<()> {
    until(why, SOON, async || {
        let status = scene.record(serial).await?.status.context("no status")?;
        ensure!(status.state == Some(IssuanceState::Held), "{status:?}");
        let message = status.message.unwrap_or_default();
        ensure!(message.contains(why), "{message}");
        Ok(())
    })
    .await
    .with_context(|| testbed::process::tail(&operator.log()))?;
    ensure!(scene.at_ca(serial).await? == "Valid");
    Ok(())
}

/// As much of the definition as names Secrets.
fn gateways() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "gateways.gateway.networking.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": "gateway.networking.k8s.io", "scope": "Namespaced",
            "names": {"kind": "Gateway", "plural": "gateways", "singular": "gateway"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {"spec": {
                        "type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    }},
                }},
            }],
        },
    })
}
