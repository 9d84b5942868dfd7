//! Is what was ordered counted for who ordered it, and forgotten when it says nothing any more?

use std::collections::BTreeMap;

use ::http::{Method, Request, Response, StatusCode};
use instant_acme::Identifier;
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;

const NAME: &str = "www.example.com";

const ALL: &str = "/api/v1/namespaces/system/configmaps";

/// ConfigMaps by path.
type Kept = Arc<Mutex<BTreeMap<String, Value>>>;

struct World {
    ledger: Ledger,
    clock: Clock,
    metrics: Metrics,
    kept: Kept,
}

fn world() -> World {
    let kept = Kept::default();
    let served = Arc::clone(&kept);
    let service = service_fn(move |request: Request<Body>| {
        let served = Arc::clone(&served);
        async move {
            let path = request.uri().path().to_owned();
            let method = request.method().clone();
            let body = request.into_body().collect_bytes().await.unwrap();
            let mut kept = served.lock().unwrap();
            if method == Method::PATCH {
                let mut object: Value = serde_json::from_slice(&body).unwrap();
                object["metadata"]["uid"] = json!(path);
                kept.insert(path.clone(), object);
            }
            let found = match (method, path.as_str()) {
                (Method::DELETE, path) => kept.remove(path),
                (Method::GET, ALL) => {
                    let items: Vec<&Value> = kept.values().collect();
                    Some(json!({"metadata": {}, "items": items}))
                }
                (_, path) => kept.get(path).cloned(),
            };
            let (status, body) = match found {
                Some(found) => (StatusCode::OK, found),
                None => (
                    StatusCode::NOT_FOUND,
                    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                           "reason": "NotFound", "code": 404}),
                ),
            };
            let body = Body::from(serde_json::to_vec(&body).unwrap());
            let answer = Response::builder().status(status).body(body).unwrap();
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let clock = Clock::default();
    let metrics = Metrics::new(clock.clone()).unwrap();
    let client = Client::new(service, "default");
    let system = "system".into();
    World {
        ledger: Ledger::new(client, system, clock.clone(), metrics.clone()),
        clock,
        metrics,
        kept,
    }
}

fn account(server: &str) -> AccountId {
    AccountId {
        server: format!("https://{server}/dir"),
        url: "https://ca.example/acct/1".to_owned(),
    }
}

fn names() -> Names {
    Names::of(&[Identifier::Dns(NAME.to_owned())])
}

#[tokio::test]
async fn a_server_that_names_the_account_of_another_counts_for_itself() {
    let World {
        ledger,
        clock,
        kept,
        ..
    } = world();
    let (theirs, forged) = (account("ca.example"), account("evil.example"));
    let names = names();
    let failed = BTreeSet::from([NAME.to_owned()]);
    let strict: Limits = "failures=1/1000h".parse().unwrap();
    let limits: Limits = "failures=5/1h".parse().unwrap();
    let order = ObjectKey::new("web", "www");
    let line = |account, limits, uid| Line {
        account,
        limits,
        order: &order,
        uid,
        names: &names,
        now: clock.now(),
    };
    ledger.open(&forged).await.unwrap();
    ledger.not_validated(line(&forged, &strict, "a"), &failed);
    let refused = ledger.admit(line(&forged, &strict, "b")).await.unwrap();
    assert!(matches!(refused.unwrap_err().what, What::Failures(_)));
    let admitted = ledger.admit(line(&theirs, &limits, "c")).await.unwrap();
    assert_eq!(admitted, Ok(()));
    ledger.placed(line(&theirs, &limits, "c"));
    ledger.write().await;
    let kept = kept.lock().unwrap();
    let servers: BTreeSet<&str> = kept
        .values()
        .filter_map(|written| written["data"]["server"].as_str())
        .collect();
    let want = [forged.server.as_str(), theirs.server.as_str()];
    assert_eq!(servers, BTreeSet::from(want));
}

#[tokio::test]
async fn who_is_gone_waits_for_no_turn() {
    let World {
        ledger,
        clock,
        metrics,
        ..
    } = world();
    let account = account("ca.example");
    let names = names();
    let limits: Limits = "orders=1/100h".parse().unwrap();
    let (first, second) = (ObjectKey::new("web", "a"), ObjectKey::new("web", "b"));
    let line = |order, uid| Line {
        account: &account,
        limits: &limits,
        order,
        uid,
        names: &names,
        now: clock.now(),
    };
    let is_told = || metrics.pages().any(|page| page.contains(&account.url));
    let first = line(&first, "a");
    ledger.admit(first).await.unwrap().unwrap();
    ledger.placed(first);
    ledger.admit(line(&second, "b")).await.unwrap().unwrap_err();
    assert!(is_told());
    ledger.gone(&second);
    assert!(!is_told());
    // Or nobody told that it is gone.
    ledger.admit(line(&second, "b")).await.unwrap().unwrap_err();
    assert!(is_told());
    clock.advance(101 * 3600);
    ledger.expire();
    assert!(!is_told());
}

#[tokio::test]
async fn what_says_nothing_any_more_is_forgotten() {
    let World {
        ledger,
        clock,
        kept,
        ..
    } = world();
    let account = account("ca.example");
    let names = names();
    let limits: Limits = "orders=1/100h".parse().unwrap();
    let order = ObjectKey::new("web", "www");
    let line = || Line {
        account: &account,
        limits: &limits,
        order: &order,
        uid: "a",
        names: &names,
        now: clock.now(),
    };
    for (hours, is_kept) in [(99, true), (1, false)] {
        if is_kept {
            ledger.admit(line()).await.unwrap().unwrap();
            ledger.placed(line());
            ledger.write().await;
        }
        clock.advance(hours * 3600);
        ledger.expire();
        ledger.sweep().await;
        assert_eq!(ledger.accounts().is_empty(), !is_kept);
        assert_eq!(ledger.orders().is_empty(), !is_kept);
        assert_eq!(kept.lock().unwrap().is_empty(), !is_kept);
    }
    // Let go between the two, it counts all the same.
    ledger.admit(line()).await.unwrap().unwrap();
    ledger.expire();
    ledger.placed(line());
    assert!(ledger.admit(line()).await.unwrap().is_err());
}

#[tokio::test]
async fn accounts_at_rest_make_room() {
    let World { ledger, clock, .. } = world();
    let names = names();
    let limits: Limits = "orders=1/100000h".parse().unwrap();
    let order = ObjectKey::new("web", "www");
    let line = |account, uid| Line {
        account,
        limits: &limits,
        order: &order,
        uid,
        names: &names,
        now: clock.now(),
    };
    let made_up: Vec<AccountId> = (0..=MOST_ACCOUNTS)
        .map(|number| account(&format!("ca-{number}.example")))
        .collect();
    for account in &made_up {
        ledger.placed(line(account, "a"));
    }
    ledger.take_new();
    ledger
        .admit(line(&made_up[0], "b"))
        .await
        .unwrap()
        .unwrap_err();
    ledger.expire();
    let left: Vec<AccountId> = ledger.accounts().keys().cloned().collect();
    assert_eq!(left, made_up[..1], "the one that is waited for");
}

#[tokio::test]
async fn accounts_that_are_made_up_do_not_fill_the_place() {
    let World { ledger, kept, .. } = world();
    let at = |number: usize| format!("{ALL}/certwright-rate-limits-{number}");
    {
        let mut kept = kept.lock().unwrap();
        for number in 0..2010 {
            let full = format!("{{\"orders\":\"{}-01-01T00:00:00Z\"}}", 9000 - number);
            kept.insert(
                at(number),
                json!({
                    "metadata": {"namespace": "system", "uid": at(number),
                                 "name": format!("certwright-rate-limits-{number}")},
                    "data": {"account": "a", "server": "s", "buckets.json": full},
                }),
            );
        }
    }
    ledger.sweep().await;
    let kept = kept.lock().unwrap();
    assert_eq!(kept.len(), 2000);
    assert!(!kept.contains_key(&at(0)), "it would stay longest");
    assert!(kept.contains_key(&at(2009)));
}
