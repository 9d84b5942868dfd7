//! Does a Certificate come to its end, whatever happens on the way? Stories in a world in memory.

mod at_once;
mod issuing;
mod keeping;
mod others;
mod renewing;
mod reusing;
mod rotating;
mod server;
mod trying;
mod world;
mod years;

use crate::api::condition::{ConditionStatus, kind};

use world::certificate;
pub(in crate::certificate) use world::{World, at, spec};

/// One request of the current revision, one Secret, and nothing left of the issuance.
pub(super) fn assert_done(world: &World, revision: i64) {
    let status = world.status();
    assert_eq!(status.revision, Some(revision));
    assert_eq!(status.next_private_key_secret_name, None);
    assert_eq!(status.failed_issuance_attempts, None);
    assert_eq!(status.last_failure_time, None);
    assert_eq!(world.condition(kind::ISSUING), None);
    let (ready, reason, message) = world.condition(kind::READY).unwrap();
    assert_eq!((ready, &*reason), (ConditionStatus::True, "Ready"));
    assert_eq!(message, "Certificate is up to date and has not expired");
    assert_eq!(world.secrets.keys().collect::<Vec<_>>(), ["web-tls"]);
    let requests: Vec<&String> = world.requests.keys().collect();
    assert_eq!(requests, [&format!("web-{revision}")]);
    let secret = world.target().unwrap();
    let leaf = secret.leaf.read().unwrap();
    assert_eq!(secret.key.read().unwrap().public_key, leaf.public_key);
    assert_eq!(status.not_after.unwrap().0, leaf.not_after);
    assert!(status.renewal_time.unwrap().0 > leaf.not_before);
    assert!(world.plan().actions.is_empty());
}
