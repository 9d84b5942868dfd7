//! How fast is the API server when it is written the same without the operator?

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{
    issue, issuers,
    load::Load,
    recorded::{PLACE, SAMPLE, Script},
    repeat::{Players, Repeat},
    report::round,
    requests::Requests,
    usage::cpu_seconds,
};
use crate::{Bed, acme::Pebble, follow, operator::Operator};

/// Connections to the API server; the best of these counts.
const CONNECTIONS: [usize; 3] = [4, 8, 16];
/// The most Certificates that are written per number of connections.
const MOST: usize = 1000;
/// How long the audit log must be silent for all of an issuance to be in it.
const SILENCE: Duration = Duration::from_secs(2);

/// What the API server can do.
#[derive(Debug, Serialize)]
pub(super) struct Ceiling {
    /// The best of the rates below.
    pub(super) certificates_per_second: f64,
    /// The rate by the number of connections.
    by_connections: BTreeMap<usize, f64>,
    /// The requests of the operator for one Certificate that are repeated, events included.
    pub(super) writes: usize,
    /// All that is repeated for one Certificate, in order, and what each costs.
    requests: Vec<Cost>,
}

/// What one request costs.
#[derive(Debug, Serialize)]
struct Cost {
    /// `verb resource/subresource`.
    request: String,
    /// Of the API server and etcd, per Certificate.
    cpu_ms: f64,
}

/// Issues a Certificate and records what is written for it.
pub(super) async fn record(
    bed: &Bed,
    load: &Load,
    pebble: &Pebble,
    operator: &Operator,
) -> Result<Script> {
    issuers::prepare(bed, PLACE, load.issuer, 1, pebble, operator).await?;
    let audit = bed.audit_log();
    let mark = Requests::mark(&audit)?;
    issue::certificate(bed, PLACE, SAMPLE, &issuers::name(0), load.algorithm).await?;
    let patience = Duration::from_secs(load.patience);
    follow::wait(bed.client(), PLACE, SAMPLE, patience, |state| state.ready).await?;
    // What is tidied up afterwards belongs to it.
    let read = || Script::read(&audit, mark.from(), &bed.operator_user()?);
    let mut script = read()?;
    loop {
        sleep(SILENCE).await;
        let later = read()?;
        if later == script {
            return Ok(script);
        }
        script = later;
    }
}

/// Repeats `script` for as many Certificates, one request after the other for each. No operator may
/// run meanwhile.
pub(super) async fn measure(bed: &Bed, load: &Load, script: &Script) -> Result<Ceiling> {
    let operator = bed.operator_access().await?;
    let count = load.n.min(MOST);
    let mut by_connections = BTreeMap::new();
    for connections in CONNECTIONS {
        let namespace = bed.namespace("ceiling").await?;
        // Clients of their own, so that no connection is left over from another measurement.
        let players = Players::of(&operator, bed).await?;
        let begun = Instant::now();
        stream::iter(0..count)
            .map(async |index| {
                let mut one = Repeat::new(script, namespace.name(), name(index));
                for step in &script.steps {
                    one.step(&players, step).await?;
                }
                anyhow::Ok(())
            })
            .buffer_unordered(connections)
            .try_collect::<()>()
            .await?;
        let rate = count as f64 / begun.elapsed().as_secs_f64();
        by_connections.insert(connections, round(rate));
    }
    let players = Players::of(&operator, bed).await?;
    Ok(Ceiling {
        certificates_per_second: by_connections.values().copied().fold(0.0, f64::max),
        by_connections,
        writes: script.writes(),
        requests: costs(bed, script, &players, count).await?,
    })
}

/// What each step costs when it is taken for all Certificates before the next step is.
async fn costs(bed: &Bed, script: &Script, players: &Players, count: usize) -> Result<Vec<Cost>> {
    let namespace = bed.namespace("ceiling").await?;
    let mut all: Vec<_> = (0..count)
        .map(|index| Repeat::new(script, namespace.name(), name(index)))
        .collect();
    let mut costs = Vec::new();
    for step in &script.steps {
        let before = answering_seconds(bed).await?;
        all = stream::iter(all)
            .map(async |mut one| one.step(players, step).await.map(|()| one))
            .buffered(CONNECTIONS[1])
            .try_collect()
            .await?;
        let seconds = answering_seconds(bed).await? - before;
        costs.push(Cost {
            request: step.what.clone(),
            cpu_ms: round(seconds * 1000.0 / count as f64),
        });
    }
    Ok(costs)
}

/// Processor time so far of the API server and etcd.
pub(super) async fn answering_seconds(bed: &Bed) -> Result<f64> {
    let pids = bed.answering().await;
    pids.into_iter().map(cpu_seconds).sum()
}

fn name(index: usize) -> String {
    format!("c{index:05}")
}
