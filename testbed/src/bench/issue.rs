//! How long does it take until Certificates are ready?

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail};
use futures::{
    Stream, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use kube::{
    Api,
    api::{DynamicObject, PostParams},
};
use serde_json::json;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};

use super::{
    issuers,
    load::{Algorithm, Load},
};
use crate::{
    Bed,
    apply::said,
    bed::ZONE,
    follow::{self, State, states},
    operator::Operator,
    process::tail,
};

/// How many creates of Certificates are under way at a time.
const CREATORS: usize = 16;

/// Creates the Certificates in these namespaces and waits for them; how long each took, from before
/// its create is sent until a watch shows it ready.
pub(super) async fn issue(
    bed: &Bed,
    load: &Load,
    places: &[String],
    operator: &mut Operator,
) -> Result<Vec<Duration>> {
    let mut arrivals = Arrivals::follow(bed, load, places);
    if load.sequential {
        one_by_one(bed, load, places, operator, &mut arrivals).await
    } else {
        all_at_once(bed, load, places, operator, &mut arrivals).await
    }
}

async fn one_by_one(
    bed: &Bed,
    load: &Load,
    places: &[String],
    operator: &mut Operator,
    arrivals: &mut Arrivals,
) -> Result<Vec<Duration>> {
    let mut took = Vec::new();
    for index in 0..load.n {
        let (name, begun) = create(bed, load, places, index).await?;
        while !arrivals.seen.contains_key(&name) {
            arrivals.next(operator).await?;
        }
        took.push(begun.elapsed());
    }
    Ok(took)
}

async fn all_at_once(
    bed: &Bed,
    load: &Load,
    places: &[String],
    operator: &mut Operator,
    arrivals: &mut Arrivals,
) -> Result<Vec<Duration>> {
    let (all_created, created) = oneshot::channel();
    let create = async {
        let begun: BTreeMap<_, _> = stream::iter(0..load.n)
            .map(async |index| create(bed, load, places, index).await)
            .buffer_unordered(CREATORS)
            .try_collect()
            .await?;
        // Only fails when nobody waits any more, because an error came first.
        let _ = all_created.send(());
        anyhow::Ok(begun)
    };
    let (begun, ()) = futures::try_join!(create, async {
        while arrivals.seen.len() < load.n {
            arrivals.next(operator).await?;
        }
        let _ = created.await;
        Ok(())
    })?;
    begun
        .iter()
        .map(|(name, begun)| {
            let arrived = arrivals.seen.get(name);
            let arrived = arrived.context("a Certificate was never seen ready")?;
            Ok(arrived.saturating_duration_since(*begun))
        })
        .collect()
}

/// When each Certificate was first seen ready.
struct Arrivals {
    states: BoxStream<'static, Result<State>>,
    seen: BTreeMap<String, Instant>,
    waiting: Option<State>,
    of: usize,
    patience: Duration,
    begun: Instant,
}

impl Arrivals {
    fn follow(bed: &Bed, load: &Load, places: &[String]) -> Self {
        let watches: Vec<_> = places
            .iter()
            .map(|place| states(bed.client(), place))
            .collect();
        Self {
            states: merged(watches).boxed(),
            seen: BTreeMap::new(),
            waiting: None,
            of: load.n,
            patience: Duration::from_secs(load.patience),
            begun: Instant::now(),
        }
    }

    /// Waits for the next change, for a second at the most.
    async fn next(&mut self, operator: &mut Operator) -> Result<()> {
        match timeout(Duration::from_secs(1), self.states.next()).await {
            Ok(Some(state)) => match state? {
                State {
                    name, ready: true, ..
                } => drop(self.seen.entry(name).or_insert_with(Instant::now)),
                waiting => self.waiting = Some(waiting),
            },
            Ok(None) => bail!("the watch of Certificates ended"),
            Err(_) => {
                if let Some(status) = operator.exited()? {
                    bail!("the operator ended, {status}:\n{}", tail(&operator.log()));
                }
            }
        }
        if self.begun.elapsed() > self.patience {
            let why = self.waiting.as_ref().map_or_else(String::new, |state| {
                format!(
                    "; last seen of {}: {}: {}",
                    state.name, state.reason, state.message
                )
            });
            bail!(
                "{} of {} Certificates are ready after {} s{why}",
                self.seen.len(),
                self.of,
                self.patience.as_secs()
            );
        }
        Ok(())
    }
}

fn merged<S: Stream + Unpin>(streams: Vec<S>) -> impl Stream<Item = S::Item> {
    stream::select_all(streams)
}

async fn create(
    bed: &Bed,
    load: &Load,
    places: &[String],
    index: usize,
) -> Result<(String, Instant)> {
    let name = format!("c{index:05}");
    let place = &places[index % places.len()];
    let issuer = issuers::name(index / places.len() % load.issuers);
    let begun = Instant::now();
    certificate(bed, place, &name, &issuer, load.algorithm).await?;
    Ok((name, begun))
}

/// Creates a Certificate.
pub(super) async fn certificate(
    bed: &Bed,
    namespace: &str,
    name: &str,
    issuer: &str,
    algorithm: Algorithm,
) -> Result<()> {
    let (algorithm, size) = match algorithm {
        Algorithm::Ecdsa => ("ECDSA", 256),
        Algorithm::Rsa2048 => ("RSA", 2048),
    };
    let certificate: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": { "name": name },
        "spec": {
            "secretName": name,
            "dnsNames": [format!("{name}.{namespace}.{ZONE}")],
            "privateKey": { "algorithm": algorithm, "size": size },
            "issuerRef": { "name": issuer },
        },
    }))?;
    let api: Api<DynamicObject> =
        Api::namespaced_with(bed.client().clone(), namespace, &follow::resource());
    api.create(&PostParams::default(), &certificate)
        .await
        .map_err(said)
        .with_context(|| format!("creating Certificate {name}"))?;
    Ok(())
}
