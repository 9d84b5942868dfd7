//! What if cert-manager leads for a while, and certwright comes back?

use anyhow::{Context, Result, ensure};
use certwright::{api::issuance::IssuanceState, cluster::Clock};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{Api, ResourceExt, api::PostParams};
use testbed::{
    Bed,
    operator::{Operator, OperatorOptions},
    process::wait::until,
};

use crate::{scene::Scene, site::SOON};

/// What lost its Certificate while cert-manager led may be in use: it is held until somebody confirms
/// it, also across restarts. What goes under certwright, or while nobody leads, goes as ever.
pub(crate) async fn what_went_meanwhile_is_held(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "interlude").await?;
    let operator = candidate(&scene, "first").await?;
    let mut serials = Vec::new();
    for name in ["used", "seen", "away"] {
        serials.push(scene.issued(name).await?.leaf.serial);
    }
    let [used, seen, away] = serials.as_slice() else {
        unreachable!("three were asked for");
    };
    scene
        .becomes(used, IssuanceState::Active, &operator)
        .await?;
    settled(bed).await?;
    ensure!(operator.stop().await?.success());

    written(bed, "cert-manager-0-external-cert-manager-controller").await?;
    scene.delete("used").await?;
    written(bed, "").await?;
    let operator = candidate(&scene, "second").await?;
    let held = scene.becomes(used, IssuanceState::Held, &operator).await?;
    let message = held.status.clone().and_then(|status| status.message);
    let message = message.context("no message")?;
    ensure!(message.contains("certwright.io/confirm=true"), "{message}");
    settled(bed).await?;
    scene.delete("seen").await?;
    scene
        .becomes(seen, IssuanceState::Revoked, &operator)
        .await?;
    ensure!(operator.stop().await?.success());

    scene.delete("away").await?;
    let operator = candidate(&scene, "third").await?;
    scene
        .becomes(away, IssuanceState::Revoked, &operator)
        .await?;
    let still = scene.record(used).await?.status.unwrap_or_default();
    ensure!(still.state == Some(IssuanceState::Held), "{still:?}");
    ensure!(scene.at_ca(used).await? == "Valid" && scene.has_secret("used").await?);
    scene.confirm(&held).await?;
    scene
        .becomes(used, IssuanceState::Revoked, &operator)
        .await?;
    scene.secret_goes("used").await?;
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// An operator for this namespace that takes part in the election.
async fn candidate(scene: &Scene<'_>, name: &str) -> Result<Operator> {
    let args = [
        "--deletion-delay=1s",
        "--leader-election-lease-duration=8s",
        "--leader-election-renew-deadline=6s",
        "--leader-election-retry-period=1s",
    ];
    let only = format!("--namespace={}", scene.site.namespace.name());
    let options = OperatorOptions {
        name: format!("interlude-{name}"),
        args: args.into_iter().map(str::to_owned).chain([only]).collect(),
        ..OperatorOptions::default()
    };
    scene.site.bed.operator(&options).await
}

/// Wait until the Lease says that nothing is left to be looked at.
async fn settled(bed: &Bed) -> Result<()> {
    until("all to be looked at", SOON, async || {
        let lease = lease(bed).await?;
        let annotations = lease.annotations();
        ensure!(annotations.contains_key("certwright.io/transitions"));
        ensure!(
            !annotations.contains_key("certwright.io/unsettled"),
            "{annotations:?}"
        );
        Ok(())
    })
    .await
}

/// The Lease is taken, or given back by nobody, as by cert-manager: its client replaces the spec, keeps
/// the rest, and counts who takes it.
async fn written(bed: &Bed, holder: &str) -> Result<()> {
    let mut lease = lease(bed).await?;
    let is_taken = !holder.is_empty();
    let before = lease.spec.take().and_then(|spec| spec.lease_transitions);
    let now = Clock::default().now();
    lease.spec = Some(LeaseSpec {
        acquire_time: Some(MicroTime(now)),
        holder_identity: Some(holder.to_owned()),
        lease_duration_seconds: Some(if is_taken { 60 } else { 1 }),
        lease_transitions: Some(before.unwrap_or_default() + i32::from(is_taken)),
        renew_time: Some(MicroTime(now)),
        ..LeaseSpec::default()
    });
    let namespace = lease.namespace().context("no namespace")?;
    let leases: Api<Lease> = Api::namespaced(bed.client().clone(), &namespace);
    let params = PostParams::default();
    leases.replace(&lease.name_any(), &params, &lease).await?;
    Ok(())
}

async fn lease(bed: &Bed) -> Result<Lease> {
    let all = Api::<Lease>::all(bed.client().clone());
    let all = all.list(&Default::default()).await?;
    let mut ours = all
        .into_iter()
        .filter(|lease| lease.name_any() == "cert-manager-controller");
    ours.next().context("there is no lease")
}
