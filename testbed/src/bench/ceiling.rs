//! How fast is the API server when it is written the same without the operator?

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use http::Request;
use kube::Client;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::{
    issue, issuers,
    load::Load,
    recorded::{PLACE, SAMPLE, Script, VERSION},
    report::round,
    requests::Requests,
};
use crate::{Bed, acme::Pebble, apply::said, follow, operator::Operator};

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
    /// All that is repeated for one Certificate, in order.
    requests: Vec<String>,
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
    let mut by_connections = BTreeMap::new();
    for connections in CONNECTIONS {
        let namespace = bed.namespace("ceiling").await?;
        // Clients of their own, so that no connection is left over from another measurement.
        let players = Players {
            operator: operator.client().await?,
            bench: bed.access().client().await?,
        };
        let count = load.n.min(MOST);
        let begun = Instant::now();
        stream::iter(0..count)
            .map(async |index| {
                let name = format!("c{index:05}");
                repeat(&players, script, namespace.name(), &name).await
            })
            .buffer_unordered(connections)
            .try_collect::<()>()
            .await?;
        let rate = count as f64 / begun.elapsed().as_secs_f64();
        by_connections.insert(connections, round(rate));
    }
    Ok(Ceiling {
        certificates_per_second: by_connections.values().copied().fold(0.0, f64::max),
        by_connections,
        writes: script.writes(),
        requests: script.steps.iter().map(|step| step.what.clone()).collect(),
    })
}

struct Players {
    operator: Client,
    bench: Client,
}

/// Of an answer, what later requests name.
#[derive(Debug, Default, Deserialize)]
struct Answer {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    uid: Option<String>,
    resource_version: Option<String>,
}

async fn repeat(players: &Players, script: &Script, namespace: &str, name: &str) -> Result<()> {
    let mut uids: Vec<(&str, String)> = Vec::new();
    let mut versions: BTreeMap<&str, String> = BTreeMap::new();
    for step in &script.steps {
        let object = step.object.as_str();
        let adapted = |text: &str| {
            let mut text = text.replace(PLACE, namespace).replace(SAMPLE, name);
            for (recorded, uid) in &uids {
                text = text.replace(recorded, uid);
            }
            text
        };
        let version = versions.get(object).map_or("", String::as_str);
        let body = adapted(&step.body).replace(VERSION, version);
        let request = Request::builder()
            .method(step.method)
            .uri(adapted(&step.uri))
            .header("Content-Type", step.content_type)
            .header("Accept", "application/json")
            .body(body.into_bytes())?;
        let client = if step.by_operator {
            &players.operator
        } else {
            &players.bench
        };
        let answer = client.request_text(request).await.map_err(said);
        let answer = answer.with_context(|| format!("repeating {} for {name}", step.what))?;
        let Answer { metadata } = serde_json::from_str(&answer)?;
        if let (Some(recorded), Some(uid)) = (script.uids.get(object), metadata.uid) {
            uids.push((recorded, uid));
        }
        if let Some(version) = metadata.resource_version {
            versions.insert(object, version);
        }
    }
    Ok(())
}
