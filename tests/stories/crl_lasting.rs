//! Does a list of revoked certificates outlive whoever signs it, and is it served all the while?

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use certwright::{
    api::issuance::IssuanceState,
    pki::crl::{RevocationList, SerialNumber},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::DeleteParams};
use serde_json::json;
use testbed::{
    Bed,
    operator::{Operator, OperatorOptions},
    process::{ports, tail, wait::until},
    web,
};

use crate::{
    register::{Register, number, read},
    replicas::{is_leading, leads, replica},
    site::SOON,
};

const USAGES: [&str; 2] = ["cert sign", "crl sign"];
/// More operators than it takes writes, all in all.
const MOST_OPERATORS: u64 = 30;

/// Operators are killed while they revoke, each after its first write: also between signing a list and
/// storing it, and where the list itself is lost. Its number never goes back, nothing on it is lost,
/// and what is not on it is not called revoked.
pub(crate) async fn whoever_signs_dies(bed: &Bed) -> Result<()> {
    let register = Register::new(bed, "crl-crash", &USAGES).await?;
    let operator = register.operator().await?;
    let names = ["before", "listed", "lost"];
    let mut serials = Vec::new();
    for name in names {
        register.issued(name, json!({"name": "ca"})).await?;
        serials.push(register.serial(name).await?);
    }
    let [before, listed, lost] = serials.as_slice() else {
        unreachable!("there are three");
    };
    register.delete("before").await?;
    register
        .becomes(before, IssuanceState::Revoked, "", &operator)
        .await?;
    ensure!(operator.stop().await?.success());

    let mut last = register.list("the first", |_| true).await?;
    ensure!(last.entries.len() == 1, "{last:?}");
    register.delete("listed").await?;
    killed_at_every_write(&register, "listed", listed, &mut last).await?;
    ensure!(last.entries.len() == 2, "{last:?}");
    let delete = DeleteParams::default();
    register.config_maps().delete("ca-crl", &delete).await?;
    register.delete("lost").await?;
    killed_at_every_write(&register, "lost", lost, &mut last).await?;
    ensure!(last.entries.len() == 3, "{last:?}");
    Ok(())
}

/// Runs one operator after the other until `serial` is revoked and its Secret gone. The `last` list that
/// was seen is held to what follows it.
async fn killed_at_every_write(
    register: &Register<'_>,
    name: &str,
    serial: &str,
    last: &mut RevocationList,
) -> Result<()> {
    let secrets: Api<Secret> = register.namespace.api();
    let mut is_between = false;
    for attempt in 1..MOST_OPERATORS {
        let mut operator = mortal(register, name, attempt).await?;
        let is_done = until("the end, or the end of the work", SOON * 2, async || {
            if operator.exited()?.is_some() {
                return Ok(false);
            }
            ensure!(secrets.get_opt(name).await?.is_none(), "its Secret stands");
            let state = state(register, serial).await?;
            ensure!(state == IssuanceState::Revoked, "{state}");
            Ok(true)
        })
        .await
        .with_context(|| format!("operator {attempt}: {}", tail(&operator.log())))?;
        // In this order: what is revoked was on the list before.
        let state = state(register, serial).await?;
        if let Some(found) = found(register).await? {
            follows(last, &found).with_context(|| format!("operator {attempt}"))?;
            *last = found;
        }
        let is_listed = last.entries.contains_key(&number(serial)?);
        ensure!(
            is_listed || state != IssuanceState::Revoked,
            "revoked, and not listed"
        );
        is_between |= !is_listed && state == IssuanceState::Revoking;
        if is_done {
            ensure!(operator.stop().await?.success());
            ensure!(is_between, "none was killed before it stored the list");
            return Ok(());
        }
    }
    anyhow::bail!("no end");
}

/// The list that stands, if one does.
async fn found(register: &Register<'_>) -> Result<Option<RevocationList>> {
    let config_maps = register.config_maps();
    match config_maps.get_opt("ca-crl").await? {
        Some(_) => Ok(Some(read(&config_maps, "ca-crl").await?.0)),
        None => Ok(None),
    }
}

