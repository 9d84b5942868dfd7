//! Do names that can never be proven hold up those that can?

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Result, ensure};
use certwright::api::{certificate::Certificate, challenge::Challenge, order::State};
use kube::api::ListParams;
use testbed::{Bed, acme::Pebble, dns::Data, operator::OperatorOptions, process::wait::until};
use tokio::net::TcpListener;

use crate::work::{self, SOON, Way, Work};

/// Certificates that are never issued.
const BROKEN: usize = 4;
/// Names in each.
const NAMES: usize = 16;

/// Names that lead nowhere, or to a server that never answers, wait; others, whether of the same
/// issuer or of another, are proven meanwhile, with many challenges at a time or with few.
pub(crate) async fn broken_names_hold_nobody_up(bed: &Bed) -> Result<()> {
    let pebble = work::pebble(bed, "fairness").await?;
    // Connections are taken, and nothing is ever said.
    let silent = Ipv4Addr::new(127, 0, 0, 9);
    let port = bed.ingress().http().port();
    let _silent = TcpListener::bind(SocketAddr::from((silent, port))).await?;
    for slots in [5, 60] {
        let mut crowded = crowd(bed, &pebble, silent).await?;
        let operator = OperatorOptions {
            name: format!("fairness-{slots}"),
            args: vec![
                "--leader-elect=false".to_owned(),
                format!("--max-concurrent-challenges={slots}"),
            ],
            ..OperatorOptions::default()
        };
        let operator = bed.operator(&operator).await?;
        until("the broken Challenges", SOON, async || {
            let waiting = waiting(&crowded).await?;
            ensure!(waiting == BROKEN * NAMES, "there are {waiting}");
            Ok(())
        })
        .await?;
        let mut quiet = Work::new(bed, &pebble, "quiet", Way::Http01).await?;
        let good = format!("good-{slots}");
        quiet.ask(&good).await?;
        crowded.ask(&good).await?;
        quiet.is_done().await?;
        crowded.namespace.ready(&good, SOON).await?;
        ensure!(waiting(&crowded).await? >= BROKEN * NAMES);
        for number in 0..BROKEN {
            let name = format!("broken-{number}");
            let broken: Certificate = crowded.namespace.api().get(&name).await?;
            ensure!(!work::is_ready(&broken), "{name} was issued");
        }
        ensure!(operator.stop().await?.success());
    }
    ensure!(pebble.issued().await.len() == 4);
    Ok(())
}

/// Certificates of names that cannot be proven.
async fn crowd<'a>(bed: &'a Bed, pebble: &'a Pebble, silent: Ipv4Addr) -> Result<Work<'a>> {
    let crowded = Work::new(bed, pebble, "crowded", Way::Http01).await?;
    for number in 0..BROKEN {
        let mut hosts = Vec::new();
        for name in 0..NAMES {
            let host = crowded.host(&format!("broken-{number}-{name}"));
            let data = match name % 2 {
                0 => Data::Address(silent.into()),
                _ => Data::Txt("no address".to_owned()),
            };
            bed.dns().set_record(&host, &data)?;
            hosts.push(host);
        }
        let broken = work::certificate(&format!("broken-{number}"), &hosts);
        crowded.namespace.apply_all(&[broken]).await?;
    }
    Ok(crowded)
}

/// How many Challenges are not over.
async fn waiting(work: &Work<'_>) -> Result<usize> {
    let challenges = work.namespace.api::<Challenge>();
    let challenges = challenges.list(&ListParams::default()).await?;
    let is_over = |challenge: &&Challenge| {
        let state = challenge.status.as_ref().and_then(|status| status.state);
        !state.is_some_and(State::is_final)
    };
    Ok(challenges.items.iter().filter(is_over).count())
}
