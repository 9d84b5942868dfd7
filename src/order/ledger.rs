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
    issuer::limits::Limits,
    order::limits::{Account, Buckets, Full, Names, What},
};

/// How often what is new is written down.
const INTERVAL: Duration = Duration::from_secs(10);
/// Entry of the ConfigMap.
const ENTRY: &str = "buckets.json";
/// Entry that says whose they are.
const ACCOUNT: &str = "account";
/// Field manager of the ConfigMap.
const MANAGER: &str = "certwright-rate-limits";
/// More accounts are not kept at a time; those that wait for nothing make room.
const MOST_ACCOUNTS: usize = 10_000;

/// What was ordered from every account. One for all orders.
pub struct Ledger {
    client: Client,
    namespace: Arc<str>,
    metrics: Metrics,
    accounts: Mutex<HashMap<String, Entry>>,
}

#[derive(Default)]
struct Entry {
    account: Account,
    is_new: bool,
}

/// An order, as the ledger sees it.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The URL of the account.
    pub account: &'a str,
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
        let entry = accounts.entry(account.to_owned()).or_default();
        let admitted = entry.account.admit(limits, uid, names, now);
        let next = entry.account.next_turn(now);
        drop(accounts);
        self.metrics.next_order(account, next);
        Ok(admitted)
    }

    /// Go on with what was written down of `account`. Without that nothing is counted, unless an order
    /// was admitted.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn open(&self, account: &str) -> Result<(), RequestError> {
        if !self.accounts().contains_key(account) {
            let read = self.read(account).await?;
            self.accounts().entry(account.to_owned()).or_insert(Entry {
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
                        (ACCOUNT.to_owned(), account.clone()),
                        (ENTRY.to_owned(), text),
                    ]
                    .into(),
                ),
                ..Default::default()
            };
            let api = api_of::<ConfigMap>(&self.client, &key);
            if let Err(error) = write::apply(&api, MANAGER, &object).await {
                // Nothing is lost as long as the process lives: it is tried again.
                warn!(%error, account, "cannot write down what was ordered");
                if let Some(entry) = self.accounts().get_mut(&account) {
                    entry.is_new = true;
                }
            }
        }
    }

    /// What changed since it was written down.
    fn take_new(&self) -> Vec<(String, String)> {
        let mut accounts = self.accounts();
        let mut new = Vec::new();
        for (url, entry) in accounts.iter_mut().filter(|(_, entry)| entry.is_new) {
            entry.is_new = false;
            if let Ok(text) = serde_json::to_string(entry.account.buckets()) {
                new.push((url.clone(), text));
            }
        }
        if accounts.len() > MOST_ACCOUNTS {
            accounts.retain(|_, entry| entry.is_new || entry.account.is_waited_for());
        }
        new
    }

    async fn read(&self, account: &str) -> Result<Buckets, RequestError> {
        let key = self.place(account);
        let found = write::get(&api_of::<ConfigMap>(&self.client, &key), &key).await?;
        let text = found.and_then(|found| found.data?.remove(ENTRY));
        let Some(text) = text else {
            return Ok(Buckets::default());
        };
        match serde_json::from_str(&text) {
            Ok(buckets) => {
                debug!(account, "read what was ordered");
                Ok(buckets)
            }
            Err(error) => {
                warn!(%error, config_map = %key, "what was ordered cannot be read: counting anew");
                Ok(Buckets::default())
            }
        }
    }

    fn place(&self, account: &str) -> ObjectKey {
        let hash = hash_of(account.as_bytes(), 8);
        let namespace = Arc::clone(&self.namespace);
        ObjectKey::new(namespace, format!("certwright-rate-limits-{hash}"))
    }

    fn change(&self, account: &str, change: impl FnOnce(&mut Account)) {
        let mut accounts = self.accounts();
        // Without an entry nothing was admitted, and nothing is known to change.
        if let Some(entry) = accounts.get_mut(account) {
            change(&mut entry.account);
            entry.is_new = true;
        }
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
