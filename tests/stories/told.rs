//! Is somebody told who asks for what is not served, and is what the policies need kept?

use anyhow::{Context, Result, ensure};
use certwright::api::request::CertificateRequest;
use k8s_openapi::api::{core::v1::ConfigMap, events::v1::Event};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use serde_json::json;
use testbed::{Bed, operator::OperatorOptions, process::wait::until};

use crate::site::SOON;

/// An Ingress that asks for a certificate by annotation gets an event that says what to do.
pub(crate) async fn an_annotated_ingress(bed: &Bed) -> Result<()> {
    let namespace = bed.namespace("annotated").await?;
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "web", "annotations": {"cert-manager.io/issuer": "le"}},
        "spec": {
            "tls": [{"hosts": ["www.example.com"], "secretName": "www-tls"}],
            "rules": [{"host": "www.example.com"}],
        },
    });
    namespace.apply_all(&[ingress]).await?;
    let events = namespace.api::<Event>();
    until("the event on the Ingress", SOON, async || {
        let all = events.list(&ListParams::default()).await?;
        let told = all.items.iter().any(|event| {
            event.reason.as_deref() == Some("NotSupported")
                && event
                    .note
                    .as_deref()
                    .is_some_and(|note| note.contains("create a Certificate"))
        });
        ensure!(told, "{} events, none of them this one", all.items.len());
        Ok(())
    })
    .await
}

/// The ConfigMap of the approval policy comes back when somebody deletes it, and learns the kinds of
/// other API groups that requests name.
pub(crate) async fn signers_are_kept(bed: &Bed) -> Result<()> {
    let operator = bed.operator(&OperatorOptions::default()).await?;
    let namespace = bed.namespace("signers").await?;
    // Any kind that the API server has serves as an issuer of another group.
    let request = json!({
        "apiVersion": "cert-manager.io/v1", "kind": "CertificateRequest",
        "metadata": {"name": "foreign"},
        "spec": {
            "request": "YQ==",
            "issuerRef": {"name": "x", "group": "networking.k8s.io", "kind": "IngressClass"},
        },
    });
    namespace.apply_all(&[request]).await?;
    let user = bed.operator_user()?;
    let home = user
        .split(':')
        .nth(2)
        .context("the operator is no ServiceAccount")?;
    let maps: Api<ConfigMap> = Api::namespaced(bed.client().clone(), home);
    let all = maps.list(&ListParams::default()).await?;
    let signers = all
        .items
        .into_iter()
        .filter_map(|map| map.metadata.name)
        .find(|name| name.ends_with("-signers"))
        .context("there is no ConfigMap of signers")?;
    let is_whole = async || {
        let data = maps.get(&signers).await?.data.unwrap_or_default();
        let foreign = data
            .get("IngressClass.networking.k8s.io")
            .map(String::as_str);
        ensure!(foreign == Some("ingressclasses/Cluster"), "{data:?}");
        ensure!(data.contains_key("Issuer.cert-manager.io"), "{data:?}");
        Ok(())
    };
    until("the foreign kind", SOON, &is_whole).await?;
    maps.delete(&signers, &DeleteParams::default()).await?;
    until("the ConfigMap again", SOON, &is_whole).await?;
    let requests = namespace.api::<CertificateRequest>();
    requests.delete("foreign", &DeleteParams::default()).await?;
    operator.stop().await?;
    Ok(())
}
