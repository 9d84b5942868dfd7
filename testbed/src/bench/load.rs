//! What work is the operator given, and when is it done?

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api,
    api::{DynamicObject, PostParams},
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

use crate::{
    Bed,
    acme::Pebble,
    apply::said,
    authority::Authority,
    bed::ZONE,
    follow::{self, State, states},
    namespace::Namespace,
    operator::Operator,
    process::tail,
};

/// What issues the certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Pebble, by RFC 2136 updates.
    AcmeDns01,
    /// Pebble, through the ingress controller.
    AcmeHttp01,
    /// A CA in a Secret.
    Ca,
    /// Each signs itself.
    SelfSigned,
}

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct Load {
    /// How many Certificates are created.
    #[arg(long, default_value_t = 100)]
    pub n: usize,
    /// What issues them.
    #[arg(long, value_enum, default_value = "acme-dns01")]
    pub issuer: Kind,
    /// How many namespaces they are spread over.
    #[arg(long, default_value_t = 1)]
    pub namespaces: usize,
    /// The algorithm of their keys.
    #[arg(long, value_enum, default_value = "ecdsa-256")]
    pub key: Key,
    /// Seconds for all of them to become ready.
    #[arg(long, default_value_t = 600)]
    pub patience: u64,
    /// Only measure the operator with nothing to do.
    #[arg(long)]
    pub rest: bool,
    /// Run the operator as built for debugging, which says little about its speed.
    #[arg(long)]
    pub debug_build: bool,
}

/// An algorithm and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Key {
    /// ECDSA on P-256.
    #[value(name = "ecdsa-256")]
    #[serde(rename = "ecdsa-256")]
    Ecdsa256,
    /// RSA with 2048 bits.
    #[value(name = "rsa-2048")]
    #[serde(rename = "rsa-2048")]
    Rsa2048,
}

/// Creates all Certificates and waits for them; how long each took.
pub(super) async fn issue(
    bed: &Bed,
    load: &Load,
    places: &[Namespace],
    operator: &mut Operator,
) -> Result<Vec<Duration>> {
    let (all_created, created) = oneshot::channel();
    let arrivals = arrivals(bed, load, places, operator);
    let create = async {
        let begun: BTreeMap<_, _> = stream::iter(0..load.n)
            .map(async |index| create(bed, load, places, index).await)
            .buffer_unordered(16)
            .try_collect()
            .await?;
        // Only fails when nobody waits any more, because an error came first.
        let _ = all_created.send(());
        anyhow::Ok(begun)
    };
    let (begun, arrived) = futures::try_join!(create, async {
        let arrived = arrivals.await?;
        let _ = created.await;
        Ok(arrived)
    })?;
    begun
        .iter()
        .map(|(name, begun)| {
            let arrived = arrived
                .get(name)
                .context("a Certificate was never seen ready")?;
            Ok(arrived.saturating_duration_since(*begun))
        })
        .collect()
}

/// When each Certificate was first seen ready.
async fn arrivals(
    bed: &Bed,
    load: &Load,
    places: &[Namespace],
    operator: &mut Operator,
) -> Result<BTreeMap<String, Instant>> {
    let watches = places
        .iter()
        .map(|place| states(bed.client(), place.name()).boxed());
    let mut states = stream::select_all(watches);
    let mut arrived = BTreeMap::new();
    let mut last = None;
    let deadline = Instant::now() + Duration::from_secs(load.patience);
    while arrived.len() < load.n {
        match timeout(Duration::from_secs(1), states.next()).await {
            Ok(Some(state)) => match state? {
                State {
                    name, ready: true, ..
                } => drop(arrived.entry(name).or_insert_with(Instant::now)),
                waiting => last = Some(waiting),
            },
            Ok(None) => bail!("the watch of Certificates ended"),
            Err(_) => {
                if let Some(status) = operator.exited()? {
                    bail!("the operator ended, {status}:\n{}", tail(&operator.log()));
                }
            }
        }
        if Instant::now() > deadline {
            let why = last.map_or_else(String::new, |state| {
                format!(
                    "; last seen of {}: {}: {}",
                    state.name, state.reason, state.message
                )
            });
            bail!(
                "{} of {} Certificates are ready after {} s{why}",
                arrived.len(),
                load.n,
                load.patience
            );
        }
    }
    Ok(arrived)
}

async fn create(
    bed: &Bed,
    load: &Load,
    places: &[Namespace],
    index: usize,
) -> Result<(String, Instant)> {
    let name = format!("c{index:05}");
    let place = &places[index % places.len()];
    let (algorithm, size) = match load.key {
        Key::Ecdsa256 => ("ECDSA", 256),
        Key::Rsa2048 => ("RSA", 2048),
    };
    let certificate: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": { "name": name },
        "spec": {
            "secretName": name,
            "dnsNames": [format!("{name}.{}.{ZONE}", place.name())],
            "privateKey": { "algorithm": algorithm, "size": size },
            "issuerRef": { "name": "bench" },
        },
    }))?;
    let begun = Instant::now();
    let api: Api<DynamicObject> =
        Api::namespaced_with(bed.client().clone(), place.name(), &follow::resource());
    api.create(&PostParams::default(), &certificate)
        .await
        .map_err(said)
        .with_context(|| format!("creating Certificate {name}"))?;
    Ok((name, begun))
}

/// The Issuer `bench`, and what it needs.
pub(super) fn issuer(bed: &Bed, kind: Kind, pebble: &Pebble) -> Result<Vec<Value>> {
    let issuer = |spec: Value| {
        json!({
            "apiVersion": "cert-manager.io/v1",
            "kind": "Issuer",
            "metadata": { "name": "bench" },
            "spec": spec,
        })
    };
    let acme = |solver: Value| bed.acme_issuer("bench", pebble, &json!([solver]));
    Ok(match kind {
        Kind::AcmeDns01 => {
            vec![
                bed.tsig_secret("tsig"),
                acme(json!({ "dns01": bed.dns01("tsig") })),
            ]
        }
        Kind::AcmeHttp01 => vec![acme(json!({ "http01": bed.http01() }))],
        Kind::Ca => {
            let ca = Authority::new("bench CA")?;
            let secret = json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "kubernetes.io/tls",
                "metadata": { "name": "ca" },
                "stringData": { "tls.crt": ca.pem(), "tls.key": ca.key() },
            });
            vec![secret, issuer(json!({ "ca": { "secretName": "ca" } }))]
        }
        Kind::SelfSigned => vec![issuer(json!({ "selfSigned": {} }))],
    })
}
