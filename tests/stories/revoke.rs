//! Is a certificate revoked at its CA, whatever stands in the way, and on demand?

use anyhow::{Context, Result, ensure};
use certwright::{
    api::{issuance::IssuanceState, issuer::Issuer, names::annotation},
    cluster::Clock,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use testbed::{
    Bed,
    acme::Refusal,
    operator::OperatorOptions,
    process::{tail, wait::until},
};

use crate::{scene::Scene, site::SOON};

/// Crash points tried: more than there are requests between a deletion and its end.
const POINTS: u64 = 9;

/// A CA that cannot be reached is asked again, by whoever works then.
pub(crate) async fn the_ca_is_down(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "down").await?;
    let args = ["--deletion-delay=1s"];
    let operator = scene.operator(&args).await?;
    let serial = scene.issued("www").await?.leaf.serial;
    scene.site.pebble.unplug();
    scene.delete("www").await?;
    until("a try to fail", SOON, async || {
        let status = scene.record(&serial).await?.status.unwrap_or_default();
        let failed = status.tries.is_some() && status.next_try.is_some();
        ensure!(status.state == Some(IssuanceState::Revoking), "{status:?}");
        ensure!(failed && status.message.is_some(), "{status:?}");
        Ok(())
    })
    .await?;
    ensure!(scene.has_secret("www").await?);
    operator.kill().await?;
    scene.site.pebble.plug().await?;
    let operator = scene.operator(&args).await?;
    scene
        .becomes(&serial, IssuanceState::Revoked, &operator)
        .await?;
    ensure!(scene.at_ca(&serial).await? == "5");
    scene.secret_goes("www").await?;
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// Issuer and account key are gone too: the certificate's own key signs.
pub(crate) async fn the_account_is_lost(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "lost").await?;
    let operator = scene.operator(&["--deletion-delay=1s"]).await?;
    let serial = scene.issued("www").await?.leaf.serial;
    let issuers: Api<Issuer> = scene.site.api();
    issuers.delete("ca", &DeleteParams::default()).await?;
    let secrets: Api<Secret> = scene.site.api();
    secrets
        .delete("ca-account", &DeleteParams::default())
        .await?;
    scene.delete("www").await?;
    let done = scene
        .becomes(&serial, IssuanceState::Revoked, &operator)
        .await?;
    let revocation = done.status.and_then(|status| status.revocation);
    let signed_by = revocation.and_then(|revocation| revocation.signed_by);
    ensure!(
        signed_by.as_deref() == Some("key of the certificate"),
        "{signed_by:?}"
    );
    ensure!(scene.at_ca(&serial).await? == "5");
    scene.secret_goes("www").await?;
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// A CA that takes no more just now is asked again when it says, or after a pause, also by an operator
/// that starts meanwhile; what waited is revoked once it answers.
pub(crate) async fn the_ca_says_later(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "later").await?;
    let gate = scene.site.pebble.gate().await?;
    let server = json!({"server": gate.directory_url()});
    scene.site.change_issuer(server).await?;
    let args = ["--deletion-delay=1s"];
    let operator = scene.operator(&args).await?;
    let gone = scene.issued("gone").await?.leaf.serial;
    let asked = scene.issued("asked").await?.leaf.serial;
    gate.refuse_revocations(Refusal {
        status: 429,
        problem: json!({
            "type": "urn:ietf:params:acme:error:rateLimited", "detail": "not now", "status": 429,
        }),
        retry_after: Some(3600),
    });
    let begin = Clock::default().now();
    scene.delete("gone").await?;
    scene
        .annotate("asked", annotation::REVOKE, Some("superseded"))
        .await?;
    for serial in [&gone, &asked] {
        let next = tried(&scene, serial, 1, "not now").await?;
        let wait = begin.duration_until(next);
        // Written down to the second.
        ensure!(wait >= SignedDuration::from_secs(3599), "{wait}");
    }
    // Another has taken its place already, and what was deleted is not lost.
    scene
        .site
        .issued_as("asked", 2, &[&scene.host("asked")])
        .await?;
    ensure!(scene.has_secret("gone").await?);
    ensure!(gate.refused() == 2, "{} tries", gate.refused());

    // Who comes next keeps to it too: what is new is asked for, and nothing else.
    operator.kill().await?;
    let operator = scene.operator(&args).await?;
    let third = scene.issued("third").await?.leaf.serial;
    scene.delete("third").await?;
    tried(&scene, &third, 1, "not now").await?;
    ensure!(gate.refused() == 3, "{} tries", gate.refused());

    // Something in front of the CA is broken; an hour has passed, it seems.
    gate.refuse_revocations(Refusal {
        status: 503,
        problem: Value::Null,
        retry_after: None,
    });
    for serial in [&gone, &asked, &third] {
        sooner(&scene, serial).await?;
        tried(&scene, serial, 2, "503").await?;
    }
    ensure!(scene.at_ca(&gone).await? == "Valid");
    gate.admit();
    for (serial, reason) in [(&gone, "5"), (&asked, "4"), (&third, "5")] {
        sooner(&scene, serial).await?;
        scene
            .becomes(serial, IssuanceState::Revoked, &operator)
            .await?;
        ensure!(scene.at_ca(serial).await? == reason);
    }
    scene.secret_goes("gone").await?;
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// Waits for so many failed tries, the last of which ended so. When the next is.
async fn tried(scene: &Scene<'_>, serial: &str, tries: i32, why: &str) -> Result<Timestamp> {
    until("a try to fail", SOON, async || {
        let status = scene.record(serial).await?.status.unwrap_or_default();
        ensure!(status.state == Some(IssuanceState::Revoking), "{status:?}");
        ensure!(status.tries == Some(tries), "{status:?}");
        let message = status.message.unwrap_or_default();
        ensure!(message.contains(why), "{message}");
        Ok(status.next_try.context("no next try")?.0)
    })
    .await
}

/// Lets the next try be now.
async fn sooner(scene: &Scene<'_>, serial: &str) -> Result<()> {
    let name = scene.record(serial).await?.name_any();
    let patch = Patch::Merge(json!({"status": {"nextTry": "2026-01-01T00:00:00Z"}}));
    let params = PatchParams::default();
    scene.records().patch(&name, &params, &patch).await?;
    Ok(())
}

/// The account key was deleted, and the issuer has another account now: the old account's certificate
/// is revoked by its own key, as long as that is there.
pub(crate) async fn another_account_key(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "account").await?;
    let operator = scene.operator(&["--deletion-delay=1s"]).await?;
    let serial = scene.issued("www").await?.leaf.serial;
    let old = scene
        .record(&serial)
        .await?
        .spec
        .acme
        .context("no account")?;
    operator.kill().await?;
    let secrets: Api<Secret> = scene.site.api();
    secrets
        .delete("ca-account", &DeleteParams::default())
        .await?;
    let operator = scene.operator(&["--deletion-delay=1s"]).await?;
    let issuers: Api<Issuer> = scene.site.api();
    until("another account", SOON, async || {
        let status = issuers.get("ca").await?.status.context("no status")?;
        let uri = status
            .acme
            .and_then(|acme| acme.uri)
            .context("no account")?;
        ensure!(uri != old.account_url, "the same");
        Ok(())
    })
    .await?;
    scene.delete("www").await?;
    let done = scene
        .becomes(&serial, IssuanceState::Revoked, &operator)
        .await?;
    let revocation = done.status.and_then(|status| status.revocation);
    let signed_by = revocation.and_then(|revocation| revocation.signed_by);
    ensure!(
        signed_by.as_deref() == Some("key of the certificate"),
        "{signed_by:?}"
    );
    ensure!(scene.at_ca(&serial).await? == "5");
    // What the new account orders, it revokes.
    let serial = scene.issued("www").await?.leaf.serial;
    scene.delete("www").await?;
    let done = scene
        .becomes(&serial, IssuanceState::Revoked, &operator)
        .await?;
    let revocation = done.status.and_then(|status| status.revocation);
    let signed_by = revocation.and_then(|revocation| revocation.signed_by);
    ensure!(signed_by.as_deref() == Some("account key"), "{signed_by:?}");
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// The operator dies before each of its requests between a deletion and its end; the next one
/// finishes the work.
pub(crate) async fn at_every_request(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "crash-retire").await?;
    let mut died = 0;
    for point in 1..=POINTS {
        let name = format!("c{point}");
        let healer = scene.operator(&["--deletion-delay=1s"]).await?;
        let serial = scene.issued(&name).await?.leaf.serial;
        ensure!(healer.stop().await?.success());

        scene.delete(&name).await?;
        let options = OperatorOptions {
            name: format!("crash-retire-{point}"),
            args: vec![
                format!("--namespace={}", scene.site.namespace.name()),
                "--leader-elect=false".to_owned(),
                "--deletion-delay=1s".to_owned(),
                format!("--fault-point={point}"),
            ],
            wait: false,
            ..OperatorOptions::default()
        };
        let mut operator = bed.operator(&options).await?;
        let has_died = until("the end", SOON, async || {
            if operator.exited()?.is_some() {
                return Ok(true);
            }
            let status = scene.record(&serial).await?.status.unwrap_or_default();
            let is_done = status.state == Some(IssuanceState::Revoked);
            ensure!(is_done && !scene.has_secret(&name).await?, "{status:?}");
            Ok(false)
        })
        .await
        .with_context(|| tail(&operator.log()))?;
        if has_died {
            died += 1;
            ensure!(operator.log().contains("fault point reached"));
        } else {
            operator.kill().await?;
        }
        let healer = scene.operator(&["--deletion-delay=1s"]).await?;
        scene
            .becomes(&serial, IssuanceState::Revoked, &healer)
            .await?;
        scene.secret_goes(&name).await?;
        ensure!(scene.at_ca(&serial).await? == "5", "point {point}");
        ensure!(healer.stop().await?.success());
        if !has_died {
            break;
        }
    }
    ensure!(died >= 4, "there are only {died} requests");
    Ok(())
}

