//! What issues the certificates of a measurement, and when is it ready?

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kube::{
    Api,
    api::{DynamicObject, PostParams},
    core::GroupVersionKind,
    discovery::ApiResource,
};
use serde_json::{Value, json};

use super::load::Kind;
use crate::{
    Bed,
    acme::Pebble,
    apply::apply,
    authority::Authority,
    operator::Operator,
    process::{tail, wait::until},
};

/// The name of one of the Issuers.
pub(super) fn name(index: usize) -> String {
    format!("bench-{index}")
}

/// Makes so many Issuers in a namespace, with what they need, and waits until they can be used.
pub(super) async fn prepare(
    bed: &Bed,
    namespace: &str,
    kind: Kind,
    count: usize,
    pebble: &Pebble,
    operator: &Operator,
) -> Result<()> {
    let mut objects = match kind {
        Kind::AcmeDns01 => vec![bed.tsig_secret("tsig")],
        Kind::AcmeHttp01 | Kind::Ca | Kind::SelfSigned => Vec::new(),
    };
    for index in 0..count {
        objects.extend(issuer(bed, kind, &name(index), pebble)?);
    }
    apply(bed.client(), Some(namespace), &objects).await?;
    for index in 0..count {
        ready(bed, namespace, &name(index), operator).await?;
    }
    policies_in_force(bed, namespace).await
}

/// An Issuer, and the Secret with its CA if it has one.
fn issuer(bed: &Bed, kind: Kind, name: &str, pebble: &Pebble) -> Result<Vec<Value>> {
    let issuer = |spec: Value| {
        json!({
            "apiVersion": "cert-manager.io/v1",
            "kind": "Issuer",
            "metadata": { "name": name },
            "spec": spec,
        })
    };
    let acme = |solver: Value| bed.acme_issuer(name, pebble, &json!([solver]));
    Ok(match kind {
        Kind::AcmeDns01 => vec![acme(json!({ "dns01": bed.dns01("tsig") }))],
        Kind::AcmeHttp01 => vec![acme(json!({ "http01": bed.http01() }))],
        Kind::Ca => {
            let ca = Authority::new("bench CA")?;
            let secret = json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "kubernetes.io/tls",
                "metadata": { "name": name },
                "stringData": { "tls.crt": ca.pem(), "tls.key": ca.key() },
            });
            vec![secret, issuer(json!({ "ca": { "secretName": name } }))]
        }
        Kind::SelfSigned => vec![issuer(json!({ "selfSigned": {} }))],
    })
}

async fn ready(bed: &Bed, namespace: &str, name: &str, operator: &Operator) -> Result<()> {
    let issuers = api(bed, namespace, "Issuer");
    until("the Issuer", Duration::from_secs(30), async || {
        let issuer = issuers.get(name).await?;
        let conditions = issuer.data["status"]["conditions"].as_array().cloned();
        let ready = conditions
            .into_iter()
            .flatten()
            .find(|one| one["type"] == "Ready");
        match ready {
            Some(ready) if ready["status"] == "True" => Ok(()),
            Some(ready) => bail!("{}", ready["message"]),
            None => bail!("it has no Ready condition"),
        }
    })
    .await
    .with_context(|| tail(&operator.log()))
}

/// For some moments after they are installed, the API server answers 503 for what policies look at:
/// tries would be counted that no cluster in use sees.
async fn policies_in_force(bed: &Bed, namespace: &str) -> Result<()> {
    let requests = api(bed, namespace, "CertificateRequest");
    let request: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "CertificateRequest",
        "metadata": { "generateName": "in-force-" },
        "spec": { "request": "YQ==", "issuerRef": { "name": name(0) } },
    }))?;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    until("policies in force", Duration::from_secs(30), async || {
        let made = requests.create(&dry, &request).await?;
        ensure!(
            made.data["spec"]["username"].is_string(),
            "no requester is written down"
        );
        Ok(())
    })
    .await
}

fn api(bed: &Bed, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let version = GroupVersionKind::gvk("cert-manager.io", "v1", kind);
    let resource = ApiResource::from_gvk(&version);
    Api::namespaced_with(bed.client().clone(), namespace, &resource)
}
