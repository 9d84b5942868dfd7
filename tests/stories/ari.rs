//! Is a certificate renewed when its CA wants it, and all the same when the CA has no say?

use anyhow::{Context, Error, Result, ensure};
use certwright::{
    api::{
        certificate::{AriStatus, Certificate, CertificateStatus},
        order::Order,
    },
    cluster::Clock,
    pki::certificate::{CertificateFacts, renewal_id},
};
use futures::future::try_join_all;
use jiff::SignedDuration;
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use testbed::{
    Bed,
    bed::ZONE,
    operator::OperatorOptions,
    process::{tail, wait::until},
};

use crate::{
    site::{Issued, SOON, Site},
    work,
};

/// Fault points tried: until the order is placed and written down. What follows is as in any other
/// issuance.
const POINTS: u64 = 13;
const WHY: &str = "https://ca.example/incident";

/// The window is followed, and when the CA moves it into the past, the certificate is renewed at
/// once, by an order that names the one before.
pub(crate) async fn the_ca_wants_it_renewed(bed: &Bed) -> Result<()> {
    let site = Site::new(bed, "ari", json!([{"dns01": bed.dns01("tsig")}])).await?;
    let name = format!("www.{}.{ZONE}", site.namespace.name());
    site.ask("web", &[&name]).await?;
    let first = site.issued("web", &[&name]).await?;
    let (status, ari) = said(&site, "a window", |ari| ari.suggested_window.is_some()).await?;
    let window = ari.suggested_window.context("no window")?;
    let renewal = status.renewal_time.context("no renewal time")?.0;
    ensure!(
        window.start.0 <= renewal && renewal <= window.end.0,
        "{renewal} is not in {window:?}"
    );
    let checked = ari.last_checked.context("not checked")?.0;
    let wait = checked.duration_until(ari.next_check.context("no next check")?.0);
    ensure!(
        wait > SignedDuration::from_hours(5) && wait <= SignedDuration::from_hours(6),
        "the CA says 6 h, and {wait:#} is waited"
    );

    let answer = json!({
        "suggestedWindow": {"start": ago(2), "end": ago(1)},
        "explanationURL": WHY,
    });
    answers(&site, &first, &answer.to_string()).await?;
    let second = site.issued_as("web", 2, &[&name]).await?;
    ensure!(second.leaf.serial != first.leaf.serial);
    told(&site, "RenewalSuggested", WHY).await?;
    let orders = site.api::<Order>().list(&ListParams::default()).await?;
    let replaced = renewal_id(&first.leaf);
    ensure!(
        orders.iter().any(|order| order.spec.replaces == replaced),
        "no order replaces {replaced:?}"
    );
    let log = site.pebble.log().await;
    ensure!(!log.contains("alreadyReplaced"), "{log}");

    // What was said of the first is not said of the second, which is asked about in hours.
    let (_, ari) = said(&site, "the next check", |ari| ari.next_check.is_some()).await?;
    ensure!(ari.suggested_window.is_none(), "{ari:?}");
    Ok(())
}

/// Garbage from the CA is told, and the ordinary schedule stands.
pub(crate) async fn the_ca_says_nothing(bed: &Bed) -> Result<()> {
    let site = Site::new(bed, "ari-none", json!([{"dns01": bed.dns01("tsig")}])).await?;
    let name = format!("www.{}.{ZONE}", site.namespace.name());
    site.ask("web", &[&name]).await?;
    let issued = site.issued("web", &[&name]).await?;
    let (before, _) = said(&site, "a window", |ari| ari.suggested_window.is_some()).await?;
    answers(&site, &issued, "{\"suggestedWindow\": soon}").await?;
    let (after, _) = said(&site, "an error", |ari| ari.last_error.is_some()).await?;
    ensure!(after.renewal_time == before.renewal_time, "{after:?}");
    told(&site, "ARIError", "the ordinary schedule stands").await?;
    site.issued_as("web", 1, &[&name]).await?;

    // An issuer that is not to be asked: nothing of it is left, and a third of the lifetime is.
    site.change_issuer(json!({"renewalInformationSource": "None"}))
        .await?;
    until("the ordinary renewal time", SOON, async || {
        let certificate: Certificate = site.api().get("web").await?;
        let status = certificate.status.context("no status")?;
        ensure!(status.acme.is_none(), "{:?}", status.acme);
        let lifetime = issued.leaf.not_before.duration_until(issued.leaf.not_after);
        let renewal = status.renewal_time.context("no renewal time")?.0;
        let left = renewal.duration_until(issued.leaf.not_after) - lifetime / 3;
        ensure!(left.abs() <= SignedDuration::from_secs(1), "{left}");
        Ok(())
    })
    .await
}

