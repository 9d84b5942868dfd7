//! Does what concerns a record of another wake it?

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::*;
use crate::{
    api::{issuance::Issuance, issuer::Issuer},
    retire::samples,
};

/// A record of a Certificate by that name and uid, with that key.
fn record(name: &str, version: &str, key: &str, status: Value) -> Issuance {
    let mut record = samples::record();
    record.metadata.name = Some(name.to_owned());
    record.metadata.uid = Some(name.to_owned());
    record.metadata.resource_version = Some(version.to_owned());
    record.spec.certificate_ref.uid = name.to_owned();
    record.spec.public_key = key.to_owned();
    record.status = serde_json::from_value(status).unwrap();
    record
}

async fn woken(queue: &Queue) -> Vec<String> {
    let mut names = Vec::new();
    while let Ok(key) = timeout(Duration::ZERO, queue.next()).await {
        names.push(key.name.to_string());
        queue.done(&key);
    }
    names.sort();
    names
}

#[tokio::test(start_paused = true)]
async fn a_key_that_others_know_wakes_all_certificates_with_it() {
    let (caches, queues) = (Caches::new("certwright", None), Queues::default());
    caches.wake(&queues);
    let active = json!({"state": "Active"});
    for (name, key) in [("a", "ff"), ("b", "ff"), ("c", "ee")] {
        let record = record(name, "1", key, active.clone());
        caches.issuances.observe(record);
    }
    assert_eq!(woken(&queues.issuances).await, ["a", "b", "c"]);
    let known = json!({
        "state": "Revoking",
        "request": {"by": "jane", "reason": "keyCompromise", "time": "2026-01-01T00:00:00Z"},
    });
    caches.issuances.observe(record("a", "2", "ff", known));
    assert_eq!(woken(&queues.issuances).await, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn another_policy_of_an_issuer_wakes_what_it_issued() {
    let (caches, queues) = (Caches::new("certwright", None), Queues::default());
    caches.wake(&queues);
    let issuer = |version: &str, policy: &str| -> Issuer {
        serde_json::from_value(json!({
            "metadata": {"namespace": "web", "name": "ca", "uid": "i", "resourceVersion": version},
            "spec": {"selfSigned": {}, "deletionPolicy": policy},
        }))
        .unwrap()
    };
    caches.issuers.namespaced.observe(issuer("1", "Revoke"));
    caches
        .issuances
        .observe(record("a", "2", "ff", json!({"state": "Active"})));
    assert_eq!(woken(&queues.issuances).await, ["a"]);
    caches.issuers.namespaced.observe(issuer("3", "Revoke"));
    assert!(woken(&queues.issuances).await.is_empty());
    caches.issuers.namespaced.observe(issuer("4", "Retain"));
    assert_eq!(woken(&queues.issuances).await, ["a"]);
}
