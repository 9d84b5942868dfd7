//! Is a certificate renewed when its CA wants it, and all the same when the CA has no say?

use anyhow::{Context, Result, ensure};
use certwright::{
    api::{
        certificate::{AriStatus, Certificate, CertificateStatus},
        order::Order,
    },
    cluster::Clock,
    pki::certificate::renewal_id,
};
use jiff::SignedDuration;
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use testbed::{Bed, bed::ZONE, process::wait::until};

use crate::site::{Issued, SOON, Site};

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

/// Have the CA answer so when it is asked about a certificate, and have it asked.
async fn answers(site: &Site<'_>, issued: &Issued, answer: &str) -> Result<()> {
    let pem = str::from_utf8(issued.entry("tls.crt"))?;
    site.pebble.answer_renewal_info(pem, answer).await?;
    let patch = json!({"status": {"acme": {"ari": {"nextCheck": ago(1)}}}});
    site.api::<Certificate>()
        .patch_status("web", &PatchParams::default(), &Patch::Merge(patch))
        .await?;
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
