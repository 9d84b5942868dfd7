//! When is a certificate replaced, with which key, and what is told about it?

use jiff::SignedDuration;
use k8s_openapi::ByteString;

use super::{World, assert_done, spec};
use crate::{
    api::{
        certificate::{Renewal, RenewalPolicy, RenewalWindow, RotationPolicy},
        condition::{self, Condition, ConditionStatus, kind},
        names::secret_key,
    },
    certificate::action::Event,
};

#[test]
fn a_kept_key_that_cannot_be_read_or_is_gone_is_replaced() {
    let event = "Failed to decode private key stored in Secret \"web-tls\" - generating new key";
    for (key, told) in [(b"garbage".as_slice(), Some(event)), (b"", None)] {
        let mut spec = spec();
        spec.private_key.as_mut().unwrap().rotation_policy = Some(RotationPolicy::Never);
        let mut world = World::issued(spec);
        let secret = world.secrets.get_mut("web-tls").unwrap();
        let stored = secret.data.as_mut().unwrap();
        stored.insert(secret_key::PRIVATE_KEY.into(), ByteString(key.to_vec()));
        world.settle();
        let told = told.map(|message| Event::warning("DecodeFailed", message));
        assert_eq!(world.events, told.into_iter().collect::<Vec<_>>());
        world.sign("web-2");
        world.settle();
        assert_done(&world, 2);
    }
}

#[test]
fn a_window_that_never_opens_is_told_and_holds_nothing_up() {
    let mut world = World::issued(spec());
    world.spec().renewal = Some(Renewal {
        policy: Some(RenewalPolicy::RenewBefore),
        windows: Some(vec![RenewalWindow {
            cron: "0 0 30 2 *".into(),
            timezone: None,
            window_duration: "1h".into(),
        }]),
    });
    assert_eq!(world.settle(), 1);
    let (ready, reason, message) = world.condition(kind::READY).unwrap();
    assert_eq!((ready, &*reason), (ConditionStatus::False, "WindowError"));
    assert!(message.starts_with("Could not calculate renewal time: no renewal window opens"));
    assert_eq!(world.events, [Event::warning("WindowError", message)]);
    world.pass(SignedDuration::from_hours(24 * 60));
    world.settle();
    let (_, reason, message) = world.condition(kind::ISSUING).unwrap();
    assert_eq!(
        (&*reason, &*message),
        (
            "Renewing",
            "Renewing certificate without satisfying renewal windows at: 2026-03-02 00:00:00 \
             +0000 UTC"
        )
    );
    world.sign("web-2");
    world.settle();
    assert_eq!(world.status().revision, Some(2));
    let told: Vec<&str> = world.events.iter().map(|event| &*event.reason).collect();
    assert_eq!(told, ["WindowError", "WindowError", "Issuing"]);
}

#[test]
fn what_is_not_to_be_renewed_expires() {
    let mut world = World::issued(spec());
    world.spec().renewal = Some(Renewal {
        policy: Some(RenewalPolicy::Disabled),
        windows: None,
    });
    world.settle();
    assert_eq!(world.status().renewal_time, None);
    world.pass(SignedDuration::from_hours(24 * 91));
    world.settle();
    let (ready, reason, _) = world.condition(kind::READY).unwrap();
    assert_eq!((ready, &*reason), (ConditionStatus::False, "Expired"));
    assert_eq!(world.condition(kind::ISSUING), None);
    // Asked for by hand it is issued all the same.
    let issuing = Condition::new(kind::ISSUING, true, "ManuallyTriggered", "by hand", Some(2));
    let status = world.certificate.status.as_mut().unwrap();
    condition::set(status.conditions.as_mut().unwrap(), issuing, world.now);
    world.settle();
    world.sign("web-2");
    world.settle();
    assert_eq!(world.status().revision, Some(2));
}
