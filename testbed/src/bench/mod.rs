//! How fast is the operator, and what does it cost?

use anyhow::{Context, Result};
use serde_json::json;
use tokio::time::Instant;

pub use self::load::{Algorithm, Kind, Load};
pub(crate) use self::recorded::PLACE as RECORDED;
use self::{
    recorded::Script,
    report::{Report, Run},
    requests::Requests,
    usage::{Memory, cpu_seconds, settled},
};
use crate::{
    Bed, BedOptions,
    acme::{Pebble, PebbleOptions},
    home::Home,
    operator::{self, Operator, OperatorOptions},
    progress::Progress,
};

mod approver;
mod ceiling;
mod issue;
mod issuers;
mod keys;
mod load;
mod recorded;
mod repeat;
mod report;
mod requests;
mod restart;
mod usage;

/// Measures; prints one line of JSON, and in words what it says to standard error.
pub async fn run(home: Home, load: &Load) -> Result<()> {
    load.check()?;
    let progress = Progress::shown();
    progress.step("building the operator");
    let binary = operator::build(&home, !load.debug_build).await?;
    let binary_kib = binary.metadata().context("looking at the binary")?.len() / 1024;
    let options = BedOptions {
        home,
        progress,
        binary: Some(binary),
        audit: true,
    };
    let mut bed = Bed::start(options).await?;
    let done = measure(&bed, load, binary_kib, progress).await;
    if done.is_err() {
        bed.keep_folder();
        progress.step(&format!("the logs are in {}", bed.logs().display()));
    }
    println!("{}", done?);
    Ok(())
}

async fn measure(bed: &Bed, load: &Load, binary_kib: u64, progress: Progress) -> Result<String> {
    let values = json!({
        "crds": { "enabled": true },
        "disableAutoApproval": load.external_approver,
    });
    bed.install_chart(&values).await?;
    let operator = bed.operator(&OperatorOptions::default()).await?;
    let rest = settled(operator.pid()).await?;
    if load.rest {
        let report =
            json!({ "binary_kib": binary_kib, "memory_kib": { "at_rest": rest.resident } });
        return Ok(report.to_string());
    }

    let mut namespaces = Vec::new();
    for _ in 0..load.namespaces {
        namespaces.push(bed.namespace("bench").await?);
    }
    let places: Vec<String> = namespaces.iter().map(|one| one.name().to_owned()).collect();
    let work = work(bed, load, operator, rest, &places, binary_kib, progress);
    let report = if load.external_approver {
        let mut approved = places.clone();
        approved.push(RECORDED.to_owned());
        tokio::select! {
            biased;
            report = work => report?,
            never = approver::approve(bed, &approved) => return never.map(|()| String::new()),
        }
    } else {
        work.await?
    };
    for line in report.text() {
        progress.step(&line);
    }
    serde_json::to_string(&report).context("writing the report")
}

async fn work(
    bed: &Bed,
    load: &Load,
    mut operator: Operator,
    rest: Memory,
    places: &[String],
    binary_kib: u64,
    progress: Progress,
) -> Result<Report> {
    let keys = match load.algorithm {
        Algorithm::Ecdsa => None,
        Algorithm::Rsa2048 => {
            progress.step("generating RSA keys and nothing else");
            Some(keys::rsa2048_per_second().await?)
        }
    };
    // The CA's awkwardness would be measured otherwise.
    let polite = PebbleOptions {
        rejected_nonces: 0,
        ..PebbleOptions::default()
    };
    let pebble = bed.pebble("pebble", &polite).await?;
    for place in places {
        issuers::prepare(bed, place, load.issuer, load.issuers, &pebble, &operator).await?;
    }
    let script = match load.ceiling {
        true => Some(record(bed, load, &pebble, &operator, progress).await?),
        false => None,
    };
    settled(operator.pid()).await?;

    progress.step(&format!("creating {} Certificates", load.n));
    let audit = bed.audit_log();
    let mark = Requests::mark(&audit)?;
    let cpu = cpu_seconds(operator.pid())?;
    let answering = ceiling::answering_seconds(bed).await?;
    let begun = Instant::now();
    let latencies = issue::issue(bed, load, places, &mut operator).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let answering_seconds = ceiling::answering_seconds(bed).await? - answering;
    progress.step("all are ready");
    let after = settled(operator.pid()).await?;
    let cpu_seconds = cpu_seconds(operator.pid())? - cpu;
    let requests = mark.since(&audit, &bed.operator_user()?)?;

    let mut again = None;
    if load.restart {
        progress.step("starting the operator again");
        let options = OperatorOptions {
            name: "operator-again".to_owned(),
            ..OperatorOptions::default()
        };
        // One more if a Certificate was recorded.
        let known = load.n + usize::from(load.ceiling);
        let (started, restart) = restart::restart(bed, operator, &options, known).await?;
        (operator, again) = (started, Some(restart));
    }
    operator.stop().await?;
    let ceiling = match &script {
        Some(script) => {
            progress.step("writing the same without the operator");
            Some(ceiling::measure(bed, load, script).await?)
        }
        None => None,
    };
    Ok(Report::new(
        load,
        Run {
            seconds,
            latencies,
            requests,
            cpu_seconds,
            answering_seconds,
            rest,
            after,
            binary_kib,
            keys_per_second: keys,
            ceiling,
            restart: again,
        },
    ))
}

async fn record(
    bed: &Bed,
    load: &Load,
    pebble: &Pebble,
    operator: &Operator,
    progress: Progress,
) -> Result<Script> {
    progress.step("recording what is written for one Certificate");
    let object =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": RECORDED } });
    bed.apply_all(&[object]).await?;
    ceiling::record(bed, load, pebble, operator).await
}
