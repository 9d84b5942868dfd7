//! What was ordered from each account? In memory, and written down now and then: what a crash loses is a
//! few seconds, and the CA counts too.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use kube::Client;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    cluster::{Clock, ObjectKey, RequestError, metrics::Metrics},
    issuer::{AccountId, limits::Limits},
    order::{
        limits::{Account, Full, Names, What},
        stored::Stored,
    },
};

/// How often what is new is written down.
const INTERVAL: Duration = Duration::from_secs(10);
/// After how many of these what says nothing any more is looked for: every half an hour.
const SWEEP: u32 = 180;

/// What was ordered from every account. One for all orders.
pub struct Ledger {
    stored: Stored,
    clock: Clock,
    metrics: Metrics,
    accounts: Mutex<HashMap<AccountId, Entry>>,
    /// The account and the uid of each Order that waits or is under way.
    orders: Mutex<HashMap<ObjectKey, (AccountId, String)>>,
}

#[derive(Default)]
struct Entry {
    account: Account,
    is_new: bool,
}

/// An order, as the ledger sees it.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The account.
    pub account: &'a AccountId,
    /// What the CA takes.
    pub limits: &'a Limits,
    /// The Order.
    pub order: &'a ObjectKey,
    /// Its uid.
    pub uid: &'a str,
    /// What it asks for.
    pub names: &'a Names,
    /// Now.
    pub now: Timestamp,
}

impl Ledger {
    /// Written down in `namespace` through `client`; the next turns are told to `metrics`.
    pub fn new(client: Client, namespace: Arc<str>, clock: Clock, metrics: Metrics) -> Self {
        Self {
            stored: Stored::new(client, namespace),
            clock,
            metrics,
            accounts: Mutex::default(),
            orders: Mutex::default(),
        }
    }

    /// Whether an order can be placed now. If so it is under way, until it [ended](Self::ended).
    ///
    /// # Errors
    /// What was written down of the account cannot be read.
    pub async fn admit(&self, line: Line<'_>) -> Result<Result<(), Full>, RequestError> {
        let Line {
            account,
            limits,
            order,
            uid,
            names,
            now,
        } = line;
        self.open(account).await?;
        let mut accounts = self.accounts();
        let whose = (account.clone(), uid.to_owned());
        self.orders().insert(order.clone(), whose);
        let entry = accounts.entry(account.clone()).or_default();
        let admitted = entry.account.admit(limits, uid, names, now);
        let next = entry.account.next_turn(now);
        drop(accounts);
        self.metrics.next_order(&account.url, next);
        Ok(admitted)
    }

    /// Go on with what was written down of `account`. Without that nothing is counted, unless an order
    /// was admitted.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn open(&self, account: &AccountId) -> Result<(), RequestError> {
        if !self.accounts().contains_key(account) {
            let read = self.stored.read(account).await?;
            self.accounts().entry(account.clone()).or_insert(Entry {
                account: Account::of(read),
                is_new: false,
            });
        }
        Ok(())
    }

    /// An order was placed.
    pub fn placed(&self, line: Line<'_>) {
        self.change(line.account, |account| {
            account.placed(line.limits, line.uid, line.names, line.now);
        });
    }

    /// An order ended, in whatever way, or was not placed.
    pub fn ended(&self, line: Line<'_>) {
        self.orders().remove(line.order);
        let mut accounts = self.accounts();
        // Nothing of it is written down.
        if let Some(entry) = accounts.get_mut(line.account) {
            entry.account.ended(line.uid);
        }
    }

    /// The Order is deleted: it waits for no turn any more.
    pub fn gone(&self, order: &ObjectKey) {
        let Some((account, uid)) = self.orders().remove(order) else {
            return;
        };
        let mut accounts = self.accounts();
        if let Some(entry) = accounts.get_mut(&account) {
            entry.account.gone(&uid);
            let next = entry.account.next_turn(self.clock.now());
            drop(accounts);
            self.metrics.next_order(&account.url, next);
        }
    }

    /// An order that was placed failed.
    pub fn failed(&self, line: Line<'_>) {
        self.change(line.account, |account| {
            account.failed(line.limits, line.names);
        });
    }

    /// The CA could not validate these names of an order.
    pub fn not_validated(&self, line: Line<'_>, names: &BTreeSet<String>) {
        self.change(line.account, |account| {
            account.not_validated(line.limits, names, line.now);
        });
    }

    /// The CA refused to take an order before `until`, because of this limit.
    pub fn refused(&self, line: Line<'_>, what: &What, until: Timestamp) {
        self.change(line.account, |account| {
            account.refused(line.limits, line.names, what, until);
        });
    }

    /// Write down what is new, now and then, and once more at the end; forget what says nothing any more.
    pub async fn keep(&self, stop: CancellationToken) {
        for round in (0..SWEEP).cycle() {
            if stop.run_until_cancelled(sleep(INTERVAL)).await.is_none() {
                break;
            }
            self.write().await;
            self.expire();
            if round == 0 {
                self.sweep().await;
            }
        }
        self.write().await;
    }

    async fn write(&self) {
        for (account, text) in self.take_new() {
            if let Err(error) = self.stored.write(&account, text).await {
                // Nothing is lost as long as the process lives: it is tried again.
                warn!(%error, account = account.url, "cannot write down what was ordered");
                if let Some(entry) = self.accounts().get_mut(&account) {
                    entry.is_new = true;
                }
            }
        }
    }

    /// Let turns go that nobody took, and accounts of which nothing is to be known.
    fn expire(&self) {
        let now = self.clock.now();
        let mut accounts = self.accounts();
        accounts.retain(|id, entry| {
            entry.account.expire(now);
            self.metrics
                .next_order(&id.url, entry.account.next_turn(now));
            entry.is_new || !entry.account.is_idle(now)
        });
        let is_known = |(account, _): &(AccountId, String)| accounts.contains_key(account);
        self.orders().retain(|_, whose| is_known(whose));
    }

    async fn sweep(&self) {
        let is_known = |account: &AccountId| self.accounts().contains_key(account);
        if let Err(error) = self.stored.sweep(self.clock.now(), is_known).await {
            warn!(%error, "cannot forget what was ordered long ago");
        }
    }

    /// What changed since it was written down.
    fn take_new(&self) -> Vec<(AccountId, String)> {
        let mut accounts = self.accounts();
        let mut new = Vec::new();
        for (account, entry) in accounts.iter_mut().filter(|(_, entry)| entry.is_new) {
            entry.is_new = false;
            if let Ok(text) = serde_json::to_string(entry.account.buckets()) {
                new.push((account.clone(), text));
            }
        }
        new
    }

    fn change(&self, account: &AccountId, change: impl FnOnce(&mut Account)) {
        let mut accounts = self.accounts();
        // Of one that was opened, and is let go since, nothing was to be known.
        let entry = accounts.entry(account.clone()).or_default();
        change(&mut entry.account);
        entry.is_new = true;
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<AccountId, Entry>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn orders(&self) -> MutexGuard<'_, HashMap<ObjectKey, (AccountId, String)>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
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
}
