//! Is what was said last known as long as it counts, and no longer?

use serde_json::json;

use super::*;
use crate::{
    api::{
        certificate::Certificate,
        issuer::{ClusterIssuer, Issuer},
    },
    cluster::{Cache, Facts},
    issuer::{IssuerFacts, IssuerKind},
    retire::samples::at,
};

fn certificate(uid: &str) -> CertificateFacts {
    let value = json!({
        "metadata": {
            "namespace": "web", "name": "www", "uid": uid,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"secretName": "www-tls", "issuerRef": {"name": "ca"}},
    });
    CertificateFacts::reduce(serde_json::from_value::<Certificate>(value).unwrap())
}

fn issuer(policy: Option<&str>) -> IssuerView {
    let value = json!({
        "metadata": {"namespace": "web", "name": "ca", "uid": "i"},
        "spec": {"selfSigned": {}, "deletionPolicy": policy},
    });
    let issuer: Issuer = serde_json::from_value(value).unwrap();
    IssuerView::of(&IssuerFacts::reduce(issuer), &"system".into())
}

fn nobody() -> Issuers {
    Issuers {
        namespaced: Cache::<IssuerFacts<Issuer>>::default().into(),
        cluster: Cache::<IssuerFacts<ClusterIssuer>>::default().into(),
        cluster_resource_namespace: "system".into(),
    }
}

fn reference(name: &str, group: Option<&str>) -> IssuerRef {
    IssuerRef {
        name: name.to_owned(),
        group: group.map(str::to_owned),
        kind: None,
    }
}

#[tokio::test(start_paused = true)]
async fn words_are_remembered_for_an_hour() {
    let departed = Departed::default();
    departed.note(&certificate("a"));
    let words = departed.last_words("a").unwrap();
    assert_eq!(words.secret, ObjectKey::new("web", "www-tls"));
    assert_eq!(words.created, Some(at("2026-01-01T00:00:00Z")));
    assert_eq!(departed.last_words("b"), None);
    tokio::time::advance(REMEMBERED + Duration::from_secs(1)).await;
    assert_eq!(departed.last_words("a"), None);
    departed.note(&certificate("b"));
    assert!(departed.last_words("b").is_some());
    let state = departed.0.lock().unwrap();
    assert_eq!((state.words.len(), state.order.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_oldest_make_room() {
    let departed = Departed::default();
    for number in 0..=MOST {
        departed.note(&certificate(&number.to_string()));
    }
    assert_eq!(departed.last_words("0"), None);
    assert!(departed.last_words("1").is_some());
    assert!(departed.last_words(&MOST.to_string()).is_some());
}

#[tokio::test(start_paused = true)]
async fn the_policy_of_an_issuer_that_is_gone_counts() {
    use DeletionPolicy::{Delete, Retain, Revoke};

    let settings = Settings {
        delay: jiff::SignedDuration::from_hours(1),
        default_policy: Revoke,
        users_are_checked: true,
    };
    let (departed, issuers) = (Departed::default(), nobody());
    let policy = |own, issuer: &IssuerRef| departed.policy(&issuers, &settings, own, issuer, "web");
    let ours = reference("ca", None);
    assert_eq!(policy(None, &ours), None);
    assert_eq!(policy(Some(Delete), &ours), Some(Delete));
    let foreign = reference("ca", Some("example.com"));
    assert_eq!(policy(None, &foreign), Some(Revoke));

    departed.note_issuer(issuer(Some("Delete")));
    departed.note_issuer(issuer(Some("Retain")));
    assert_eq!(policy(None, &ours), Some(Retain));
    assert_eq!(policy(Some(Delete), &ours), Some(Delete));
    assert_eq!(policy(None, &reference("another", None)), None);
    let found = departed.issuer(&issuers, &ours, "web").unwrap();
    assert_eq!(found.kind, IssuerKind::Issuer);
    tokio::time::advance(REMEMBERED + Duration::from_secs(1)).await;
    assert_eq!(policy(None, &ours), None);
}
