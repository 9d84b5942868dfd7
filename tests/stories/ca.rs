//! Does an awkward CA, or one that goes away, keep anybody from a certificate?

use std::{collections::BTreeMap, net::Ipv4Addr};

use anyhow::{Result, ensure};
use certwright::pki::certificate::CertificateFacts;
use jiff::SignedDuration;
use serde_json::json;
use testbed::{
    Bed,
    acme::PebbleOptions,
    dns::{Data, RecordType},
};

use crate::site::Site;

/// Half of the nonces are refused; authorizations are used again, or never.
pub(crate) async fn nonces_and_authorizations(bed: &Bed) -> Result<()> {
    for (reused, name) in [(0, "never-reused.example.com"), (100, "reused.example.com")] {
        let options = PebbleOptions {
            rejected_nonces: 50,
            reused_authorizations: reused,
            ..PebbleOptions::default()
        };
        let solvers = json!([{"dns01": bed.dns01("tsig")}]);
        let place = format!("reuse-{reused}");
        let site = Site::with(bed, &place, &options, solvers).await?;
        site.ask("first", &[name]).await?;
        site.issued("first", &[name]).await?;
        let challenges = site.watch_challenges().await?;
        site.ask_anew("second", &[name]).await?;
        site.issued("second", &[name]).await?;
        let proven = challenges.ways().len();
        ensure!(
            proven == usize::from(reused == 0),
            "{reused}: {proven} challenges"
        );
        site.is_tidy().await?;
        // Every request that failed was tried again within the same step.
        ensure!(site.requests().await?.len() == 2);
    }
    Ok(())
}

/// A profile of the CA is ordered by its name; one that it does not have is told with those it has.
pub(crate) async fn a_profile_is_chosen(bed: &Bed) -> Result<()> {
    let site = Site::new(bed, "profile", json!([{"http01": bed.http01()}])).await?;
    let name = "profile.example.com";
    bed.host(name)?;
    site.change_issuer(json!({"profile": "fast"})).await?;
    site.ask("www", &[name]).await?;
    site.says("www", "use one of: classic, default, shortlived")
        .await?;
    site.change_issuer(json!({"profile": "shortlived"})).await?;
    let leaf = site.issued("www", &[name]).await?.leaf;
    let lifetime = leaf.not_before.duration_until(leaf.not_after);
    ensure!(lifetime <= SignedDuration::from_hours(6 * 24), "{lifetime}");
    ensure!(leaf.subject.common_name.is_empty());
    Ok(())
}

/// Of several chains the preferred one is taken, by the common name that it ends in.
pub(crate) async fn the_preferred_chain_is_taken(bed: &Bed) -> Result<()> {
    let options = PebbleOptions {
        alternate_roots: 2,
        ..PebbleOptions::default()
    };
    let solvers = json!([{"http01": bed.http01()}]);
    let site = Site::with(bed, "chain", &options, solvers).await?;
    let name = "chain.example.com";
    bed.host(name)?;
    let roots = site.pebble.roots().await?;
    ensure!(roots.len() == 3);
    for root in [&roots[0], &roots[2]] {
        let root = CertificateFacts::from_pem(root)?.subject.common_name;
        let chain = serde_json::Value::from(root.as_str());
        site.change_issuer(json!({"preferredChain": chain})).await?;
        let certificate = format!("www-{}", root.rsplit(' ').next().unwrap_or_default());
        site.ask(&certificate, &[name]).await?;
        let issued = site.issued(&certificate, &[name]).await?;
        let text = String::from_utf8_lossy(issued.entry("tls.crt")).into_owned();
        let last = text.rfind("-----BEGIN").map_or("", |at| &text[at..]);
        let top = CertificateFacts::from_pem(last)?;
        ensure!(
            top.issuer_common_name.as_deref() == Some(root.as_str()),
            "{top:?}"
        );
    }
    Ok(())
}

/// A CA that goes away in the middle is waited for; what was begun is finished, not begun again.
pub(crate) async fn down_and_back(bed: &Bed) -> Result<()> {
    let site = Site::new(bed, "ca-down", json!([{"http01": bed.http01()}])).await?;
    let name = "down.example.com";
    let nowhere = Data::Address(Ipv4Addr::LOCALHOST.into());
    bed.dns().set_record(name, &nowhere)?;
    site.ask("www", &[name]).await?;
    site.says("www", "Waiting for HTTP-01 of down.example.com: http://")
        .await?;
    let requests = site.requests().await?;
    site.pebble.unplug();
    // Seen by us, and the CA cannot be told.
    bed.host(name)?;
    let url = site.pebble.directory_url().trim_end_matches("/dir");
    let state = site
        .says("www", &format!("cannot connect to {url}"))
        .await?;
    ensure!(!state.ready && !state.message.contains('\n'), "{state:?}");
    site.pebble.plug().await?;
    site.issued("www", &[name]).await?;
    ensure!(site.requests().await? == requests && requests.len() == 1);
    ensure!(site.pebble.issued().await.len() == 1);
    site.is_tidy().await
}

/// A CA that has lost its accounts is registered with again.
pub(crate) async fn accounts_are_lost(bed: &Bed) -> Result<()> {
    let site = Site::new(bed, "ca-lost", json!([{"dns01": bed.dns01("tsig")}])).await?;
    let name = "lost.example.com";
    site.ask("first", &[name]).await?;
    site.issued("first", &[name]).await?;
    site.pebble.stop().await?;
    site.pebble.resume().await?;
    site.ask_anew("second", &[name]).await?;
    site.issued("second", &[name]).await?;
    site.is_tidy().await?;
    let record = "_acme-challenge.lost.example.com";
    ensure!(bed.dns().records(record, RecordType::TXT).is_empty());
    Ok(())
}

/// An account that is bound to one that the CA knows already.
pub(crate) async fn an_external_account_leads_to_a_secret(bed: &Bed) -> Result<()> {
    let mac = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA";
    let options = PebbleOptions {
        external_accounts: BTreeMap::from([("kid-1".to_owned(), mac.to_owned())]),
        ..PebbleOptions::default()
    };
    let solvers = json!([{"http01": bed.http01()}]);
    let site = Site::with(bed, "ca-eab", &options, solvers).await?;
    let name = "eab.example.com";
    bed.host(name)?;
    site.ask("www", &[name]).await?;
    site.says("www", "set spec.acme.externalAccountBinding")
        .await?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "eab"},
        "stringData": {"mac": mac},
    });
    site.namespace.apply_all(&[secret]).await?;
    let binding = json!({"keyID": "kid-1", "keySecretRef": {"name": "eab", "key": "mac"}});
    site.change_issuer(json!({"externalAccountBinding": binding}))
        .await?;
    site.issued("www", &[name]).await?;
    site.is_tidy().await
}
