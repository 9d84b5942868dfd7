//! What becomes of a Certificate when it is its turn, as the CA of its issuer changed?

use jiff::SignedDuration;

use super::{World, assert_done, spec};
use crate::{
    api::{
        condition::{ConditionStatus, kind},
        names::secret_key,
    },
    certificate::action::Event,
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

#[test]
fn its_secret_is_written_once_to_be_put_back() {
    let mut world = World::issued(spec());
    world.turn = Turn::Restore;
    world.settle();
    assert_eq!(world.writes, ["apply secret"]);
    assert_eq!(world.status().revision, Some(1));
}
