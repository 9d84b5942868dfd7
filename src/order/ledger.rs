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
/// More accounts are not kept in memory; those at rest make room.
const MOST_ACCOUNTS: usize = 10_000;
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
        if accounts.len() > MOST_ACCOUNTS {
            accounts.retain(|_, entry| entry.is_new || !entry.account.is_at_rest());
        }
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
mod tests;
