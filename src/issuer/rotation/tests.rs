//! Does everybody trust everybody while CAs change, and does it come to an end?

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicI64, Ordering},
};

use kube::client::Body;
use serde_json::json;
use tower::service_fn;

use super::*;
use crate::{api::issuer::Issuer, cluster::Clock, issuer::view::Issuers};

const DAY: i64 = 86_400;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new("web", name)
}

fn issuer(name: &str) -> IssuerName {
    (IssuerKind::Issuer, key(name))
}

fn root(ca: &str) -> String {
    format!("root of {ca}")
}

fn print(text: &str) -> Fingerprint {
    Fingerprint::of(text.as_bytes())
}

/// A CA called `ca`.
fn identity(ca: &str) -> Identity {
    Identity {
        certificate: print(ca),
        key_id: Some(ca.into()),
        not_after: at(365 * DAY),
        root_certificate: Some(print(&root(ca))),
        root: root(ca).into(),
        replaced: None,
    }
}

/// A certificate that the CA `ca` has signed.
fn issued(secret: &str, ca: &str, expires: i64) -> Issued {
    Issued {
        secret: key(secret),
        signed_by: SignedBy {
            key_id: Some(ca.into()),
            certificate: Some(print(ca)),
        },
        roots: vec![print(&root(ca))],
        not_after: at(expires),
    }
}

/// The Certificates: who is to issue each, and what it has. The Secret of each is called as it is.
#[derive(Default)]
struct Fleet {
    all: Mutex<BTreeMap<ObjectKey, (IssuerName, Issued)>>,
    /// Who had a turn, and when it is taken.
    woken: Mutex<Vec<(i64, ObjectKey)>>,
    now: AtomicI64,
    /// Whether some take their time.
    is_slow: bool,
}

impl Fleet {
    fn put(&self, name: &str, by: &str, issued: Issued) {
        let mut all = self.all.lock().unwrap();
        all.insert(key(name), (issuer(by), issued));
    }

    fn all(&self) -> Vec<Issued> {
        let all = self.all.lock().unwrap();
        all.values().map(|(_, issued)| issued.clone()).collect()
    }
}

impl Certificates for Fleet {
    fn of(&self, issuer: &IssuerName) -> Vec<ObjectKey> {
        let all = self.all.lock().unwrap();
        let of_it = all.iter().filter(|(_, (by, _))| by == issuer);
        of_it.map(|(key, _)| key.clone()).collect()
    }

    fn find(&self, issuer: &IssuerName, certificate: &ObjectKey) -> Option<Issued> {
        let all = self.all.lock().unwrap();
        let (by, issued) = all.get(certificate)?;
        (by == issuer).then(|| issued.clone())
    }

    fn issuer_of(&self, secret: &ObjectKey) -> Option<IssuerName> {
        let all = self.all.lock().unwrap();
        all.get(secret).map(|(by, _)| by.clone())
    }

    fn wake(&self, certificate: &ObjectKey) {
        let wait = match self.is_slow {
            true => i64::from(certificate.name.bytes().last().unwrap() % 4) * 3,
            false => 0,
        };
        let due = self.now.load(Ordering::Relaxed) + wait;
        self.woken.lock().unwrap().push((due, certificate.clone()));
    }
}

fn rotations(fleet: &Arc<Fleet>) -> Rotations {
    recorded(fleet, None)
}

/// An API server answers whoever asks for a ConfigMap with that record.
fn recorded(fleet: &Arc<Fleet>, record: Option<Record>) -> Rotations {
    let service = service_fn(move |request: http::Request<Body>| {
        let answer = record.as_ref().map(|record| {
            assert_eq!(request.method(), http::Method::GET);
            let record = serde_json::to_string(record).unwrap();
            json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "record"},
                "data": {"record.json": record},
            })
        });
        async move {
            let answer = answer.ok_or_else(|| std::io::Error::other("nothing is asked"))?;
            let body = serde_json::to_vec(&answer).unwrap();
            Ok::<_, std::io::Error>(http::Response::new(Body::from(body)))
        }
    });
    Rotations::new(
        Client::new(service, "default"),
        "system".into(),
        Arc::clone(fleet) as Arc<dyn Certificates>,
        Box::new(|_, _| {}),
        Metrics::new(Clock::default()).unwrap(),
    )
}

/// What stands in the Secret of the CA, and what was written down of it.
fn rules(name: &str, authorities: &[&str]) -> Rules {
    let mut record = Record::new(identity(authorities[0]));
    for ca in &authorities[1..] {
        record = record.succeeded_by(&identity(ca), at(0)).unwrap();
    }
    Rules {
        record,
        mode: Mode::Automatic,
        own_secret: key(&format!("{name}-ca")),
    }
}