/// An operator that is told that the CA wants a certificate renewed dies before each of its first
/// requests; the next one has it renewed, once, by an order that names the one before.
pub(crate) async fn at_every_request(bed: &Bed) -> Result<()> {
    let pebble = work::pebble(bed, "crash-ari").await?;
    let wide = OperatorOptions {
        name: "crash-ari-wide".to_owned(),
        args: vec!["--leader-elect=false".to_owned()],
        ..OperatorOptions::default()
    };
    let operator = bed.operator(&wide).await?;
    let cases = try_join_all((1..=POINTS).map(async |point| {
        let namespace = bed.namespace("crash-ari").await?;
        let solvers = json!([{"dns01": bed.dns01("tsig")}]);
        let issuer = bed.acme_issuer("ca", &pebble, &solvers);
        let host = format!("www.{}.{ZONE}", namespace.name());
        let web = work::certificate("web", &[host]);
        let objects = [bed.tsig_secret("tsig"), issuer, web];
        namespace.apply_all(&objects).await?;
        namespace.ready("web", SOON).await?;
        let first: Secret = namespace.api().get("web").await?;
        let pem = first.data.context("an empty Secret")?["tls.crt"].0.clone();
        // Asked once already, so that only the answer is new.
        until("a window", SOON, async || {
            let certificate: Certificate = namespace.api().get("web").await?;
            let status = certificate.status.and_then(|status| status.acme);
            let ari = status.and_then(|acme| acme.ari).context("not asked")?;
            ensure!(ari.suggested_window.is_some());
            Ok(())
        })
        .await?;
        Ok::<_, Error>((point, namespace, String::from_utf8(pem)?))
    }))
    .await?;
    ensure!(operator.stop().await?.success());

    let window = json!({"suggestedWindow": {"start": ago(2), "end": ago(1)}}).to_string();
    let killed = try_join_all(cases.iter().map(async |(point, namespace, pem)| {
        pebble.answer_renewal_info(pem, &window).await?;
        due(&namespace.api()).await?;
        let options = OperatorOptions {
            name: format!("{}-{point}", namespace.name()),
            args: vec![
                format!("--namespace={}", namespace.name()),
                "--leader-elect=false".to_owned(),
                format!("--fault-point={point}"),
            ],
            wait: false,
            ..OperatorOptions::default()
        };
        let mut operator = bed.operator(&options).await?;
        operator
            .wait(SOON)
            .await
            .with_context(|| tail(&operator.log()))?;
        ensure!(operator.log().contains("fault point reached"));
        Ok::<_, Error>(())
    }))
    .await?;
    ensure!(killed.len() == cases.len());

    let operator = bed.operator(&wide).await?;
    for (point, namespace, pem) in &cases {
        let told = || format!("killed before request {point}:\n{}", tail(&operator.log()));
        until("the renewal", SOON, async || {
            let certificate: Certificate = namespace.api().get("web").await?;
            ensure!(work::is_ready(&certificate), "not ready");
            let revision = certificate.status.and_then(|status| status.revision);
            ensure!(revision == Some(2), "revision {revision:?}");
            Ok(())
        })
        .await
        .with_context(told)?;
        let replaced = renewal_id(&CertificateFacts::from_pem(pem.as_bytes())?);
        let orders: Api<Order> = namespace.api();
        let orders = orders.list(&ListParams::default()).await?;
        let naming = orders
            .iter()
            .filter(|order| order.spec.replaces == replaced);
        ensure!(
            naming.count() == 1,
            "point {point}: {} orders",
            orders.items.len()
        );
    }
    let log = pebble.log().await;
    ensure!(!log.contains("alreadyReplaced"), "{log}");
    let issued = pebble.issued().await.len();
    ensure!(issued == 2 * cases.len(), "{issued} certificates");
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// Have the CA answer so when it is asked about a certificate, and have it asked.
async fn answers(site: &Site<'_>, issued: &Issued, answer: &str) -> Result<()> {
    let pem = str::from_utf8(issued.entry("tls.crt"))?;
    site.pebble.answer_renewal_info(pem, answer).await?;
    due(&site.api()).await
}

/// Have the operator ask the CA about Certificate `web` now.
async fn due(certificates: &Api<Certificate>) -> Result<()> {
    let patch = Patch::Merge(json!({"status": {"acme": {"ari": {"nextCheck": ago(1)}}}}));
    let params = PatchParams::default();
    certificates.patch_status("web", &params, &patch).await?;
    Ok(())
}

/// Wait until the status holds renewal information like this.
async fn said(
    site: &Site<'_>,
    what: &str,
    wanted: impl Fn(&AriStatus) -> bool,
) -> Result<(CertificateStatus, AriStatus)> {
    until(what, SOON, async || {
        let certificate: Certificate = site.api().get("web").await?;
        let status = certificate.status.context("no status")?;
        let ari = status.acme.clone().and_then(|acme| acme.ari);
        let ari = ari.context("no renewal information")?;
        ensure!(wanted(&ari), "{ari:?}");
        Ok((status, ari))
    })
    .await
}

async fn told(site: &Site<'_>, reason: &str, text: &str) -> Result<()> {
    let events = site.api::<Event>();
    until("the event", SOON, async || {
        let all = events.list(&ListParams::default()).await?;
        let told = all.items.iter().any(|event| {
            event.reason.as_deref() == Some(reason)
                && event
                    .note
                    .as_deref()
                    .is_some_and(|note| note.contains(text))
        });
        ensure!(told, "{} events, none of them this one", all.items.len());
        Ok(())
    })
    .await
}

fn ago(hours: i64) -> String {
    (Clock::default().now() - SignedDuration::from_hours(hours))
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}
