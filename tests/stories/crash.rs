//! Is a certificate issued once, and nothing left over, wherever the operator was killed?

use anyhow::{Context, Result, bail, ensure};
use futures::future::try_join_all;
use testbed::{
    Bed,
    acme::Pebble,
    operator::OperatorOptions,
    process::{tail, wait::until},
};

use crate::work::{self, SOON, Way, Work};

/// Fault points tried at the same time.
const WIDTH: u64 = 8;
/// More requests than an issuance can take.
const MOST: u64 = 120;
/// Orders that may be placed and then forgotten: those whose URL was not stored yet.
const FORGOTTEN: usize = 3;

pub(crate) async fn at_every_request_of_dns01(bed: &Bed) -> Result<()> {
    sweep(bed, "crash-dns01", Way::Dns01).await
}

pub(crate) async fn at_every_request_of_http01(bed: &Bed) -> Result<()> {
    sweep(bed, "crash-http01", Way::Http01).await
}

/// Kills an operator before its first request that changes something, another before its second
/// one, and so on until an issuance gets by. After each, one that is not killed finishes the work.
async fn sweep(bed: &Bed, name: &str, way: Way) -> Result<()> {
    let pebble = work::pebble(bed, name).await?;
    let mut first = 1;
    loop {
        ensure!(first < MOST, "no issuance gets by fault point {first}");
        let points = first..first + WIDTH;
        first += WIDTH;
        let disturbed = points.map(|point| disturb(bed, &pebble, name, way, point));
        let disturbed = try_join_all(disturbed).await?;

        let healer = OperatorOptions {
            name: format!("{name}-healer"),
            args: vec!["--leader-elect=false".to_owned()],
            ..OperatorOptions::default()
        };
        let healer = bed.operator(&healer).await?;
        let checks = disturbed.iter().map(async |(point, _, work)| {
            let place = work.namespace.name();
            let told = || format!("killed before request {point} in {place}");
            work.is_done().await.with_context(told)
        });
        if let Err(error) = try_join_all(checks).await {
            bail!("{error:#}\n{}", tail(&healer.log()));
        }
        healer.stop().await?;
        if disturbed.iter().any(|(_, end, _)| *end == End::Done) {
            break;
        }
    }
    let tried = usize::try_from(first - 1)?;
    let issued = pebble.issued().await.len();
    ensure!(issued == tried, "{issued} certificates for {tried} names");
    let log = pebble.log().await;
    let orders = log.lines().filter(|line| line.contains("Added order"));
    let orders = orders.count();
    ensure!(
        orders <= tried + FORGOTTEN,
        "{orders} orders for {tried} names"
    );
    Ok(())
}

/// How an operator with a fault point ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// At the fault point.
    Killed,
    /// There was no such request: the work is done.
    Done,
}

/// Has an operator of its own issue one certificate until it reaches the fault point.
async fn disturb<'a>(
    bed: &'a Bed,
    pebble: &'a Pebble,
    name: &str,
    way: Way,
    point: u64,
) -> Result<(u64, End, Work<'a>)> {
    let mut work = Work::new(bed, pebble, name, way).await?;
    work.ask("www").await?;
    let options = OperatorOptions {
        name: format!("{name}-{point}"),
        args: vec![
            format!("--namespace={}", work.namespace.name()),
            "--leader-elect=false".to_owned(),
            format!("--fault-point={point}"),
        ],
        // It may end before it is ready.
        wait: false,
        ..OperatorOptions::default()
    };
    let mut operator = bed.operator(&options).await?;
    let end = until("the end at the fault point", SOON, async || {
        if operator.exited()?.is_some() {
            return Ok(End::Killed);
        }
        ensure!(work.ready().await? == work.count(), "not ready");
        work.is_tidy().await?;
        Ok(End::Done)
    })
    .await
    .with_context(|| format!("fault point {point}:\n{}", tail(&operator.log())))?;
    match end {
        End::Killed => {
            let log = operator.log();
            ensure!(log.contains("fault point reached"), "{}", tail(&log));
        }
        End::Done => {
            operator.signal("TERM")?;
            let status = operator.wait(SOON).await?;
            // What is asked of the CA once all is done, renewal information, may be cut off too.
            if operator.log().contains("fault point reached") {
                return Ok((point, End::Killed, work));
            }
            ensure!(status.success(), "asked to stop, it ended with {status}");
        }
    }
    Ok((point, end, work))
}
