//! How fast is the operator, and what does it cost?

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kube::{
    Api,
    api::{DynamicObject, PostParams},
    core::GroupVersionKind,
    discovery::ApiResource,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

pub use self::load::{Key, Kind, Load};
use self::{
    requests::Requests,
    usage::{Memory, cpu_seconds, memory},
};
use crate::{
    Bed, BedOptions,
    acme::PebbleOptions,
    home::Home,
    namespace::Namespace,
    operator::{self, Operator, OperatorOptions},
    process::{tail, wait::until},
    progress::Progress,
};

mod load;
mod report;
mod requests;
mod usage;

/// Measures and prints.
pub async fn run(home: Home, load: &Load) -> Result<()> {
    ensure!(
        load.n > 0 && load.namespaces > 0,
        "nothing to measure: --n and --namespaces are 1 or more"
    );
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
    // The CA's awkwardness would be measured otherwise.
    let polite = PebbleOptions {
        rejected_nonces: 0,
        ..PebbleOptions::default()
    };
    let pebble = bed.pebble("pebble", &polite).await?;
    bed.install_chart(&json!({ "crds": { "enabled": true } }))
        .await?;
    let mut operator = bed.operator(&OperatorOptions::default()).await?;
    let rest = settled(&operator).await?;
    if load.rest {
        let report =
            json!({ "binary_kib": binary_kib, "memory_kib": { "at_rest": rest.resident } });
        return Ok(report.to_string());
    }

    let mut places = Vec::new();
    for _ in 0..load.namespaces {
        let namespace = bed.namespace("bench").await?;
        namespace
            .apply_all(&load::issuer(bed, load.issuer, &pebble)?)
            .await?;
        places.push(namespace);
    }
    for namespace in &places {
        issuer_ready(bed, namespace, &operator).await?;
        policies_in_force(bed, namespace).await?;
    }
    settled(&operator).await?;

    progress.step(&format!("creating {} Certificates", load.n));
    let audit = bed.audit_log();
    let requests = Requests::mark(&audit)?;
    let cpu = cpu_seconds(operator.pid())?;
    let begun = Instant::now();
    let latencies = load::issue(bed, load, &places, &mut operator).await?;
    let seconds = begun.elapsed().as_secs_f64();
    progress.step("all are ready");
    let after = settled(&operator).await?;
    let cpu = cpu_seconds(operator.pid())? - cpu;
    let requests = requests.since(&audit, &bed.operator_user()?)?;
    let report = report::report(
        load,
        seconds,
        latencies,
        &requests,
        cpu,
        (rest, after),
        binary_kib,
    );
    operator.stop().await?;
    serde_json::to_string(&report).context("writing the report")
}

async fn issuer_ready(bed: &Bed, namespace: &Namespace, operator: &Operator) -> Result<()> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("cert-manager.io", "v1", "Issuer"));
    let issuers: Api<DynamicObject> =
        Api::namespaced_with(bed.client().clone(), namespace.name(), &kind);
    until("the Issuer", Duration::from_secs(30), async || {
        let issuer = issuers.get("bench").await?;
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
async fn policies_in_force(bed: &Bed, namespace: &Namespace) -> Result<()> {
    let version = GroupVersionKind::gvk("cert-manager.io", "v1", "CertificateRequest");
    let kind = ApiResource::from_gvk(&version);
    let requests: Api<DynamicObject> =
        Api::namespaced_with(bed.client().clone(), namespace.name(), &kind);
    let request: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "CertificateRequest",
        "metadata": { "generateName": "in-force-" },
        "spec": { "request": "YQ==", "issuerRef": { "name": "bench" } },
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

/// The operator's memory once it has used no processor time for a second.
async fn settled(operator: &Operator) -> Result<Memory> {
    let mut before = cpu_seconds(operator.pid())?;
    for _ in 0..60 {
        sleep(Duration::from_secs(1)).await;
        let now = cpu_seconds(operator.pid())?;
        if now - before < 0.02 {
            return memory(operator.pid());
        }
        before = now;
    }
    bail!("the operator does not come to rest within a minute");
}