/// Give the next turns, and have them taken; what was done, in order.
fn played(rotations: &Rotations, fleet: &Fleet, name: &str, now: i64) -> Vec<(String, Turn)> {
    let by = issuer(name);
    fleet.now.store(now, Ordering::Relaxed);
    rotations.go_on(&by, at(now));
    let woken = mem::take(&mut *fleet.woken.lock().unwrap());
    let (due, later): (Vec<_>, Vec<_>) = woken.into_iter().partition(|(due, _)| *due <= now);
    *fleet.woken.lock().unwrap() = later;
    let mut done = Vec::new();
    for (_, certificate) in due {
        let mut has = fleet.find(&by, &certificate).unwrap();
        let turn = rotations.turn(&by, &certificate, &has, at(now));
        let present = rotations.issuers()[&by].rules.record.present.clone();
        let beside = |roots: &[Fingerprint]| {
            let beside = rotations.roots_beside(&by, &certificate, roots, at(now));
            beside.iter().map(|root| print(root)).collect::<Vec<_>>()
        };
        match turn {
            Turn::None => {}
            Turn::Extend => has.roots.extend(beside(&has.roots)),
            Turn::Reissue => {
                let ca = present.key_id.unwrap();
                let roots = beside(&[print(&root(&ca))]);
                has = issued(&certificate.name, &ca, 90 * DAY);
                has.roots.extend(roots);
            }
            Turn::Restore => has.roots.truncate(1),
        }
        fleet.put(&certificate.name, name, has.clone());
        // The write wakes it again.
        rotations.turn(&by, &certificate, &has, at(now));
        done.push((certificate.name.to_string(), turn));
    }
    done
}

/// Whoever has the `ca.crt` of one trusts all the others.
fn all_trust_all(fleet: &Fleet, place: &str) {
    let all = fleet.all();
    for other in &all {
        let root = print(&root(other.signed_by.key_id.as_deref().unwrap()));
        for one in &all {
            let (name, to) = (&one.secret, &other.secret);
            assert!(
                one.roots.contains(&root),
                "{place}: {name} does not trust {to}"
            );
        }
    }
}

/// CAs follow each other, or come back, at any moment, and the operator starts anew at any other.
#[tokio::test]
async fn all_trust_all_whenever_a_ca_changes_and_whenever_the_operator_starts() {
    // The record at the start, and after each change.
    let stories: [&[&[&str]]; 3] = [
        &[&["a", "b"]],
        &[&["a", "b"], &["a", "b", "c"]],
        &[&["a", "b"], &["a", "b", "a"]],
    ];
    for story in stories {
        let moments = || (0..42).step_by(5);
        for (change, start) in moments().flat_map(|one| moments().map(move |two| (one, two + 2))) {
            let place = format!("{story:?}, changed at {change}, started at {start}");
            let fleet = Arc::new(Fleet {
                is_slow: true,
                ..Fleet::default()
            });
            for number in 0..13_i32 {
                let expires = DAY * (30 - i64::from(number));
                let name = format!("leaf-{number:02}");
                fleet.put(&name, "ca", issued(&name, "a", expires));
            }
            let mut current = story[0];
            let mut changes = story[1..].iter();
            let mut running = rotations(&fleet);
            running.begin(&issuer("ca"), rules("ca", current), at(0));
            for now in 1..400 {
                if now == change
                    && let Some(next) = changes.next()
                {
                    current = next;
                    running.begin(&issuer("ca"), rules("ca", current), at(now));
                }
                if now == start {
                    running = rotations(&fleet);
                    fleet.woken.lock().unwrap().clear();
                    running.begin(&issuer("ca"), rules("ca", current), at(now));
                }
                if !played(&running, &fleet, "ca", now).is_empty() {
                    all_trust_all(&fleet, &place);
                }
            }
            let last = current.last().unwrap();
            for leaf in fleet.all() {
                assert_eq!(leaf.roots, [print(&root(last))], "{place}: {}", leaf.secret);
                assert_eq!(leaf.signed_by.certificate, Some(print(last)), "{place}");
            }
        }
    }
}

