//! Does the brake hold what goes by mistake, and nobody for the sake of another?

use super::*;
use crate::{
    cluster::{Facts, ObjectKey},
    retire::samples::{at, issuance, time},
};

const NOW: &str = "2026-01-01T12:00:00Z";
const LATELY: &str = "2026-01-01T11:30:00Z";
const LONG_AGO: &str = "2026-01-01T09:00:00Z";
const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn record(state: IssuanceState, since: Option<&str>) -> IssuanceFacts {
    let mut one = issuance();
    one.status.state = Some(state);
    one.status.orphaned_since = since.map(time);
    one
}

fn certificate(name: &str) -> CertificateFacts {
    let value = serde_json::json!({
        "metadata": {"namespace": "web", "name": name},
        "spec": {"secretName": name, "issuerRef": {"name": "ca"}},
    });
    CertificateFacts::reduce(serde_json::from_value(value).unwrap())
}

/// The orphans of the namespace `web`, and whether they are all there is.
fn counted(orphans: &Orphans, cluster: &str) -> (i64, i64) {
    let mut clusters = orphans.clusters.lock().unwrap();
    let Some(tally) = clusters.get_mut(cluster) else {
        return (0, 0);
    };
    tally.forget(at(NOW), HOUR);
    (tally.all.sum(), tally.unconfirmed.of("web"))
}

/// Namespaces with so many Certificates that are there, and so many orphans.
fn cluster(namespaces: &[(&str, usize, usize)]) -> Orphans {
    let orphans = Orphans::default();
    for (namespace, there, gone) in namespaces {
        let mut certificate = certificate("www");
        certificate.meta.key = ObjectKey::new(*namespace, "www");
        certificate.is_issued_here = true;
        for _ in 0..*there {
            orphans.change_certificate(None, Some(&certificate));
        }
        let mut record = record(IssuanceState::Orphaned, Some(LATELY));
        record.secret = ObjectKey::new(*namespace, "www-tls");
        for _ in 0..*gone {
            orphans.change(None, Some(&record));
        }
    }
    orphans
}

fn brakes(orphans: &Orphans, namespace: &str) -> bool {
    orphans.count("here", namespace, at(NOW), HOUR).brakes()
}

#[test]
fn many_and_a_large_part_brake() {
    let table = [
        (10, 10, false),
        (11, 11, true),
        (11, 109, true),
        (11, 110, false),
        (500, 5000, false),
        (501, 5000, true),
        (0, 0, false),
    ];
    for (orphaned, all, want) in table {
        let found = brakes(&cluster(&[("web", all - orphaned, orphaned)]), "web");
        assert_eq!(found, want, "{orphaned} of {all}");
    }
}

#[test]
fn nobody_holds_up_others_or_lets_them_go() {
    // (namespaces, who is asked about, whether it is held)
    let evil_orphans: &[_] = &[("evil", 0, 1000), ("web", 95, 5)];
    let dummies: &[_] = &[("evil", 20_000, 0), ("web", 0, 90), ("shop", 100, 0)];
    let two: &[_] = &[("web", 0, 60), ("shop", 0, 60), ("other", 400, 0)];
    let many: Vec<_> = ["a", "b", "c", "d", "e"].map(|name| (name, 80, 20)).into();
    let preview: &[_] = &[("preview", 0, 30), ("web", 300, 0), ("shop", 300, 0)];
    let table = [
        (evil_orphans, "web", false),
        (evil_orphans, "evil", true),
        (dummies, "web", true),
        (two, "web", true),
        (two, "other", false),
        // The share of none is large: a mistake all the same.
        (&many, "a", true),
        (preview, "preview", false),
        (preview, "web", false),
    ];
    for (namespaces, asked, want) in table {
        let orphans = cluster(namespaces);
        let count = orphans.count("here", asked, at(NOW), HOUR);
        assert_eq!(count.brakes(), want, "{asked} of {namespaces:?}: {count:?}");
    }
}

