//! How many orders does a CA take from an account, and is there room for one more? Pure.
//!
//! Each limit is a bucket that refills evenly, kept as the moment at which it will be full again
//! (the generic cell rate algorithm, as Let's Encrypt counts too).

mod bucket;
mod names;
mod under_way;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::issuer::limits::{Limit, Limits};

pub use names::Names;

use names::validated_name;
use under_way::UnderWay;

/// Buckets that are kept of one account; the ones that are full again soonest make room. A
/// ConfigMap holds about twenty thousand.
const MOST_BUCKETS: usize = 10_000;
/// When to look again at an order that waits for others to end: nothing wakes it.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(10);
/// An order whose turn has come keeps it for so long.
const GRACE: SignedDuration = SignedDuration::from_mins(1);

/// What stands in the way of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Full {
    /// What is full.
    pub what: What,
    /// When there is room for this order.
    pub at: Timestamp,
}

impl Full {
    /// For people: what is used up, and when it is this order's turn.
    pub fn message(&self, limits: &Limits) -> String {
        let limit = |limit: Option<Limit>| limit.map(|limit| limit.to_string()).unwrap_or_default();
        let what = match &self.what {
            What::UnderWay(name) => {
                return format!(
                    "the CA's limit of {} for failed validations of {name} could be reached by \
                     other orders for it that are under way; waiting for one of them to end",
                    limit(limits.failures)
                );
            }
            What::Orders => format!("{} for orders of this account", limit(limits.orders)),
            What::Domain(name) => {
                format!("{} for certificates of {name}", limit(limits.domain))
            }
            What::Failures(name) => {
                format!(
                    "{} for failed validations of {name}",
                    limit(limits.failures)
                )
            }
            What::SameNames => format!(
                "{} for certificates with exactly these names",
                limit(limits.same_names)
            ),
        };
        format!(
            "the CA's limit of {what} is reached; next order allowed at {}",
            self.at.strftime("%Y-%m-%dT%H:%M:%SZ")
        )
    }
}

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Orders of the account.
    Orders,
    /// Certificates of a registered domain.
    Domain(String),
    /// Certificates with exactly the same names.
    SameNames,
    /// Validations of a name that fail.
    Failures(String),
    /// Validations of a name that may yet fail.
    UnderWay(String),
}

/// The buckets of one account: when each is full again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Buckets {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    orders: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    domains: BTreeMap<String, Timestamp>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    sets: BTreeMap<String, Timestamp>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    failures: BTreeMap<String, Timestamp>,
}

impl Buckets {
    /// The limit that makes an order for `names` wait longest, if one does.
    fn fullest(&self, limits: &Limits, names: &Names, now: Timestamp) -> Option<Full> {
        let Limits {
            orders,
            domain,
            same_names,
            failures,
        } = limits;
        let full = |limit: &Option<Limit>, filled: Option<&Timestamp>, what: What| {
            let at = limit.as_ref()?.room(filled.copied(), now);
            (at > now).then_some(Full { what, at })
        };
        let domains = names
            .domains
            .iter()
            .filter_map(|name| full(domain, self.domains.get(name), What::Domain(name.clone())));
        let names_failed = names.validated.iter().filter_map(|name| {
            full(
                failures,
                self.failures.get(name),
                What::Failures(name.clone()),
            )
        });
        full(orders, self.orders.as_ref(), What::Orders)
            .into_iter()
            .chain(domains)
            .chain(names_failed)
            .chain(full(same_names, self.sets.get(&names.set), What::SameNames))
            .max_by_key(|full| full.at)
    }

    /// Count an order for `names`.
    fn take(&mut self, limits: &Limits, names: &Names, now: Timestamp) {
        let Limits {
            orders,
            domain,
            same_names,
            // What fails is counted when it has failed.
            failures: _,
        } = limits;
        let Self {
            orders: filled,
            domains,
            sets,
            failures: _,
        } = self;
        if let Some(limit) = orders {
            *filled = Some(limit.taken(*filled, now));
        }
        if let Some(limit) = domain {
            for name in &names.domains {
                let filled = domains.get(name).copied();
                domains.insert(name.clone(), limit.taken(filled, now));
            }
        }
        if let Some(limit) = same_names {
            let filled = sets.get(&names.set).copied();
            sets.insert(names.set.clone(), limit.taken(filled, now));
        }
        self.tidy(now);
    }