/// Whose CA comes from what they sign are left alone, all others are not.
#[tokio::test]
async fn issuers_that_sign_each_other_come_to_an_end() {
    // Who issues what: the Secret of a CA is called `NAME-ca`.
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: [Case<'_>; 4] = [
        ("itself", &[("x-ca", "x"), ("leaf", "x")], &["leaf"]),
        (
            "two",
            &[("x-ca", "y"), ("y-ca", "x"), ("leaf", "x")],
            &["leaf"],
        ),
        (
            "three",
            &[("x-ca", "y"), ("y-ca", "z"), ("z-ca", "x"), ("leaf", "x")],
            &["leaf"],
        ),
        // Those below follow.
        (
            "a tree",
            &[("y-ca", "x"), ("z-ca", "y"), ("leaf", "x")],
            &["leaf", "y-ca"],
        ),
    ];
    for (place, certificates, want) in cases {
        let fleet = Arc::new(Fleet::default());
        for (name, by) in certificates {
            fleet.put(name, by, issued(name, &format!("old {by}"), 30 * DAY));
        }
        let running = rotations(&fleet);
        for name in ["y", "z"] {
            let old = format!("old {name}");
            running.begin(&issuer(name), rules(name, &[&old]), at(0));
        }
        running.begin(&issuer("x"), rules("x", &["old x", "new x"]), at(0));
        let mut reissued = Vec::new();
        for now in 1..60 {
            let done = played(&running, &fleet, "x", now).into_iter();
            reissued.extend(done.filter(|(_, turn)| *turn == Turn::Reissue));
        }
        let names: Vec<&str> = reissued.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, want, "{place}");
    }
}

/// What is issued right after a start, before anybody has looked at the issuer, is trusted as well.
#[tokio::test]
async fn what_is_under_way_at_a_start_is_written_with_all_roots() {
    let fleet = Arc::new(Fleet::default());
    fleet.put("done", "ca", issued("done", "b", 30 * DAY));
    fleet.put("waits", "ca", issued("waits", "a", 30 * DAY));
    let object: Issuer = serde_json::from_value(json!({
        "apiVersion": "cert-manager.io/v1", "kind": "Issuer",
        "metadata": {"namespace": "web", "name": "ca", "uid": "i"},
        "spec": {"ca": {"secretName": "ca-ca"}},
    }))
    .unwrap();
    let issuers = Issuers {
        namespaced: Arc::default(),
        cluster: Arc::default(),
        cluster_resource_namespace: "system".into(),
    };
    issuers.namespaced.observe(object);
    let view = issuers.get(IssuerKind::Issuer, &key("ca")).unwrap();
    let record = rules("ca", &["a", "b"]).record;
    let running = recorded(&fleet, Some(record));
    let new = [print(&root("b"))];
    let beside = || running.roots_beside(&issuer("ca"), &key("done"), &new, at(1));
    assert!(beside().is_empty());
    running.recall(&view, at(1)).await.unwrap();
    assert_eq!(beside(), [root("a").into()]);
    // It is asked for once; what was done since is not undone.
    assert_eq!(played(&running, &fleet, "ca", 2).len(), 2);
    running.recall(&view, at(2)).await.unwrap();
    let lacking = running.issuers()[&issuer("ca")].turns.to_extend();
    assert_eq!(lacking, 0);
}

/// Somebody has an old leaf, and puts it back whenever another has taken its place.
#[tokio::test]
async fn a_former_root_goes_in_the_end_whoever_brings_its_leaves_back() {
    const WEEK: i64 = 7 * DAY;
    let fleet = Arc::new(Fleet::default());
    for name in ["one", "two", "other"] {
        fleet.put(name, "ca", issued(name, "a", 90 * DAY));
    }
    let running = rotations(&fleet);
    running.begin(&issuer("ca"), rules("ca", &["a", "b"]), at(0));
    let own = || {
        fleet
            .all()
            .into_iter()
            .filter(|one| *one.secret.name != *"other")
    };
    let [old, new] = ["a", "b"].map(|ca| print(&root(ca)));
    let moments = (0..100).chain((100..2 * WEEK).step_by(600));
    for now in moments {
        let other = issued("other", "a", 90 * DAY);
        running.turn(&issuer("ca"), &key("other"), &other, at(now));
        fleet.put("other", "ca", other);
        played(&running, &fleet, "ca", now);
        if (100..WEEK).contains(&now) {
            assert!(own().all(|one| one.roots == [new, old]), "{now}");
        }
    }
    assert!(own().all(|one| one.roots == [new]));
    let beside = running.roots_beside(&issuer("ca"), &key("one"), &[new], at(2 * WEEK));
    assert!(beside.is_empty());
}

#[tokio::test]
async fn an_issuer_that_says_so_is_left_alone() {
    let fleet = Arc::new(Fleet::default());
    fleet.put("leaf", "ca", issued("leaf", "a", 30 * DAY));
    let running = rotations(&fleet);
    let rules = Rules {
        mode: Mode::Never,
        ..rules("ca", &["a", "b"])
    };
    running.begin(&issuer("ca"), rules, at(0));
    for now in 1..60 {
        assert!(played(&running, &fleet, "ca", now).is_empty());
    }
    let new = [print(&root("b"))];
    let beside = running.roots_beside(&issuer("ca"), &key("leaf"), &new, at(60));
    assert!(beside.is_empty());
}