#[test]
fn what_waits_counts_until_it_is_confirmed() {
    use IssuanceState::*;

    let (lately, long_ago) = (Some(LATELY), Some(LONG_AGO));
    // (state, orphaned since, confirmed, retained, whether it is counted, and as orphaned)
    let table = [
        // Its Certificate counts.
        (Active, None, false, false, (0, 0)),
        (Superseded, None, false, false, (0, 0)),
        (Orphaned, lately, false, false, (1, 1)),
        (Orphaned, long_ago, false, false, (1, 1)),
        (Held, long_ago, false, false, (1, 1)),
        (Held, long_ago, true, false, (1, 0)),
        (Orphaned, lately, false, true, (1, 0)),
        // On demand: no orphan.
        (Revoking, None, false, false, (0, 0)),
        (Revoking, long_ago, false, false, (1, 1)),
        // Without delay, with its namespace.
        (Revoked, lately, false, false, (1, 1)),
        (Revoked, long_ago, false, false, (0, 0)),
        (Deleted, lately, false, false, (1, 1)),
        (Deleted, long_ago, false, false, (0, 0)),
        (Expired, long_ago, false, false, (0, 0)),
    ];
    for (state, since, confirmed, retained, want) in table {
        let mut one = record(state, since);
        one.is_confirmed = confirmed;
        if retained {
            one.policy = DeletionPolicy::Retain;
        }
        let orphans = Orphans::default();
        orphans.change(None, Some(&one));
        let found = counted(&orphans, "here");
        assert_eq!(found, want, "{state} {since:?} {confirmed}");
        assert_eq!(counted(&orphans, "elsewhere"), (0, 0));
        orphans.change(Some(&one), None);
        assert_eq!(counted(&orphans, "here"), (0, 0));
    }
}

#[test]
fn with_a_short_delay_what_went_one_by_one_counts_for_an_hour() {
    use IssuanceState::*;

    let orphans = Orphans::default();
    for (state, since) in [(Revoked, LATELY), (Deleted, LATELY), (Revoked, LONG_AGO)] {
        orphans.change(None, Some(&record(state, Some(since))));
    }
    let orphaned = |delay| {
        let count = orphans.count("here", "web", at(NOW), delay);
        count.namespace.orphaned
    };
    assert_eq!(orphaned(SignedDuration::from_secs(1)), 2);
    assert_eq!(orphaned(HOUR), 2);
}

#[test]
fn the_count_follows_whatever_is_told_in_whatever_order() {
    use IssuanceState::*;

    let lately = Some(LATELY);
    let life = [
        record(Active, None),
        record(Orphaned, lately),
        record(Held, lately),
        record(Revoking, lately),
        record(Revoked, lately),
    ];
    let told: Vec<(Option<&IssuanceFacts>, Option<&IssuanceFacts>)> = vec![
        (None, Some(&life[0])),
        (Some(&life[0]), Some(&life[1])),
        (Some(&life[1]), Some(&life[2])),
        (Some(&life[2]), Some(&life[3])),
        (Some(&life[3]), Some(&life[4])),
    ];
    for turn in 0..told.len() {
        let orphans = Orphans::default();
        let (early, late) = told.split_at(turn);
        for (old, new) in late.iter().chain(early.iter().rev()) {
            orphans.change(*old, *new);
        }
        assert_eq!(counted(&orphans, "here"), (1, 1), "{turn}");
        // What was passed over as too old is no debt when it goes.
        let later = at("2026-01-01T13:00:00Z");
        let all = |orphans: &Orphans| {
            orphans.count("here", "web", later, HOUR);
            orphans.clusters.lock().unwrap()["here"].all.sum()
        };
        assert_eq!(all(&orphans), 0);
        orphans.change(Some(&life[4]), None);
        assert_eq!(all(&orphans), 0);
    }
}

#[test]
fn only_what_is_watched_and_was_issued_here_counts() {
    let orphans = Orphans::of(Some("web"));
    let ours = record(IssuanceState::Held, Some(LONG_AGO));
    let mut theirs = ours.clone();
    theirs.secret = ObjectKey::new("other", "www-tls");
    orphans.change(None, Some(&ours));
    orphans.change(None, Some(&theirs));
    assert_eq!(counted(&orphans, "here"), (1, 1));
    let certificate = |is_issued_here| {
        let mut certificate = certificate("www");
        certificate.is_issued_here = is_issued_here;
        certificate
    };
    let issued = || orphans.issued.lock().unwrap().sum();
    let (dummy, real) = (certificate(false), certificate(true));
    // Never issued, or by another: however many, they are no reason to go on.
    orphans.change_certificate(None, Some(&dummy));
    assert_eq!(issued(), 0);
    orphans.change_certificate(Some(&dummy), Some(&real));
    orphans.change_certificate(Some(&real), Some(&real));
    assert_eq!(issued(), 1);
    orphans.change_certificate(Some(&real), None);
    assert_eq!(issued(), 0);
}
