//! Is a Certificate tried again once DNS is right, without anybody saying so?

use anyhow::{Context, Result, ensure};
use certwright::api::certificate::Certificate;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{events::v1::Event, networking::v1::Ingress};
use kube::{Api, api::ListParams};
use serde_json::json;
use testbed::{
    Bed,
    bed::{ALIAS_ZONE, ZONE},
    dns::{Data, RecordType},
    operator::OperatorOptions,
    process::wait::until,
};

use crate::site::{SOON, Site, certificate};

/// The wait after the first failure is longer than a story is patient.
const FIRST_WAIT: &str = "--certificate-request-minimum-backoff-duration=3m";
/// The shortest that it may become: a quarter.
const SHORTEST: SignedDuration = SignedDuration::from_secs(45);

/// A name that does not resolve fails, and so does one whose record is looked for elsewhere. Once DNS
/// is right nobody has to say so, and nothing was put in place for it meanwhile.
pub(crate) async fn dns_is_put_right(bed: &Bed) -> Result<()> {
    let options = OperatorOptions {
        args: vec![FIRST_WAIT.to_owned()],
        ..OperatorOptions::default()
    };
    let operator = bed.operator(&options).await?;
    let by_dns = json!({"matchLabels": {"by": "dns"}});
    let solvers = json!([
        {"http01": bed.http01(), "waitInsteadOfSelfCheck": "1s"},
        {"dns01": bed.dns01("tsig"), "waitInsteadOfSelfCheck": "1s", "selector": by_dns},
    ]);
    let site = Site::new(bed, "answers", solvers).await?;
    // The wildcard of the zone does not reach below a name that exists.
    let domain = format!("{}.{ZONE}", site.namespace.name());
    bed.host(&domain)?;
    let host = format!("www.{domain}");
    site.ask("www", &[&host]).await?;
    let record = format!("_acme-challenge.{domain}");
    let elsewhere = Data::Cname(format!("nothing.{ALIAS_ZONE}"));
    bed.dns().set_record(&record, &elsewhere)?;
    let mut apex = certificate("apex", json!({"dnsNames": [domain]}))?;
    apex["metadata"]["labels"] = json!({"by": "dns"});
    site.namespace.apply_all(&[apex]).await?;

    let wait = async |name: &str, challenge: &str| {
        let failed = site.says(name, "; next try at ").await?;
        ensure!(failed.message.contains(challenge), "{failed:?}");
        let since = failure(&site, name).await?;
        let waits = since.duration_until(next_try(&failed.message)?);
        ensure!(waits == SHORTEST * 4, "{failed:?}");
        Ok(since)
    };
    let since_www = wait("www", &format!("HTTP-01 of {host}: ")).await?;
    let since_apex = wait("apex", &format!("DNS-01 of {domain}: ")).await?;
    // CAA is asked for after the addresses.
    until("DNS is looked at", SOON, async || {
        ensure!(bed.dns().asked(&host, RecordType::CAA) > 0);
        ensure!(bed.dns().asked(&record, RecordType::CNAME) > 0);
        Ok(())
    })
    .await?;
    ensure!(site.names::<Ingress>().await?.is_empty());
    bed.host(&host)?;
    bed.dns().remove_record(&record, RecordType::CNAME)?;
    for (name, changed, since) in [("www", &host, since_www), ("apex", &domain, since_apex)] {
        let said = format!("; DNS of {changed} changed; next try at ");
        let state = site.says(name, &said).await?;
        let waits = since.duration_until(next_try(&state.message)?);
        ensure!(waits == SHORTEST, "{state:?}");
        tells(&site, name, &format!("DNS of {changed} changed: ")).await?;
    }
    ensure!(site.names::<Ingress>().await?.is_empty());
    ensure!(bed.dns().records(&record, RecordType::TXT).is_empty());
    // Before the ordinary wait is over.
    site.issued("www", &[&host]).await?;
    site.issued("apex", &[&domain]).await?;
    ensure!(operator.stop().await?.success());
    Ok(())
}

async fn failure(site: &Site<'_>, name: &str) -> Result<Timestamp> {
    let certificate: Certificate = site.api().get(name).await?;
    let status = certificate.status.context("no status")?;
    Ok(status.last_failure_time.context("no failure")?.0)
}

fn next_try(message: &str) -> Result<Timestamp> {
    let (_, at) = message
        .rsplit_once("; next try at ")
        .context("no next try")?;
    Ok(at.parse()?)
}

async fn tells(site: &Site<'_>, certificate: &str, text: &str) -> Result<()> {
    let events: Api<Event> = site.api();
    until("the event", SOON, async || {
        let all = events.list(&ListParams::default()).await?;
        let ours = all.iter().filter(|event| {
            let regarding = event.regarding.as_ref().and_then(|one| one.name.as_deref());
            event.reason.as_deref() == Some("DNSChanged") && regarding == Some(certificate)
        });
        let notes: Vec<&str> = ours.filter_map(|event| event.note.as_deref()).collect();
        ensure!(
            matches!(notes[..], [note] if note.starts_with(text)),
            "{notes:?}"
        );
        Ok(())
    })
    .await
}
