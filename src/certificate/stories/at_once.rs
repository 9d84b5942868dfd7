//! Does an issuance that nobody has to be waited for come to its end in four writes, whatever
//! happens on the way?

use jiff::SignedDuration;

use super::{World, assert_done, spec};
use crate::{
    api::{
        certificate::{CertificateSpec, RotationPolicy},
        condition::{self, Condition, ConditionStatus, kind},
        names::{annotation, secret_key},
    },
    certificate::{
        action::{Action, Event},
        plan::blocked,
    },
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const TWO_MONTHS: SignedDuration = SignedDuration::from_hours(24 * 61);
const AT_ONCE: [&str; 4] = [
    "create request",
    "answer request",
    "apply secret",
    "patch status",
];

/// With an issuer that signs here.
fn world(spec: CertificateSpec) -> World {
    let mut world = World::new(spec);
    world.clerk = Some(World::sign);
    world
}

fn issued(spec: CertificateSpec) -> World {
    let mut world = world(spec);
    world.settle();
    world.writes.clear();
    world.events.clear();
    world
}

fn fails(world: &mut World, request: &str) {
    world.say(request, kind::APPROVED, true, "cert-manager.io", "approved");
    world.say(request, kind::READY, false, "Failed", "no such duration");
}

#[test]
fn an_issuance_takes_four_writes_and_one_event() {
    let mut world = world(spec());
    world.settle();
    assert_eq!(writes(&world), AT_ONCE);
    assert_done(&world, 1);
    let done = "The certificate has been successfully issued";
    assert_eq!(world.events, [Event::normal("Issuing", done)]);
    let annotations = world.requests["web-1"].metadata.annotations.as_ref();
    let named = &annotations.unwrap()[annotation::PRIVATE_KEY_SECRET_NAME];
    assert!(named.starts_with("web-"), "{named}");

    // A renewal too: by the clock, and by hand.
    let before = world.target().unwrap();
    world.pass(TWO_MONTHS);
    world.writes.clear();
    world.settle();
    assert_eq!(writes(&world)[..4], AT_ONCE);
    assert_eq!(writes(&world)[4..], ["delete request"]);
    assert_done(&world, 2);
    assert_ne!(world.target().unwrap().key, before.key);

    by_hand(&mut world);
    world.writes.clear();
    world.settle();
    assert_eq!(writes(&world)[..4], AT_ONCE);
    assert_done(&world, 3);
}

/// The steps that are requests to the API server.
fn writes(world: &World) -> Vec<&str> {
    let writes = world.writes.iter().copied();
    writes.filter(|write| *write != "hold key").collect()
}

fn by_hand(world: &mut World) {
    let why = "Certificate re-issuance manually triggered";
    let asked = Condition::new(kind::ISSUING, true, "ManuallyTriggered", why, Some(1));
    let (now, status) = (world.now, world.certificate.status.get_or_insert_default());
    condition::set(status.conditions.get_or_insert_default(), asked, now);
}

/// A story, and the revision that it leads to.
type Story = (&'static str, fn() -> World, i64);

const STORIES: [Story; 6] = [
    ("first issuance", || world(spec()), 1),
    (
        "renewal",
        || {
            let mut world = issued(spec());
            world.pass(TWO_MONTHS);
            world
        },
        2,
    ),
    (
        "the key is kept",
        || {
            let mut spec = spec();
            spec.private_key.as_mut().unwrap().rotation_policy = Some(RotationPolicy::Never);
            let mut world = issued(spec);
            world.pass(TWO_MONTHS);
            world
        },
        2,
    ),
    (
        "by hand",
        || {
            let mut world = issued(spec());
            by_hand(&mut world);
            world
        },
        2,
    ),
    (
        "after a failure",
        || {
            let mut world = world(spec());
            world.clerk = Some(fails);
            world.settle();
            world.clerk = Some(World::sign);
            world.pass(HOUR);
            world
        },
        1,
    ),
    (
        "another spec right after a failure",
        || {
            let mut world = world(spec());
            world.clerk = Some(fails);
            world.settle();
            world.clerk = Some(World::sign);
            world.spec().dns_names = Some(vec!["new.example.com".into()]);
            world
        },
        1,
    ),
];

#[test]
fn every_crash_leads_to_the_same_end() {
    for (name, start, revision) in STORIES {
        let mut undisturbed = start();
        let count = undisturbed.settle();
        for cut in 1..=count {
            for lags in [false, true] {
                let mut world = start();
                world.events.clear();
                world.lags = lags;
                world.settle_until(cut);
                if world.status().revision != Some(revision) {
                    // It took the way that others answer on.
                    world.sign(&format!("web-{revision}"));
                    world.settle();
                }
                assert_done(&world, revision);
                let issued = |event: &&Event| event.message.contains("successfully issued");
                let successes = world.events.iter().filter(issued).count();
                assert!(successes <= 1, "{name}: cut {cut} {:?}", world.events);
            }
        }
    }
}

#[test]
fn a_secret_that_was_written_is_not_written_again_after_a_crash() {
    for (start, revision) in [(STORIES[0].1, 1), (STORIES[1].1, 2)] {
        let mut world = start();
        world.settle_until(3);
        assert_eq!(
            writes(&world)[..4],
            [
                "create request",
                "answer request",
                "apply secret",
                "patch status"
            ]
        );
        assert_done(&world, revision);
    }
}

#[test]
fn what_has_to_wait_is_stored_and_told_first() {
    let table: [fn(&mut World, &str); 2] = [
        // The signer cannot be had right now.
        |_, _| {},
        // Somebody wrote first.
        |world, request| world.say(request, "Theirs", true, "Because", "they like to"),
    ];
    for clerk in table {
        let mut world = world(spec());
        world.clerk = Some(clerk);
        world.settle();
        world.clerk = None;
        world.settle();
        let steps = writes(&world);
        assert_eq!(steps.first(), Some(&"create request"));
        assert_eq!(steps[steps.len() - 2..], ["create key", "patch status"]);
        let key = world.status().next_private_key_secret_name.unwrap();
        let request = world.requests["web-1"].metadata.clone();
        assert_eq!(
            request.annotations.unwrap()[annotation::PRIVATE_KEY_SECRET_NAME],
            key
        );
        let (issuing, reason, _) = world.condition(kind::ISSUING).unwrap();
        assert_eq!((issuing, &*reason), (ConditionStatus::True, "DoesNotExist"));
        assert_eq!(
            world.condition(kind::READY).unwrap().0,
            ConditionStatus::False
        );
        world.sign("web-1");
        world.settle();
        assert_eq!(world.requests["web-1"].metadata.uid, request.uid);
        assert_done(&world, 1);
    }
}

#[test]
fn an_issuer_that_goes_away_is_waited_for() {
    let mut world = world(spec());
    world.step();
    world.step();
    assert_eq!(writes(&world), ["create request"]);
    world.clerk = None;
    world.settle();
    assert_eq!(
        writes(&world),
        ["create request", "create key", "patch status"]
    );
    world.sign("web-1");
    world.settle();
    assert_done(&world, 1);
}

#[test]
fn failures_end_as_they_always_do() {
    let denied: fn(&mut World, &str) =
        |world, request| world.say(request, kind::DENIED, true, "Policy", "not allowed");
    for (clerk, reason, said) in [
        (fails as fn(&mut World, &str), "Failed", "no such duration"),
        (denied, "Policy", "not allowed"),
    ] {
        let mut world = world(spec());
        world.clerk = Some(clerk);
        world.settle();
        assert_eq!(
            writes(&world),
            ["create request", "answer request", "patch status"]
        );
        let said =
            format!("The certificate request has failed to complete and will be retried: {said}");
        assert_eq!(world.events, [Event::warning(reason, said.clone())]);
        let told = format!("{said}; next try at 2026-01-01T01:00:00Z");
        let want = (ConditionStatus::False, reason.to_owned(), told);
        assert_eq!(world.condition(kind::ISSUING), Some(want));
        assert_eq!(world.status().failed_issuance_attempts, Some(1));
        assert!(world.secrets.is_empty());
        assert_eq!(world.requests.len(), 1);

        // The second failure counts as one, with the key of before or another.
        world.pass(HOUR);
        world.settle();
        assert_eq!(world.status().failed_issuance_attempts, Some(2));
        assert_eq!(world.requests.len(), 1);
    }
}

#[test]
fn a_kept_key_that_failed_is_not_taken_for_failed_again() {
    let mut spec = spec();
    spec.private_key.as_mut().unwrap().rotation_policy = Some(RotationPolicy::Never);
    let mut world = issued(spec);
    world.pass(TWO_MONTHS);
    world.clerk = Some(fails);
    world.settle();
    assert_eq!(world.status().failed_issuance_attempts, Some(1));
    world.clerk = Some(World::sign);
    world.pass(HOUR);
    let before = world.target().unwrap();
    world.settle();
    assert_done(&world, 2);
    assert_eq!(world.target().unwrap().key, before.key);
}

#[test]
fn a_secret_that_does_not_keep_what_is_written_is_told() {
    let mut world = world(spec());
    for _ in 0..4 {
        world.step();
    }
    assert_eq!(writes(&world)[2..], ["apply secret"]);
    // A webhook had its way with it.
    let data = world.secrets.get_mut("web-tls").unwrap().data.as_mut();
    data.unwrap().remove(secret_key::CERTIFICATE);
    world.settle();
    assert!(world.status().next_private_key_secret_name.is_some());
    let (_, _, message) = world.condition(kind::READY).unwrap();
    assert!(message.contains("does not keep what is written to it"));
    assert_eq!(world.settle(), 0);
}

#[test]
fn what_the_api_server_refuses_is_told_on_the_certificate() {
    let mut world = world(spec());
    let message = || "create Secret web/web-tls: exceeded quota".to_owned();
    assert!(blocked(&world.situation(), message()).is_none());
    world.step();
    let told = blocked(&world.situation(), message());
    let Some(Action::PatchStatus(status)) = told else {
        panic!("{told:?}");
    };
    world.certificate.status = Some(*status);
    let (issuing, reason, _) = world.condition(kind::ISSUING).unwrap();
    assert_eq!((issuing, &*reason), (ConditionStatus::True, "DoesNotExist"));
    assert_eq!(world.condition(kind::READY).unwrap().2, message());
    world.settle();
    assert_done(&world, 1);
}

/// The key went with the process; what became of the request did not.
#[test]
fn a_failure_that_a_crash_kept_from_being_counted_is_counted() {
    type Answer = fn(&mut World);
    let table: [(Answer, &str, &str); 2] = [
        (
            |world| world.say("web-1", kind::DENIED, true, "Policy", "not allowed"),
            "Policy",
            "not allowed",
        ),
        (|world| fails(world, "web-1"), "Failed", "no such duration"),
    ];
    for (answer, reason, message) in table {
        for (clerk, lags) in [(true, false), (true, true), (false, false)] {
            let mut world = world(spec());
            world.lags = lags;
            world.step();
            world.step();
            assert_eq!(writes(&world), ["create request"]);
            world.restart();
            world.clerk = world.clerk.filter(|_| clerk);
            let denied = world.requests["web-1"].metadata.uid.clone();
            answer(&mut world);
            world.pass(SignedDuration::from_secs(1));
            world.settle();
            let (issuing, found, told) = world.condition(kind::ISSUING).unwrap();
            assert_eq!((issuing, &*found), (ConditionStatus::False, reason));
            assert!(told.contains(message), "{told}");
            assert_eq!(world.status().failed_issuance_attempts, Some(1));
            assert_eq!(world.requests["web-1"].metadata.uid, denied);
            assert!(world.secrets.is_empty());

            // Then, or when somebody asks, or for another spec, there is another request.
            let again: [fn(&mut World); 3] = [
                |world| world.pass(HOUR),
                |world| {
                    world.pass(SignedDuration::from_secs(1));
                    by_hand(world);
                },
                |world| world.spec().dns_names = Some(vec!["other.example.com".into()]),
            ];
            for again in again {
                let mut world = world.clone();
                world.clerk = Some(World::sign);
                again(&mut world);
                world.settle();
                if world.status().revision.is_none() {
                    // A wait that is cut short takes the way that others answer on.
                    world.sign("web-1");
                    world.settle();
                }
                assert_ne!(world.requests["web-1"].metadata.uid, denied);
                assert_done(&world, 1);
            }
        }
    }
}
