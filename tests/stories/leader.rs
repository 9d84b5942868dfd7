//! Does exactly one of several replicas write, whatever happens to it?

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Api;
use testbed::{
    Bed,
    operator::{Operator, OperatorOptions},
    process::wait::until,
};

/// Of two replicas one leads. Asked to stop it gives the lease back and the other goes on; killed,
/// it is replaced once the lease has run out; frozen, it ends as soon as it wakes up. The number
/// of transitions tells that nobody else ever held the lease.
pub(crate) async fn one_replica_leads(bed: &Bed) -> Result<()> {
    let first = bed.operator(&replica("first")).await?;
    leads(&first).await?;
    let start = lease(bed).await?;
    ensure!(start.labels["app.kubernetes.io/managed-by"] == "cert-manager");

    let second = bed.operator(&replica("second")).await?;
    ensure!(leading(&second).await? == 0);
    let status = first.stop().await?;
    ensure!(status.success(), "asked to stop, it ended with {status}");
    leads(&second).await?;
    let second_held = lease(bed).await?;
    ensure!(second_held.holder != start.holder);
    // Given back, and taken.
    ensure!(
        second_held.transitions == start.transitions + 1,
        "{second_held:?}"
    );

    let mut third = bed.operator(&replica("third")).await?;
    second.kill().await?;
    leads(&third).await?;
    let third_held = lease(bed).await?;
    ensure!(
        third_held.transitions == second_held.transitions + 1,
        "{third_held:?}"
    );

    third.signal("STOP")?;
    let fourth = bed.operator(&replica("fourth")).await?;
    leads(&fourth).await?;
    third.signal("CONT")?;
    let status = third.wait(Duration::from_secs(10)).await?;
    ensure!(
        !status.success(),
        "having lost the lease, it ended with {status}"
    );
    let log = third.log();
    ensure!(log.contains("lost leadership: lease"), "{log}");
    let fourth_held = lease(bed).await?;
    ensure!(
        fourth_held.transitions == third_held.transitions + 1,
        "{fourth_held:?}"
    );
    ensure!(fourth.stop().await?.success());
    ensure!(lease(bed).await?.holder.is_empty());
    Ok(())
}

/// The leader lives through a restart of the API server that is shorter than its deadline.
pub(crate) async fn a_restart_of_the_api_server_is_lived_through(bed: &Bed) -> Result<()> {
    let mut options = replica("patient");
    options.args = timing(60, 40, 1);
    let operator = bed.operator(&options).await?;
    leads(&operator).await?;
    let before = lease(bed).await?;
    bed.api_server().restart().await?;
    until(
        "the lease to be renewed",
        Duration::from_secs(30),
        async || {
            let now = lease(bed).await?;
            ensure!(now.holder == before.holder, "held by {:?}", now.holder);
            ensure!(now.renewed > before.renewed, "not yet renewed");
            Ok(())
        },
    )
    .await?;
    ensure!(lease(bed).await?.transitions == before.transitions);
    ensure!(leading(&operator).await? == 1);
    ensure!(operator.stop().await?.success());
    Ok(())
}

fn replica(name: &str) -> OperatorOptions {
    OperatorOptions {
        name: format!("leader-{name}"),
        args: timing(8, 6, 1),
        ..OperatorOptions::default()
    }
}

fn timing(lease: u64, deadline: u64, retry: u64) -> Vec<String> {
    vec![
        format!("--leader-election-lease-duration={lease}s"),
        format!("--leader-election-renew-deadline={deadline}s"),
        format!("--leader-election-retry-period={retry}s"),
    ]
}

async fn leads(operator: &Operator) -> Result<()> {
    until("the replica to lead", Duration::from_secs(30), async || {
        ensure!(
            leading(operator).await? == 1,
            "it does not lead:\n{}",
            operator.log()
        );
        Ok(())
    })
    .await
}

/// Whether it leads, in its own words.
async fn leading(operator: &Operator) -> Result<u8> {
    let metrics = operator.metrics().await?;
    let lines = &mut metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix("certwright_leading "));
    Ok(value
        .context("no certwright_leading in the metrics")?
        .parse()?)
}

#[derive(Debug)]
struct Held {
    holder: String,
    transitions: i32,
    renewed: String,
    labels: BTreeMap<String, String>,
}

async fn lease(bed: &Bed) -> Result<Held> {
    let all = Api::<Lease>::all(bed.client().clone());
    let ours = |lease: &Lease| lease.metadata.name.as_deref() == Some("cert-manager-controller");
    let mut found = all.list(&Default::default()).await?.items;
    found.retain(ours);
    let [lease] = found.as_slice() else {
        bail!("there are {} leases of ours", found.len());
    };
    let LeaseSpec {
        holder_identity,
        lease_transitions,
        renew_time,
        ..
    } = lease.spec.clone().unwrap_or_default();
    Ok(Held {
        holder: holder_identity.unwrap_or_default(),
        transitions: lease_transitions.unwrap_or_default(),
        renewed: format!("{:?}", renew_time.map(|time| time.0)),
        labels: lease.metadata.labels.clone().unwrap_or_default(),
    })
}
