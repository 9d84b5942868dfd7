//! Do several replicas, and those that come after them, get work done once?

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use certwright::api::challenge::Challenge;
use kube::api::ListParams;
use testbed::{
    Bed,
    dns::Data,
    operator::{Operator, OperatorOptions},
    process::{ports, tail, wait::until},
    web,
};

use crate::work::{self, SOON, Way, Work};

/// Certificates that are asked for at once.
const MANY: usize = 8;

/// The leader is killed in the middle of its work: the other replica finishes it, and issues
/// nothing twice.
pub(crate) async fn the_other_one_goes_on(bed: &Bed) -> Result<()> {
    let pebble = work::pebble(bed, "replicas").await?;
    let mut work = Work::new(bed, &pebble, "replicas", Way::Dns01).await?;
    let leader = bed.operator(&replica("first")).await?;
    leads(&leader).await?;
    let mut other = bed.operator(&replica("second")).await?;
    ensure!(!is_leading(&other).await?);
    ask_many(&mut work).await?;
    in_the_middle(&work).await?;
    leader.kill().await?;
    ensure!(work.ready().await? < MANY, "too late to disturb anything");
    finished(&work, &other).await?;
    ensure!(pebble.issued().await.len() == MANY);
    ensure!(other.exited()?.is_none());
    ensure!(other.stop().await?.success());
    Ok(())
}

/// Asked to stop in the middle of its work, the operator ends within its grace, and the next one
/// goes on from there.
pub(crate) async fn a_stopped_one_is_resumed(bed: &Bed) -> Result<()> {
    let pebble = work::pebble(bed, "stopped").await?;
    for way in [Way::Dns01, Way::Http01] {
        let before = pebble.issued().await.len();
        let mut work = Work::new(bed, &pebble, "stopped", way).await?;
        let first = bed.operator(&replica("stopped")).await?;
        leads(&first).await?;
        ask_many(&mut work).await?;
        in_the_middle(&work).await?;
        let status = first.stop().await?;
        ensure!(status.success(), "asked to stop, it ended with {status}");
        ensure!(work.ready().await? < MANY, "too late to disturb anything");
        let second = bed.operator(&replica("resuming")).await?;
        finished(&work, &second).await?;
        ensure!(pebble.issued().await.len() == before + MANY);
        ensure!(second.stop().await?.success());
    }
    Ok(())
}

/// A replica that does not lead answers challenges too: here, all of them.
pub(crate) async fn any_replica_answers(bed: &Bed) -> Result<()> {
    let pebble = work::pebble(bed, "answers").await?;
    let mut work = Work::new(bed, &pebble, "answers", Way::Http01).await?;
    let address = SocketAddr::new(bed.address(), ports::free()?);
    let mut leader = replica("leading");
    let lead_to = format!("--acme-http01-solver-addresses={address}");
    leader.args.push(lead_to.clone());
    let leader = bed.operator(&leader).await?;
    leads(&leader).await?;
    let mut answering = replica("answering");
    answering.args.push(lead_to);
    let listen = format!("--acme-http01-solver-listen-address={address}");
    answering.args.push(listen);
    let answering = bed.operator(&answering).await?;
    ensure!(!is_leading(&answering).await?);

    work.ask("routed").await?;
    finished(&work, &leader).await?;

    // One that waits for the world outside, so that there is time to ask by hand.
    let host = work.host("waiting");
    bed.dns()
        .set_record(&host, &Data::Txt("no address".to_owned()))?;
    work.ask_elsewhere("waiting").await?;
    let text = format!("Waiting for HTTP-01 of {host}: ");
    work.namespace.says("waiting", &text, SOON).await?;
    let challenges = work.namespace.api::<Challenge>();
    let challenges = challenges.list(&ListParams::default()).await?;
    let spec = &challenges.items.first().context("no Challenge")?.spec;
    for replica in [leader.solver(), address] {
        let ask = async |host: &str, token: &str| -> Result<(u16, String)> {
            let url = format!("http://{replica}/.well-known/acme-challenge/{token}");
            let request = web::client(&[])?.get(url).header("Host", host);
            let answer = request.send().await?;
            Ok((answer.status().as_u16(), answer.text().await?))
        };
        until("the answer", SOON, async || {
            let (status, text) = ask(&host, &spec.token).await?;
            ensure!((status, &text) == (200, &spec.key), "{status} {text:?}");
            Ok(())
        })
        .await?;
        ensure!(ask("elsewhere.example.com", &spec.token).await?.0 == 404);
        ensure!(ask(&host, "another-token").await?.0 == 404);
    }

    // Now the one that answers comes to lead.
    leader.kill().await?;
    bed.host(&host)?;
    finished(&work, &answering).await?;
    ensure!(pebble.issued().await.len() == 2);
    ensure!(answering.stop().await?.success());
    Ok(())
}

/// A replica that takes over quickly.
pub(crate) fn replica(name: &str) -> OperatorOptions {
    OperatorOptions {
        name: format!("replica-{name}"),
        args: vec![
            "--leader-election-lease-duration=4s".to_owned(),
            "--leader-election-renew-deadline=3s".to_owned(),
            "--leader-election-retry-period=1s".to_owned(),
        ],
        ..OperatorOptions::default()
    }
}

async fn ask_many(work: &mut Work<'_>) -> Result<()> {
    for number in 0..MANY {
        work.ask(&format!("c{number}")).await?;
    }
    Ok(())
}

/// Waits until work has begun.
async fn in_the_middle(work: &Work<'_>) -> Result<()> {
    until("a Challenge", SOON, async || {
        let challenges = work.namespace.api::<Challenge>();
        let challenges = challenges.list(&ListParams::default()).await?;
        ensure!(!challenges.items.is_empty(), "there is none");
        Ok(())
    })
    .await
}

async fn finished(work: &Work<'_>, operator: &Operator) -> Result<()> {
    let done = work.is_done().await;
    done.with_context(|| tail(&operator.log()))
}

pub(crate) async fn leads(operator: &Operator) -> Result<()> {
    until("the replica to lead", Duration::from_secs(30), async || {
        ensure!(is_leading(operator).await?, "{}", tail(&operator.log()));
        Ok(())
    })
    .await
}

/// Whether it leads, in its own words.
pub(crate) async fn is_leading(operator: &Operator) -> Result<bool> {
    let metrics = operator.metrics().await?;
    Ok(metrics.lines().any(|line| line == "certwright_leading 1"))
}
