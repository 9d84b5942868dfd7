//! What keeps a certificate from going with its Certificate, beside an Ingress?

use anyhow::{Context, Result, ensure};
use certwright::api::{
    certificate::Certificate,
    issuance::{Issuance, IssuanceState},
    names::annotation,
};
use futures::future::try_join_all;
use k8s_openapi::{
    api::core::v1::Secret,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};
use testbed::{
    Bed,
    operator::Operator,
    process::{tail, wait::until},
};

use crate::{
    register::{OPERATORS, Register, number},
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
    let mut operator = scene.wide_operator(&["--deletion-delay=1s"]).await?;
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
            // Nobody remembers why it was held.
            operator.kill().await?;
            operator = scene.wide_operator(&["--deletion-delay=1s"]).await?;
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

/// Most of what there is was deleted while nobody looked: it is held, by whoever comes next too, until
/// somebody confirms that it was meant, or has it back.
pub(crate) async fn the_brake_outlives_a_restart(bed: &Bed) -> Result<()> {
    const MANY: usize = 11;
    let register = Register::new(bed, "brake-restart", &["cert sign", "crl sign"]).await?;
    let mut operator = register.operator().await?;
    let names: Vec<String> = (0..=MANY).map(|number| format!("c{number}")).collect();
    let issued = names
        .iter()
        .map(|name| register.issued(name, json!({"name": "ca"})));
    try_join_all(issued).await?;
    ensure!(operator.stop().await?.success());
    for name in &names[..MANY] {
        register.delete(name).await?;
    }
    for _ in 0..2 {
        operator = register.operator().await?;
        until("all to be held", SOON, async || {
            let count = braked(&register).await?.len();
            ensure!(count == MANY, "{count} are held");
            let metrics = operator.metrics().await?;
            ensure!(metrics.contains("certwright_revocation_brake 1"));
            Ok(())
        })
        .await
        .with_context(|| tail(&operator.log()))?;
        operator.kill().await?;
    }
    ensure!(register.list("a list", |_| true).await?.entries.is_empty());
    let operator = register.operator().await?;
    let serial = register.serial("c0").await?;
    register.issued("c0", json!({"name": "ca"})).await?;
    ensure!(register.serial("c0").await? == serial, "another was issued");
    let records: Api<Issuance> = Api::namespaced(bed.client().clone(), OPERATORS);
    let patch = Patch::Merge(json!({"metadata": {"annotations": {annotation::CONFIRM: "true"}}}));
    for name in braked(&register).await? {
        records
            .patch(&name, &PatchParams::default(), &patch)
            .await?;
    }
    let revoked = MANY - 1;
    let list = register
        .list("the others on it", |list| list.entries.len() == revoked)
        .await?;
    ensure!(!list.entries.contains_key(&number(&serial)?), "{list:?}");
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// The names of the records that are held by the brake.
async fn braked(register: &Register<'_>) -> Result<Vec<String>> {
    let records = register.records().await?.into_values();
    let held = records.filter(|record| {
        let status = record.status.clone().unwrap_or_default();
        let message = status.message.unwrap_or_default();
        status.state == Some(IssuanceState::Held) && message.contains(annotation::CONFIRM)
    });
    Ok(held.map(|record| record.name_any()).collect())
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
    .with_context(|| tail(&operator.log()))?;
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