fn follows(last: &RevocationList, next: &RevocationList) -> Result<()> {
    ensure!(next.number >= last.number, "{last:?}\n{next:?}");
    let is_same = next == last;
    ensure!(next.number > last.number || is_same, "{last:?}\n{next:?}");
    let missing: Vec<&SerialNumber> = last
        .entries
        .keys()
        .filter(|serial| !next.entries.contains_key(serial))
        .collect();
    ensure!(missing.is_empty(), "{missing:?} were on it");
    Ok(())
}

async fn state(register: &Register<'_>, serial: &str) -> Result<IssuanceState> {
    let record = register.records().await?.remove(serial);
    let status = record.context("no record")?.status.unwrap_or_default();
    Ok(status.state.unwrap_or(IssuanceState::Active))
}

/// An operator that is killed before its second write.
async fn mortal(register: &Register<'_>, name: &str, attempt: u64) -> Result<Operator> {
    let namespace = register.namespace.name();
    let options = OperatorOptions {
        name: format!("operator-{namespace}-{name}-{attempt}"),
        args: vec![
            format!("--namespace={namespace}"),
            "--leader-elect=false".to_owned(),
            "--deletion-delay=1s".to_owned(),
            "--fault-point=2".to_owned(),
        ],
        // It may end before it is ready.
        wait: false,
        ..OperatorOptions::default()
    };
    register.bed.operator(&options).await
}

/// A replica that does not lead serves the list too, and what comes onto it; and goes on when the
/// leader is gone.
pub(crate) async fn every_replica_serves_it(bed: &Bed) -> Result<()> {
    let register = Register::new(bed, "crl-replicas", &USAGES).await?;
    let leading = serving(&register, "leading", register.address);
    let leader = bed.operator(&leading).await?;
    leads(&leader).await?;
    let address = (Ipv4Addr::LOCALHOST, ports::free()?).into();
    let other = bed
        .operator(&serving(&register, "serving", address))
        .await?;
    ensure!(!is_leading(&other).await?);

    for name in ["first", "second"] {
        register.issued(name, json!({"name": "ca"})).await?;
    }
    revoked(&register, "first", &leader, address).await?;
    ensure!(!is_leading(&other).await?);
    ensure!(register.get(&register.path()).await?.0 == 200);
    let namespace = register.namespace.name();
    let labels = format!("{{kind=\"Issuer\",name=\"ca\",namespace=\"{namespace}\"}}");
    let metrics = other.metrics().await?;
    for line in [
        format!("certwright_crl_entries{labels} 1"),
        format!("certwright_crl_next_update_timestamp_seconds{labels} "),
        "certwright_issuances{state=\"Revoked\"} ".to_owned(),
    ] {
        let is_told = metrics.lines().any(|told| told.starts_with(&line));
        ensure!(is_told, "{line} is not in\n{metrics}");
    }
    leader.kill().await?;
    revoked(&register, "second", &other, address).await?;
    ensure!(other.stop().await?.success());
    Ok(())
}

/// Has a certificate revoked by `operator`, until the list that is stored is served at `address`, and it
/// is on it.
async fn revoked(
    register: &Register<'_>,
    name: &str,
    operator: &Operator,
    address: SocketAddr,
) -> Result<()> {
    let serial = register.serial(name).await?;
    register.delete(name).await?;
    register
        .becomes(&serial, IssuanceState::Revoked, "", operator)
        .await?;
    until("the list to be served", SOON, async || {
        let (_, stored) = read(&register.config_maps(), "ca-crl").await?;
        let url = format!("http://{address}{}", register.path());
        let answer = web::client(&[])?.get(url).send().await?;
        ensure!(answer.status() == 200, "{answer:?}");
        let served = answer.bytes().await?;
        ensure!(served == stored, "another list");
        let served = RevocationList::from_der(&served)?;
        ensure!(served.entries.contains_key(&number(&serial)?), "{served:?}");
        Ok(())
    })
    .await
}

/// A replica for that namespace that serves lists at `address`.
fn serving(register: &Register<'_>, name: &str, address: SocketAddr) -> OperatorOptions {
    let mut options = replica(name);
    options.args.extend([
        format!("--namespace={}", register.namespace.name()),
        "--deletion-delay=1s".to_owned(),
        format!("--crl-listen-address={address}"),
    ]);
    options
}
