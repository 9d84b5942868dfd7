//! Is the CA asked when it should be, and is what it says understood?

use super::*;
use crate::{
    acme::renewal::Window,
    certificate::stories::{World, at, spec},
    net::http::RetryAfter,
};

fn world() -> World {
    let mut world = World::issued(spec());
    world.source = Source::Asked;
    world
}

fn asked(world: &World) -> Ask {
    let situation = world.situation();
    ask(Question {
        certificate: &situation.certificate,
        secret: situation.secret.as_deref(),
        source: situation.source,
        now: situation.now,
    })
}

fn leaf(world: &World) -> Leaf {
    world.target().unwrap().leaf.read().unwrap().clone()
}

fn said(checked: &str, start: &str, end: &str) -> CertificateStatus {
    CertificateStatus {
        acme: Some(CertificateAcmeStatus {
            ari: Some(AriStatus {
                last_checked: Some(Time(at(checked))),
                suggested_window: Some(RenewalInformationWindow {
                    start: Time(at(start)),
                    end: Time(at(end)),
                }),
                ..AriStatus::default()
            }),
        }),
        ..CertificateStatus::default()
    }
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

#[test]
fn a_moment_in_the_window_is_chosen_once() {
    let world = world();
    let leaf = leaf(&world);
    let from = leaf.not_before;
    let text = |hours: i64| (from + SignedDuration::from_hours(hours)).to_string();
    let status = said(&text(1), &text(100), &text(200));
    let first = suggestion(&status, &leaf).unwrap();
    assert!(first.at >= from + hours(100) && first.at < from + hours(200));
    assert!(!first.is_urgent);
    assert_eq!(suggestion(&status, &leaf), Some(first));
    let others: std::collections::BTreeSet<Timestamp> = (0..50)
        .map(|serial| {
            let leaf = Leaf {
                serial: format!("{serial:x}"),
                ..leaf.clone()
            };
            suggestion(&status, &leaf).unwrap().at
        })
        .collect();
    assert!(others.len() > 45, "certificates are spread: {others:?}");

    let past = suggestion(&said(&text(3), &text(1), &text(2)), &leaf).unwrap();
    assert!(past.is_urgent);
    // A window of no length, one that ends before it starts, one of the certificate before.
    let instant = suggestion(&said(&text(1), &text(9), &text(9)), &leaf).unwrap();
    assert_eq!(instant.at, from + hours(9));
    assert_eq!(suggestion(&said(&text(1), &text(9), &text(8)), &leaf), None);
    assert_eq!(
        suggestion(&said(&text(-1), &text(9), &text(10)), &leaf),
        None
    );
    assert_eq!(suggestion(&CertificateStatus::default(), &leaf), None);
}

#[test]
fn the_ca_is_asked_when_due_and_about_what_it_issued() {
    assert_eq!(asked(&world()), Ask::Now);
    let never: [fn(&mut World); 6] = [
        |world| world.source = Source::NotAsked,
        |world| world.source = Source::Unknown,
        |world| world.secrets.clear(),
        |world| world.spec().issuer_ref.name = "another".into(),
        |world| world.now = leaf(world).not_after + hours(1),
        |world| {
            world.certificate.metadata.deletion_timestamp =
                world.certificate.metadata.creation_timestamp.clone();
        },
    ];
    for (case, change) in never.into_iter().enumerate() {
        let mut world = world();
        change(&mut world);
        assert_eq!(asked(&world), Ask::Never, "{case}");
    }

    let mut world = world();
    let info = info("2030-01-01T00:00:00Z", "2030-01-02T00:00:00Z", None);
    let status = world.certificate.status.as_mut().unwrap();
    status.acme = Some(answered(&info, world.now, 0.0));
    assert_eq!(asked(&world), Ask::At(world.now + hours(6)));
    world.now += hours(7);
    assert_eq!(asked(&world), Ask::Now);
    // What was said of the certificate before is of no use.
    world.now -= hours(7);
    let ari = world.certificate.status.as_mut().unwrap().acme.as_mut();
    ari.unwrap().ari.as_mut().unwrap().last_checked = Some(Time(at("2000-01-01T00:00:00Z")));
    assert_eq!(asked(&world), Ask::Now);
}

fn info(start: &str, end: &str, retry_after: Option<RetryAfter>) -> RenewalInfo {
    RenewalInfo {
        suggested_window: Window {
            start: at(start),
            end: at(end),
        },
        explanation_url: Some("https://ca.example/why".into()),
        retry_after,
    }
}

#[test]
fn the_ca_says_when_to_ask_again_within_bounds() {
    let now = at("2026-01-01T00:00:00Z");
    let after = |hours: i64| Some(RetryAfter::After(SignedDuration::from_hours(hours)));
    let table = [
        (None, 0.0, hours(6)),
        (None, 0.5, SignedDuration::from_mins(342)),
        (after(1), 0.0, hours(1)),
        (after(0), 0.0, SignedDuration::from_mins(1)),
        (after(-5), 0.0, SignedDuration::from_mins(1)),
        (after(10_000), 0.0, hours(12)),
        (after(i64::MAX / 3600), 1.0, SignedDuration::from_mins(648)),
        (Some(RetryAfter::At(now + hours(2))), 0.0, hours(2)),
    ];
    for (retry_after, jitter, want) in table {
        let info = info("2026-02-01T00:00:00Z", "2026-02-02T00:00:00Z", retry_after);
        let ari = answered(&info, now, jitter).ari.unwrap();
        let next = ari.next_check.unwrap().0;
        assert_eq!(now.duration_until(next), want, "{retry_after:?} {jitter}");
        assert_eq!(ari.last_checked, Some(Time(now)));
        assert_eq!(
            ari.explanation_url.as_deref(),
            Some("https://ca.example/why")
        );
    }
}

#[test]
fn what_the_ca_said_stands_while_it_is_silent() {
    let now = at("2026-01-01T00:00:00Z");
    let info = info("2026-02-01T00:00:00Z", "2026-02-02T00:00:00Z", None);
    let known = answered(&info, now, 0.0);
    let failed = unanswered(Some(&known), &"x".repeat(5000), now, 0.0)
        .ari
        .unwrap();
    let before = known.ari.unwrap();
    assert_eq!(failed.suggested_window, before.suggested_window);
    assert_eq!(failed.last_checked, before.last_checked);
    assert_eq!(failed.next_check, Some(Time(now + hours(1))));
    assert_eq!(failed.last_error.unwrap().len(), LONGEST_TEXT);
    let silent = silent(now, 0.0).ari.unwrap();
    assert_eq!(silent.next_check, Some(Time(now + hours(12))));
    assert_eq!(silent.suggested_window, None);
}

#[test]
fn a_ca_that_wants_everything_at_once_does_not_get_it() {
    let now = at("2026-03-01T00:00:00Z");
    let known = |start: &str, end: &str| Some(answered(&info(start, end, None), now, 0.0));
    let past = known("2026-02-01T00:00:00Z", "2026-02-02T00:00:00Z");
    let renewed_at_its_word = renewed(past.as_ref(), now).unwrap().ari.unwrap();
    assert_eq!(renewed_at_its_word.suggested_window, None);
    assert_eq!(renewed_at_its_word.next_check, Some(Time(now + hours(6))));
    let later = known("2026-04-01T00:00:00Z", "2026-04-02T00:00:00Z");
    assert_eq!(renewed(later.as_ref(), now), None);
    assert_eq!(renewed(None, now), None);
}

#[test]
fn a_window_in_the_past_renews_and_the_next_certificate_has_none() {
    let mut world = world();
    world.settle();
    let start = (world.now - hours(2)).to_string();
    let info = info(&start, &(world.now - hours(1)).to_string(), None);
    world.certificate.status.as_mut().unwrap().acme = Some(answered(&info, world.now, 0.0));
    let situation = world.situation();
    let trigger = policy::trigger(policy::View {
        certificate: &situation.certificate,
        secret: situation.secret.as_deref(),
        current: situation.requests.first().map(AsRef::as_ref),
        withdrawal: &situation.withdrawal,
        now: situation.now,
    })
    .unwrap();
    assert_eq!(trigger.reason, "Renewing");
    assert!(
        trigger
            .message
            .starts_with("Renewing certificate as the CA suggested renewal at ")
            && trigger.message.ends_with(": see https://ca.example/why"),
        "{}",
        trigger.message
    );
    world.settle();
    world.sign("web-2");
    world.settle();
    let status = world.status();
    assert_eq!(status.revision, Some(2));
    assert_eq!(status.acme.unwrap().ari.unwrap().suggested_window, None);
    assert_eq!(asked(&world), Ask::At(world.now + hours(6)));

    // An issuer that is not asked (any more) leaves nothing behind.
    world.source = Source::NotAsked;
    world.settle();
    assert_eq!(world.status().acme, None);
}
