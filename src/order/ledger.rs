//! Where is what was ordered from each account written down? One ConfigMap an account, written
//! now and then: what a crash loses is a few seconds, and the CA counts too.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Client, api::ObjectMeta};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    cluster::{
        ObjectKey, RequestError,
        metrics::Metrics,
        name::hash_of,
        write::{self, api_of},
    },
    issuer::{AccountId, limits::Limits},
    order::limits::{Account, Buckets, Full, Names, What},
};

/// How often what is new is written down.
const INTERVAL: Duration = Duration::from_secs(10);
/// Entry of the ConfigMap.
const ENTRY: &str = "buckets.json";
/// Entries that say whose they are.
const ACCOUNT: &str = "account";
const SERVER: &str = "server";
/// Field manager of the ConfigMap.
const MANAGER: &str = "certwright-rate-limits";
/// More accounts are not kept at a time; those that wait for nothing make room.
const MOST_ACCOUNTS: usize = 10_000;

/// What was ordered from every account. One for all orders.
pub struct Ledger {
    client: Client,
    namespace: Arc<str>,
    metrics: Metrics,
    accounts: Mutex<HashMap<AccountId, Entry>>,
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
    /// The uid of the Order.
    pub uid: &'a str,
    /// What it asks for.
    pub names: &'a Names,
    /// Now.
    pub now: Timestamp,
}

impl Ledger {
    /// Written down in `namespace` through `client`; the next turns are told to `metrics`.
    pub fn new(client: Client, namespace: Arc<str>, metrics: Metrics) -> Self {
        Self {
            client,
            namespace,
            metrics,
            accounts: Mutex::default(),
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
            uid,
            names,
            now,
        } = line;
        self.open(account).await?;
        let mut accounts = self.accounts();
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
            let read = self.read(account).await?;
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
        let mut accounts = self.accounts();
        // Nothing of it is written down.
        if let Some(entry) = accounts.get_mut(line.account) {
            entry.account.ended(line.uid);
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

    /// Write down what is new, now and then, and once more at the end.
    pub async fn keep(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(sleep(INTERVAL)).await.is_some() {
            self.write().await;
        }
        self.write().await;
    }

    async fn write(&self) {
        for (account, text) in self.take_new() {
            let key = self.place(&account);
            let object = ConfigMap {
                metadata: ObjectMeta {
                    namespace: Some(key.namespace.to_string()),
                    name: Some(key.name.to_string()),
                    ..Default::default()
                },
                data: Some(
                    [
                        (ACCOUNT.to_owned(), account.url.clone()),
                        (SERVER.to_owned(), account.server.clone()),
                        (ENTRY.to_owned(), text),
                    ]
                    .into(),
                ),
                ..Default::default()
            };
            let api = api_of::<ConfigMap>(&self.client, &key);
            if let Err(error) = write::apply(&api, MANAGER, &object).await {
                // Nothing is lost as long as the process lives: it is tried again.
                warn!(%error, account = account.url, "cannot write down what was ordered");
                if let Some(entry) = self.accounts().get_mut(&account) {
                    entry.is_new = true;
                }
            }
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
        if accounts.len() > MOST_ACCOUNTS {
            accounts.retain(|_, entry| entry.is_new || entry.account.is_waited_for());
        }
        new
    }

    async fn read(&self, account: &AccountId) -> Result<Buckets, RequestError> {
        let key = self.place(account);
        let found = write::get(&api_of::<ConfigMap>(&self.client, &key), &key).await?;
        let text = found.and_then(|found| found.data?.remove(ENTRY));
        let Some(text) = text else {
            return Ok(Buckets::default());
        };
        match serde_json::from_str(&text) {
            Ok(buckets) => {
                debug!(account = account.url, "read what was ordered");
                Ok(buckets)
            }
            Err(error) => {
                warn!(%error, config_map = %key, "what was ordered cannot be read: counting anew");
                Ok(Buckets::default())
            }
        }
    }

    fn place(&self, account: &AccountId) -> ObjectKey {
        let AccountId { server, url } = account;
        // A URL alone is the word of a server that may be anybody's.
        let hash = hash_of(format!("{server}\n{url}").as_bytes(), 8);
        let namespace = Arc::clone(&self.namespace);
        ObjectKey::new(namespace, format!("certwright-rate-limits-{hash}"))
    }

    fn change(&self, account: &AccountId, change: impl FnOnce(&mut Account)) {
        let mut accounts = self.accounts();
        // Without an entry nothing was admitted, and nothing is known to change.
        if let Some(entry) = accounts.get_mut(account) {
            change(&mut entry.account);
            entry.is_new = true;
        }
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<AccountId, Entry>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use ::http::{Method, Request, Response, StatusCode};
    use instant_acme::Identifier;
    use kube::client::Body;
    use serde_json::{Value, json};
    use tower::service_fn;

    use super::*;
    use crate::cluster::Clock;

    const NAME: &str = "www.example.com";

    /// ConfigMaps by path.
    type Stored = Arc<Mutex<HashMap<String, Value>>>;

    /// A ledger, and what it writes down.
    fn ledger() -> (Ledger, Stored) {
        let stored = Stored::default();
        let served = Arc::clone(&stored);
        let service = service_fn(move |request: Request<Body>| {
            let served = Arc::clone(&served);
            async move {
                let path = request.uri().path().to_owned();
                let method = request.method().clone();
                let body = request.into_body().collect_bytes().await.unwrap();
                let mut stored = served.lock().unwrap();
                if method == Method::PATCH {
                    stored.insert(path.clone(), serde_json::from_slice(&body).unwrap());
                }
                let (status, body) = match stored.get(&path) {
                    Some(found) => (StatusCode::OK, found.clone()),
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
        let metrics = Metrics::new(Clock::default()).unwrap();
        let client = Client::new(service, "default");
        (Ledger::new(client, "system".into(), metrics), stored)
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
        let (ledger, stored) = ledger();
        let (theirs, forged) = (account("ca.example"), account("evil.example"));
        let names = names();
        let failed = BTreeSet::from([NAME.to_owned()]);
        let strict: Limits = "failures=1/1000h".parse().unwrap();
        let limits: Limits = "failures=5/1h".parse().unwrap();
        let line = |account, limits, uid| Line {
            account,
            limits,
            uid,
            names: &names,
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
        };
        ledger.open(&forged).await.unwrap();
        ledger.not_validated(line(&forged, &strict, "a"), &failed);
        let refused = ledger.admit(line(&forged, &strict, "b")).await.unwrap();
        assert!(matches!(refused.unwrap_err().what, What::Failures(_)));
        let admitted = ledger.admit(line(&theirs, &limits, "c")).await.unwrap();
        assert_eq!(admitted, Ok(()));
        ledger.placed(line(&theirs, &limits, "c"));
        ledger.write().await;
        let stored = stored.lock().unwrap();
        let servers: BTreeSet<&str> = stored
            .values()
            .filter_map(|written| written["data"]["server"].as_str())
            .collect();
        let want = [forged.server.as_str(), theirs.server.as_str()];
        assert_eq!(servers, BTreeSet::from(want));
    }
}
