//! What does a start of the operator cost where everything is ready already?

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{
    report::round,
    requests::{self, Requests},
    usage::{cpu_seconds, memory},
};
use crate::{
    Bed,
    operator::{Operator, OperatorOptions},
};

/// The longest that a start may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often the processor time is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long it must be idle to be at rest.
const QUIET: Duration = Duration::from_millis(1500);
/// Processor time between two looks that is not work: the clock that measures it ticks, and the Lease
/// is renewed.
const IDLE: f64 = 0.015;
/// Counts the reconciles of Certificates.
const LOOKED_AT: &str = "certmanager_controller_sync_call_count{controller=\"certificates\"} ";

/// Of a start.
#[derive(Debug, Serialize)]
pub(super) struct Restart {
    /// From the start of the process until `/readyz` says that every cache is filled.
    seconds_to_synced: f64,
    /// From the start of the process until its last work.
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) resident_kib: u64,
    pub(super) peak_kib: u64,
    /// How often a Certificate was reconciled.
    looked_at: u64,
    /// Requests that change something, without the Lease.
    pub(super) writes: u64,
    /// All requests by verb and resource.
    requests: BTreeMap<String, u64>,
}

/// Stops the operator, which has `n` Certificates that are ready, and starts it again.
pub(super) async fn restart(
    bed: &Bed,
    operator: Operator,
    options: &OperatorOptions,
    n: usize,
) -> Result<(Operator, Restart)> {
    operator.stop().await?;
    let audit = bed.audit_log();
    let mark = Requests::mark(&audit)?;
    let options = OperatorOptions {
        wait: false,
        ..options.clone()
    };
    let mut operator = bed.operator(&options).await?;
    operator.ready(PATIENCE).await?;
    let synced = operator.started().elapsed();
    let last_work = at_rest(&operator).await?;
    let cpu = cpu_seconds(operator.pid())?;
    // Before the metrics are asked for, whose text has a line for every Certificate.
    let memory = memory(operator.pid())?;
    let requests = mark.since(&audit, &bed.operator_user()?)?;
    let metrics = operator.metrics().await?;
    let looked_at = metrics
        .lines()
        .find_map(|line| line.strip_prefix(LOOKED_AT))
        .context("the metrics do not count reconciles of Certificates")?
        .parse::<u64>()?;
    ensure!(
        looked_at >= n as u64,
        "only {looked_at} of {n} Certificates were looked at after the restart"
    );
    let restart = Restart {
        seconds_to_synced: round(synced.as_secs_f64()),
        seconds: round(last_work.as_secs_f64()),
        cpu_seconds: round(cpu),
        resident_kib: memory.resident,
        peak_kib: memory.peak,
        looked_at,
        writes: requests
            .iter()
            .filter(|(name, _)| requests::is_write(name))
            .map(|(_, count)| count)
            .sum(),
        requests,
    };
    Ok((operator, restart))
}

/// Waits until there is nothing more to do; when, since its start, there last was.
async fn at_rest(operator: &Operator) -> Result<Duration> {
    let deadline = Instant::now() + PATIENCE;
    let mut before = cpu_seconds(operator.pid())?;
    let mut worked = operator.started().elapsed();
    while operator.started().elapsed() < worked + QUIET {
        ensure!(
            Instant::now() < deadline,
            "the operator does not come to rest within {PATIENCE:?}"
        );
        sleep(LOOK).await;
        let now = cpu_seconds(operator.pid())?;
        if now - before > IDLE {
            worked = operator.started().elapsed();
        }
        before = now;
    }
    Ok(worked)
}