    /// Count a validation of each of `names` that failed.
    fn fail<'a>(&mut self, limits: &Limits, names: impl Iterator<Item = &'a str>, now: Timestamp) {
        let Some(limit) = &limits.failures else {
            return;
        };
        for name in names {
            let filled = self.failures.get(name).copied();
            let filled = limit.taken(filled, now);
            self.failures.insert(name.to_owned(), filled);
        }
        self.tidy(now);
    }

    /// An order for `names` came to nothing: no certificate counts.
    fn give_back(&mut self, limits: &Limits, names: &Names) {
        let Limits {
            orders: _,
            domain,
            same_names,
            failures: _,
        } = limits;
        if let Some(limit) = domain {
            for name in &names.domains {
                if let Some(filled) = self.domains.get_mut(name) {
                    *filled = limit.given_back(*filled);
                }
            }
        }
        if let Some(limit) = same_names
            && let Some(filled) = self.sets.get_mut(&names.set)
        {
            *filled = limit.given_back(*filled);
        }
    }

    /// There is no room until `until`.
    fn fill(&mut self, limits: &Limits, names: &Names, what: &What, until: Timestamp) {
        let Limits {
            orders,
            domain,
            same_names,
            failures,
        } = limits;
        match what {
            What::Orders => {
                if let Some(limit) = orders {
                    self.orders = Some(limit.full_until(until));
                }
            }
            What::Domain(name) => {
                if let Some(limit) = domain {
                    self.domains.insert(name.clone(), limit.full_until(until));
                }
            }
            What::Failures(name) | What::UnderWay(name) => {
                if let Some(limit) = failures {
                    self.failures.insert(name.clone(), limit.full_until(until));
                }
            }
            What::SameNames => {
                if let Some(limit) = same_names {
                    self.sets.insert(names.set.clone(), limit.full_until(until));
                }
            }
        }
    }

    /// When everything is full again, unless it is.
    pub fn full_again(&self, now: Timestamp) -> Option<Timestamp> {
        let Self {
            orders,
            domains,
            sets,
            failures,
        } = self;
        let maps = [domains, sets, failures];
        let all = maps.into_iter().flat_map(BTreeMap::values).chain(orders);
        all.copied().max().filter(|at| *at > now)
    }

    /// Forget what is full again, and what is too much to keep.
    fn tidy(&mut self, now: Timestamp) {
        for buckets in [&mut self.domains, &mut self.sets, &mut self.failures] {
            buckets.retain(|_, filled| *filled > now);
            if buckets.len() > MOST_BUCKETS {
                let mut times: Vec<Timestamp> = buckets.values().copied().collect();
                times.sort();
                if let Some(oldest) = times.get(times.len() - MOST_BUCKETS).copied() {
                    buckets.retain(|_, filled| *filled >= oldest);
                }
            }
        }
    }
}

/// What is known of one account.
#[derive(Debug, Default)]
pub struct Account {
    /// Orders that were placed.
    spent: Buckets,
    /// The same, with those that have a time to be placed at.
    planned: Buckets,
    /// The times given out, by uid of the Order.
    waiting: HashMap<String, Full>,
    /// The orders that may yet fail.
    under_way: UnderWay,
}

impl Account {
    /// As `stored` before.
    pub fn of(stored: Buckets) -> Self {
        Self {
            planned: stored.clone(),
            spent: stored,
            waiting: HashMap::new(),
            under_way: UnderWay::default(),
        }
    }

    /// What is to be stored.
    pub fn buckets(&self) -> &Buckets {
        &self.spent
    }

    /// Whether the Order `uid` for `names` can be placed now; then it counts as under way.
    ///
    /// An order that must wait gets a time of its own and keeps it: a thousand of them come one by
    /// one, and not all at once each time there is room for one.
    ///
    /// # Errors
    /// What is full, and when it is this order's turn.
    pub fn admit(
        &mut self,
        limits: &Limits,
        uid: &str,
        names: &Names,
        now: Timestamp,
    ) -> Result<(), Full> {
        match self.waiting.get(uid) {
            Some(turn) if turn.at > now => return Err(turn.clone()),
            Some(_) => {}
            None => self.find_room(limits, uid, names, now)?,
        }
        let Some(limit) = &limits.failures else {
            return Ok(());
        };
        self.under_way.expire(now);
        if let Some(full) = self.could_fail_too_often(limit, uid, names, now) {
            if !self.waiting.contains_key(uid) {
                self.planned.take(limits, names, now);
            }
            self.waiting.insert(uid.to_owned(), full.clone());
            return Err(full);
        }
        self.under_way.begin(limit, uid, &names.validated, now);
        Ok(())
    }

