//! What becomes of a Certificate when it is its turn, as the CA of its issuer changed?

use jiff::SignedDuration;
use k8s_openapi::{ByteString, apimachinery::pkg::apis::meta::v1::Time};

use super::{World, assert_done, at, certificate, spec};
use crate::{
    api::{
        condition::{ConditionStatus, kind},
        names::secret_key,
    },
    certificate::{action::Event, keystores::Standing, policy::Violation},
    issuer::rotation::Turn,
};

const TOLD: &str = "Re-issuing as the CA of Issuer \"ca\" changed";

#[test]
fn it_is_reissued_and_stays_ready_all_the_while() {
    let mut world = World::issued(spec());
    let before = world.entry("web-tls", secret_key::CERTIFICATE).to_vec();
    assert_eq!(world.settle(), 0);
    world.turn = Turn::Reissue;
    world.settle();
    let (issuing, reason, message) = world.condition(kind::ISSUING).unwrap();
    assert_eq!(
        (issuing, &*reason, &*message),
        (ConditionStatus::True, "CAChanged", TOLD)
    );
    let (ready, _, _) = world.condition(kind::READY).unwrap();
    assert_eq!(ready, ConditionStatus::True);
    assert_eq!(world.events, [Event::normal("CAChanged", TOLD)]);
    // A turn that is lost on the way, by a restart, does not end what was begun.
    world.turn = Turn::None;
    world.sign("web-2");
    world.settle();
    assert_done(&world, 2);
    assert_ne!(world.entry("web-tls", secret_key::CERTIFICATE), before);
}

#[test]
fn a_failure_is_waited_for_as_any_other() {
    let mut world = World::issued(spec());
    world.turn = Turn::Reissue;
    world.settle();
    world.say("web-2", kind::READY, false, "Failed", "no luck");
    world.settle();
    let writes = world.writes.len();
    world.pass(SignedDuration::from_mins(30));
    world.settle();
    assert_eq!(world.writes.len(), writes);
    world.pass(SignedDuration::from_mins(31));
    world.settle();
    world.sign("web-2");
    world.turn = Turn::None;
    world.settle();
    assert_eq!(world.status().revision, Some(2));
}

#[test]
fn it_is_told_where_it_is_answered_at_once_too() {
    let mut world = World::issued(spec());
    world.clerk = Some(World::sign);
    world.turn = Turn::Reissue;
    while world.status().revision != Some(2) {
        world.step();
    }
    world.turn = Turn::None;
    world.settle();
    assert_done(&world, 2);
    assert_eq!(world.status().revision, Some(2));
    let told: Vec<&str> = world.events.iter().map(|event| &*event.reason).collect();
    assert_eq!(told, ["CAChanged", "Issuing"]);
}

const ROOT: &[u8] = include_bytes!("../../pki/keystore/fixtures/ca.crt");

/// `ca.crt` has one root, and is to have two.
fn lacking() -> World {
    let mut world = World::issued(spec());
    let secret = world.secrets.get_mut("web-tls").unwrap();
    let data = secret.data.as_mut().unwrap();
    data.insert(secret_key::CA.into(), ByteString(ROOT.to_vec()));
    // That was somebody else's write.
    world.restart();
    world.bundle = [ROOT, ROOT].concat();
    world.turn = Turn::Extend;
    world
}

#[test]
fn its_secret_gets_another_root_in_one_write_and_back() {
    let mut world = lacking();
    let before = world.entry("web-tls", secret_key::CERTIFICATE).to_vec();
    world.settle();
    assert_eq!(world.writes, ["apply secret"]);
    assert_eq!(world.target().unwrap().roots.len(), 2);
    // Another change of the CA, and nobody wrote since.
    world.bundle = ROOT.repeat(3);
    world.turn = Turn::Extend;
    world.settle();
    world.bundle = ROOT.to_vec();
    world.turn = Turn::Restore;
    world.settle();
    assert_eq!(world.writes, ["apply secret"; 3]);
    assert_eq!(world.target().unwrap().roots.len(), 1);
    // Nothing else follows from it: it is neither re-issued nor told.
    assert_eq!(world.status().revision, Some(1));
    assert_eq!(world.entry("web-tls", secret_key::CERTIFICATE), before);
    assert!(world.events.is_empty());
}

#[test]
fn what_comes_to_nothing_is_not_written_again_and_again() {
    for turn in [Turn::Extend, Turn::Restore] {
        let mut world = lacking();
        world.turn = turn;
        world.is_meddled_with = true;
        world.settle();
        assert_eq!(world.writes, ["apply secret"], "{turn:?}");
        // After a restart it is tried once more.
        world.restart();
        world.settle();
        assert_eq!(world.writes, ["apply secret"; 2], "{turn:?}");
    }
}

#[test]
fn an_issuance_that_waits_or_has_failed_does_not_keep_it_from_that() {
    let mut world = lacking();
    world.turn = Turn::Reissue;
    world.settle();
    world.writes.clear();
    world.turn = Turn::Extend;
    world.settle();
    assert_eq!(world.writes, ["apply secret"]);

    world.say("web-2", kind::READY, false, "Failed", "no luck");
    world.settle();
    world.writes.clear();
    world.bundle = ROOT.repeat(3);
    world.turn = Turn::Extend;
    world.settle();
    assert_eq!(world.writes, ["apply secret"]);
    assert_eq!(world.status().failed_issuance_attempts, Some(1));
}

#[test]
fn a_key_store_without_password_is_not_lost_by_it() {
    let mut world = lacking();
    let why = Violation::new("Blocked", "there is no password");
    world.keystores = Standing::Blocked(why);
    world.settle();
    assert!(!world.writes.contains(&"apply secret"));
    world.keystores = Standing::Fine;
    world.settle();
    assert!(world.writes.contains(&"apply secret"));
}

#[test]
fn what_belongs_to_another_is_left_to_it() {
    let mut world = lacking();
    world
        .secrets
        .get_mut("web-tls")
        .unwrap()
        .metadata
        .annotations = None;
    let mut rival = certificate("rival", spec(), world.now);
    rival.metadata.creation_timestamp = Some(Time(at("2025-01-01T00:00:00Z")));
    world.rivals.push(rival);
    world.settle();
    assert!(!world.writes.contains(&"apply secret"));
}
