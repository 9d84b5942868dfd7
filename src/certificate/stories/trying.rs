//! When is an issuance that failed tried again, and what ends the wait?

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{World, assert_done, at, spec};
use crate::{
    api::{condition::kind, names::annotation},
    certificate::{backoff, basis::Anew},
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// The first issuance, failed now.
fn failed() -> World {
    let mut world = World::new(spec());
    world.settle();
    fail(&mut world, "web-1");
    world
}

fn fail(world: &mut World, request: &str) {
    world.say(request, kind::READY, false, "Failed", "no DNS");
    world.settle();
}

/// When the next try is, as it is told.
fn told(world: &World) -> Timestamp {
    let (_, _, message) = world.condition(kind::READY).unwrap();
    at(message.rsplit_once("next try at ").unwrap().1)
}

fn is_issuing(world: &World) -> bool {
    world.facts().is_issuing()
}

fn annotate(world: &mut World, profile: Option<&str>) {
    let annotations = world
        .certificate
        .metadata
        .annotations
        .get_or_insert_default();
    match profile {
        Some(profile) => annotations.insert(annotation::ACME_PROFILE.into(), profile.into()),
        None => annotations.remove(annotation::ACME_PROFILE),
    };
}

#[test]
fn what_was_changed_ends_the_wait_and_what_changes_by_itself_shortens_it() {
    for (anew, wait) in [
        (None, HOUR),
        (Some(Anew::AtOnce), SignedDuration::from_secs(1)),
        (Some(Anew::Soon), 15 * MINUTE),
    ] {
        let mut world = failed();
        assert_eq!(told(&world), world.now + HOUR);
        let due = world.now + wait;
        world.anew = anew;
        world.settle();
        assert_eq!(told(&world), due, "{anew:?}");
        world.pass(wait - SignedDuration::from_millis(1));
        world.settle();
        assert!(!is_issuing(&world), "{anew:?}");
        world.pass(SignedDuration::from_millis(1));
        world.settle();
        assert!(is_issuing(&world), "{anew:?}");
        // The new request is made on what is there now, and is not taken for the one that failed.
        world.anew = None;
        assert_eq!(world.settle(), 0);
        assert_eq!(world.status().failed_issuance_attempts, Some(1));
        fail(&mut world, "web-1");
        assert_eq!(told(&world), world.now + 2 * HOUR);
        world.pass(2 * HOUR);
        world.settle();
        world.sign("web-1");
        world.settle();
        assert_done(&world, 1);
    }
}

#[test]
fn what_changes_by_itself_waits_a_quarter_of_a_short_wait() {
    for (first, soon) in [(4, 1), (60, 15), (240, 15)] {
        let mut world = failed();
        world.settings.backoff_min = first * MINUTE;
        world.anew = Some(Anew::Soon);
        world.settle();
        assert_eq!(told(&world), world.now + soon * MINUTE, "{first}");
    }
}

#[test]
fn another_answer_of_dns_shortens_the_wait_and_is_told() {
    let mut world = failed();
    let name = "www.example.com";
    world.dns_changed = Some(name.into());
    world.settle();
    let due = world.now + 15 * MINUTE;
    assert_eq!(told(&world), due);
    let (_, _, message) = world.condition(kind::READY).unwrap();
    let said = format!("; DNS of {name} changed; next try at {due}");
    assert!(message.ends_with(&said), "{message}");
    // Somebody did something meanwhile.
    world.anew = Some(Anew::AtOnce);
    world.settle();
    assert_eq!(told(&world), world.now + SignedDuration::from_secs(1));
    world.anew = None;
    world.pass(15 * MINUTE);
    world.settle();
    assert!(is_issuing(&world));
    // What is said of the next failure is another thing.
    world.dns_changed = None;
    fail(&mut world, "web-1");
    assert_eq!(told(&world), world.now + 2 * HOUR);
}

#[test]
fn only_a_wait_is_watched() {
    let wait = |world: &World| backoff::wait(&world.situation());
    let mut world = World::new(spec());
    assert_eq!(wait(&world), None);
    world.settle();
    assert_eq!(wait(&world), None, "under way");
    fail(&mut world, "web-1");
    let failed = world.now;
    let found = wait(&world).unwrap();
    assert_eq!((found.failed, found.ends), (failed, failed + HOUR));
    assert_eq!(found.certificate, "uid-web");
    let request = world.requests["web-1"].metadata.uid.clone();
    assert_eq!(Some(found.request), request);
    // Whatever ends it sooner, it is the same one.
    world.anew = Some(Anew::Soon);
    assert_eq!(wait(&world).unwrap().ends, failed + HOUR);
    world.pass(HOUR);
    assert_eq!(wait(&world), None, "over");
    world.settle();
    assert_eq!(wait(&world), None, "the next try is under way");
}

#[test]
fn a_refusal_is_not_hurried_by_the_deadline() {
    for (refused, waits) in [(false, [60, 120, 240, 300]), (true, [60, 120, 240, 480])] {
        let mut world = World::issued(spec());
        let expiry = world.target().unwrap().leaf.read().unwrap().not_after;
        world.pass(world.now.duration_until(expiry) - 37 * HOUR);
        world.refused = refused;
        world.settle();
        for wait in waits {
            fail(&mut world, "web-2");
            let (_, _, message) = world.condition(kind::ISSUING).unwrap();
            let due = world.now + wait * MINUTE;
            assert!(
                message.ends_with(&format!("next try at {due}")),
                "{message}"
            );
            world.pass(wait * MINUTE);
            world.settle();
            assert!(is_issuing(&world));
        }
    }
}

#[test]
fn another_profile_is_tried_at_once_and_issues_anew() {
    let mut world = failed();
    annotate(&mut world, Some("shortlived"));
    world.settle();
    assert!(is_issuing(&world));
    let profile = |world: &World, request: &str| {
        let annotations = world.requests[request].metadata.annotations.as_ref();
        annotations.and_then(|all| all.get(annotation::ACME_PROFILE).cloned())
    };
    assert_eq!(profile(&world, "web-1").as_deref(), Some("shortlived"));
    world.sign("web-1");
    world.settle();
    assert_done(&world, 1);

    // On the way, the request is made anew.
    annotate(&mut world, Some("classic"));
    world.settle();
    let (_, _, message) = world.condition(kind::ISSUING).unwrap();
    assert!(
        message.ends_with("not up to date: [metadata.annotations[certwright.io/acme-profile]]"),
        "{message}"
    );
    annotate(&mut world, Some("preferred:classic"));
    world.settle();
    assert_eq!(
        profile(&world, "web-2").as_deref(),
        Some("preferred:classic")
    );
    annotate(&mut world, None);
    world.settle();
    assert_eq!(profile(&world, "web-2"), None);
    world.sign("web-2");
    world.settle();
    assert_done(&world, 2);
}

#[test]
fn a_profile_is_copied_whatever_else_is() {
    let mut world = World::new(spec());
    world.settings.copied_annotation_prefixes = Vec::new();
    annotate(&mut world, Some("shortlived"));
    world.settle();
    let annotations: &BTreeMap<_, _> = world.requests["web-1"]
        .metadata
        .annotations
        .as_ref()
        .unwrap();
    assert_eq!(annotations[annotation::ACME_PROFILE], "shortlived");
    world.sign("web-1");
    world.settle();
    assert_done(&world, 1);
}

#[test]
fn what_cert_manager_issued_stays_whatever_profile_is_named_since() {
    for manager in [Some("cert-manager-certificates-request-manager"), None] {
        let mut world = World::issued(spec());
        let request = world.requests.get_mut("web-1").unwrap();
        match manager {
            Some(manager) => {
                let fields = request.metadata.managed_fields.as_mut().unwrap();
                fields[0].manager = Some(manager.into());
            }
            None => request.metadata.managed_fields = None,
        }
        annotate(&mut world, Some("shortlived"));
        assert_eq!(world.settle(), 0, "{manager:?}");
        assert_done(&world, 1);
    }
}