    /// A turn for an order that has none yet.
    fn find_room(
        &mut self,
        limits: &Limits,
        uid: &str,
        names: &Names,
        now: Timestamp,
    ) -> Result<(), Full> {
        self.expire_turns(now);
        if self.waiting.is_empty() {
            self.planned = self.spent.clone();
        }
        let Some(full) = self.planned.fullest(limits, names, now) else {
            return Ok(());
        };
        self.planned.take(limits, names, now);
        if matches!(full.what, What::Failures(_)) {
            // It may well fail again: those that wait for the same name come one by one.
            let validated = names.validated.iter().map(String::as_str);
            self.planned.fail(limits, validated, now);
        }
        self.waiting.insert(uid.to_owned(), full.clone());
        Err(full)
    }

    /// What stands in the way of `names` if all other orders for them fail that are under way.
    fn could_fail_too_often(
        &self,
        limit: &Limit,
        uid: &str,
        names: &Names,
        now: Timestamp,
    ) -> Option<Full> {
        names.validated.iter().find_map(|name| {
            let mut filled = self.spent.failures.get(name).copied();
            let at = limit.room(filled, now);
            if at > now {
                let what = What::Failures(name.clone());
                return Some(Full { what, at });
            }
            for _ in 0..self.under_way.others(uid, name).min(limit.count) {
                filled = Some(limit.taken(filled, now));
            }
            (limit.room(filled, now) > now).then(|| Full {
                what: What::UnderWay(name.clone()),
                at: now.checked_add(LOOK_AGAIN).unwrap_or(now),
            })
        })
    }

    /// The Order `uid` ended, in whatever way, or was not placed.
    pub fn ended(&mut self, uid: &str) {
        self.under_way.end(uid);
    }

    /// The Order `uid` for `names` was placed.
    pub fn placed(&mut self, limits: &Limits, uid: &str, names: &Names, now: Timestamp) {
        self.spent.take(limits, names, now);
        if self.waiting.remove(uid).is_none() {
            self.planned.take(limits, names, now);
        }
    }

    /// The Order `uid` for `names`, which was placed, failed.
    pub fn failed(&mut self, limits: &Limits, names: &Names) {
        self.spent.give_back(limits, names);
        self.planned.give_back(limits, names);
    }

    /// The CA could not validate these names.
    pub fn not_validated(&mut self, limits: &Limits, names: &BTreeSet<String>, now: Timestamp) {
        for buckets in [&mut self.spent, &mut self.planned] {
            buckets.fail(limits, names.iter().map(|name| validated_name(name)), now);
        }
    }

    /// The CA refused the Order `uid` for `names` until `until`: it counts better than we do.
    pub fn refused(&mut self, limits: &Limits, names: &Names, what: &What, until: Timestamp) {
        for buckets in [&mut self.spent, &mut self.planned] {
            buckets.fill(limits, names, what, until);
        }
    }

    /// The Order `uid` is deleted.
    pub fn gone(&mut self, uid: &str) {
        self.waiting.remove(uid);
        self.under_way.end(uid);
    }

    /// Let go what is over.
    pub fn expire(&mut self, now: Timestamp) {
        self.expire_turns(now);
        self.under_way.expire(now);
    }

    fn expire_turns(&mut self, now: Timestamp) {
        self.waiting
            .retain(|_, turn| turn.at.checked_add(GRACE).is_ok_and(|end| end > now));
    }

    /// Whether it says no more than what is stored of it.
    pub fn is_at_rest(&self) -> bool {
        let Self {
            spent: _,
            // Where nobody has a turn it counts for nothing.
            planned: _,
            waiting,
            under_way,
        } = self;
        waiting.is_empty() && under_way.is_empty()
    }

    /// Whether one of which nothing is known would say the same.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.is_at_rest() && self.spent.full_again(now).is_none()
    }

    /// When the next order is allowed that is not, if any waits.
    pub fn next_turn(&self, now: Timestamp) -> Option<Timestamp> {
        let turns = self.waiting.values().map(|turn| turn.at);
        turns.filter(|at| *at > now).min()
    }
}

#[cfg(test)]
mod tests;