/// On demand another certificate comes first; a key that others have is revoked first, and never used
/// again, even where the Certificate says to keep its key.
pub(crate) async fn on_demand(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "demand").await?;
    let operator = scene.operator(&[]).await?;
    scene.ask("rotated", json!({})).await?;
    let keep = json!({"privateKey": {"algorithm": "ECDSA", "rotationPolicy": "Never"}});
    scene.ask("kept", keep).await?;
    let hosts = ["rotated", "kept"].map(|name| scene.host(name));
    let rotated = scene.site.issued("rotated", &[&hosts[0]]).await?;
    let kept = scene.site.issued("kept", &[&hosts[1]]).await?;

    // Another with the same key: compromised together.
    let renewal = json!({
        "privateKey": {"algorithm": "ECDSA", "rotationPolicy": "Never"},
        "dnsNames": [&hosts[1], scene.host("also")],
    });
    scene.ask("kept", renewal).await?;
    let also = scene.host("also");
    let renewed = scene.site.issued_as("kept", 2, &[&hosts[1], &also]).await?;
    ensure!(renewed.leaf.public_key == kept.leaf.public_key);
    scene
        .becomes(&kept.leaf.serial, IssuanceState::Superseded, &operator)
        .await?;

    scene
        .annotate("rotated", annotation::REVOKE, Some("superseded"))
        .await?;
    scene
        .annotate("kept", annotation::REVOKE, Some("keyCompromise"))
        .await?;
    let new = scene.site.issued_as("rotated", 2, &[&hosts[0]]).await?;
    let fresh = scene.site.issued_as("kept", 3, &[&hosts[1], &also]).await?;
    ensure!(new.leaf.public_key != rotated.leaf.public_key);
    ensure!(
        fresh.leaf.public_key != kept.leaf.public_key,
        "the key again"
    );
    for (issued, reason) in [(&rotated, "4"), (&kept, "1"), (&renewed, "1")] {
        let serial = &issued.leaf.serial;
        let done = scene
            .becomes(serial, IssuanceState::Revoked, &operator)
            .await?;
        let request = done.status.and_then(|status| status.request);
        let by = request.context("no request")?.by;
        ensure!(by.contains(annotation::REVOKE), "{by}");
        let said = scene.at_ca(serial).await?;
        ensure!(said == reason, "{said} is not {reason}");
    }
    // The annotation stands, and was about the others.
    for issued in [&new, &fresh] {
        ensure!(scene.at_ca(&issued.leaf.serial).await? == "Valid");
        let record = scene.record(&issued.leaf.serial).await?;
        let status = record.status.unwrap_or_default();
        ensure!(status.state == Some(IssuanceState::Active) && status.request.is_none());
    }

    // By serial, whatever the Secret holds; and a reason that there is not.
    let asked = format!("cessationOfOperation,serial={}", new.leaf.serial);
    scene
        .annotate("rotated", annotation::REVOKE, Some(&asked))
        .await?;
    scene
        .becomes(&new.leaf.serial, IssuanceState::Revoked, &operator)
        .await?;
    ensure!(scene.at_ca(&new.leaf.serial).await? == "5");
    scene
        .annotate("kept", annotation::REVOKE, Some("because"))
        .await?;
    let events: Api<Event> = scene.site.api();
    until("the event", SOON, async || {
        let all = events.list(&ListParams::default()).await?;
        let told = all.iter().any(|event| {
            event.reason.as_deref() == Some("NotRevoked")
                && event
                    .note
                    .as_deref()
                    .is_some_and(|note| note.contains("keyCompromise"))
        });
        ensure!(told, "{} events, none of them this one", all.items.len());
        Ok(())
    })
    .await?;
    ensure!(scene.at_ca(&fresh.leaf.serial).await? == "Valid");
    ensure!(operator.stop().await?.success());
    Ok(())
}
