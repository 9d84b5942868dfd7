//! Does a Certificate become a key pair in a Secret?

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use testbed::{
    Bed,
    acme::{Pebble, PebbleOptions},
    bed::ZONE,
    follow,
    namespace::Namespace,
    operator::OperatorOptions,
    process::wait::until,
    verify,
};

const SOON: Duration = Duration::from_secs(60);

/// Two names by HTTP-01, through the ingress controller.
pub(crate) async fn by_http01(bed: &Bed) -> Result<()> {
    let namespace = bed.namespace("http01").await?;
    let pebble = bed
        .pebble("issue-http01", &PebbleOptions::default())
        .await?;
    let names = ["a", "b"].map(|name| format!("{name}.{}.{ZONE}", namespace.name()));
    for name in &names {
        bed.host(name)?;
    }
    let solvers = json!([{ "http01": bed.http01() }]);
    let issuer = bed.acme_issuer("acme", &pebble, &solvers);
    namespace
        .apply_all(&[issuer, certificate("web", &names)])
        .await?;
    namespace.ready("web", SOON).await?;
    check(&namespace, &pebble, "web", &names).await
}

/// A wildcard and the name above it at once: two challenges with one record name.
pub(crate) async fn by_dns01(bed: &Bed) -> Result<()> {
    let namespace = bed.namespace("dns01").await?;
    let pebble = bed.pebble("issue-dns01", &PebbleOptions::default()).await?;
    let apex = format!("{}.{ZONE}", namespace.name());
    let names = [format!("*.{apex}"), apex];
    let solvers = json!([{ "dns01": bed.dns01("tsig") }]);
    let issuer = bed.acme_issuer("acme", &pebble, &solvers);
    let objects = [bed.tsig_secret("tsig"), issuer, certificate("wild", &names)];
    namespace.apply_all(&objects).await?;
    namespace.ready("wild", SOON).await?;
    check(&namespace, &pebble, "wild", &names).await?;

    // Who deletes the Secret gets a new certificate.
    let secrets = namespace.api::<Secret>();
    let before = secrets.get("wild").await?.data;
    secrets.delete("wild", &DeleteParams::default()).await?;
    until("a new Secret", SOON, async || {
        let after = secrets.get("wild").await?.data;
        ensure!(after != before, "the same again");
        Ok(())
    })
    .await?;
    check(&namespace, &pebble, "wild", &names).await
}

/// An operator that is asked to stop stops; the next one takes up where it left off.
pub(crate) async fn another_operator_goes_on(bed: &Bed) -> Result<()> {
    let namespace = bed.namespace("restart").await?;
    let pebble = bed
        .pebble("issue-restart", &PebbleOptions::default())
        .await?;
    let names = [format!("{}.{ZONE}", namespace.name())];
    let solvers = json!([{ "dns01": bed.dns01("tsig") }]);
    let issuer = bed.acme_issuer("acme", &pebble, &solvers);

    pebble.unplug();
    let first = bed
        .operator(&OperatorOptions {
            name: "first".to_owned(),
            ..alone()
        })
        .await?;
    let objects = [bed.tsig_secret("tsig"), issuer, certificate("late", &names)];
    namespace.apply_all(&objects).await?;
    let seen = |state: &follow::State| !state.reason.is_empty();
    follow::wait(bed.client(), namespace.name(), "late", SOON, seen).await?;
    ensure!(
        first.stop().await?.success(),
        "the operator did not stop in order"
    );

    pebble.plug().await?;
    let second = bed
        .operator(&OperatorOptions {
            name: "second".to_owned(),
            ..alone()
        })
        .await?;
    namespace
        .ready("late", SOON)
        .await
        .with_context(|| second.log())?;
    check(&namespace, &pebble, "late", &names).await?;
    assert_eq!(pebble.issued().await.len(), 1);
    Ok(())
}

/// Without leader election, so that nobody waits for the Lease of an operator that is gone.
fn alone() -> OperatorOptions {
    OperatorOptions {
        args: vec!["--leader-elect=false".to_owned()],
        ..OperatorOptions::default()
    }
}

fn certificate(name: &str, names: &[String]) -> Value {
    json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": { "name": name },
        "spec": { "secretName": name, "dnsNames": names, "issuerRef": { "name": "acme" } },
    })
}

async fn check(
    namespace: &Namespace,
    pebble: &Pebble,
    secret: &str,
    names: &[String],
) -> Result<()> {
    let stored = namespace.api::<Secret>().get(secret).await?;
    verify::secret(
        &stored.data.unwrap_or_default(),
        &pebble.roots().await?,
        names,
    )?;
    Ok(())
}
