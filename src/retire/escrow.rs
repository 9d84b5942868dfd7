//! Where is an account key kept while the namespace that it lives in is being deleted?

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::{
    ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use tokio::time::Instant;
use tracing::{info, warn};
use zeroize::Zeroize;

use crate::{
    api::{
        issuance::{Issuance, KeyPlace},
        names::{label, secret_key},
    },
    cluster::{
        ObjectKey, RequestError,
        name::hash_of,
        write::{self, Created, api_of},
    },
    retire::{
        facts::{Account, Escrow, IssuanceFacts, IssuanceIndex},
        reconcile::IssuanceReconciler,
    },
};

/// How long a key that was not there is not looked for again.
const LOST: Duration = Duration::from_secs(600);

/// Accounts whose keys went before they were copied: no record of theirs waits for that.
#[derive(Debug, Default)]
pub(super) struct LostKeys(Mutex<HashMap<Account, Instant>>);

impl LostKeys {
    fn note(&self, account: &Account) {
        let now = Instant::now();
        let mut lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lost.retain(|_, at| now.duration_since(*at) < LOST);
        lost.insert(account.clone(), now);
    }

    fn has(&self, account: &Account) -> bool {
        let lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lost.get(account).is_some_and(|at| at.elapsed() < LOST)
    }
}

/// Where the copy of the key of `account` is among the `issuances`. A URL alone may be any server's word,
/// and that of a namespace which another has a place for would find it taken.
fn place(issuances: &str, account: &Account) -> KeyPlace {
    let Account { url, server, key } = account;
    let cause = format!("{server}\n{url}\n{key}");
    KeyPlace {
        key: secret_key::PRIVATE_KEY.to_owned(),
        name: format!("certwright-account-{}", hash_of(cause.as_bytes(), 10)),
        namespace: issuances.to_owned(),
    }
}

impl IssuanceReconciler {
    /// Where the copy of the key of `account` is.
    pub(super) fn escrow_place(&self, account: &Account) -> KeyPlace {
        place(&self.issuances, account)
    }

    /// Whether there is a copy, and for whom.
    pub(super) fn escrow(&self, issuance: &IssuanceFacts) -> Escrow {
        let Some(account) = issuance.account_in_its_namespace() else {
            return Escrow::None;
        };
        let copy = key_of(&self.escrow_place(account));
        if self.caches.secret_version(&copy).is_none() {
            return match self.lost_keys.has(account) {
                true => Escrow::Lost,
                false => Escrow::None,
            };
        }
        let index = IssuanceIndex::Account(account.clone());
        let others = self.caches.issuances.find(&index);
        let is_needed = others
            .iter()
            .any(|other| other.meta.key != issuance.meta.key && !other.state().is_final());
        if is_needed {
            Escrow::Needed
        } else {
            Escrow::Unneeded
        }
    }

    /// Copy the account key of `issuance`. Whether there is one now.
    pub(super) async fn keep_account_key(
        &self,
        issuance: &IssuanceFacts,
        account: &Account,
    ) -> Result<bool, RequestError> {
        let record = &issuance.meta.key;
        let Some(full) = write::get(&api_of::<Issuance>(&self.client, record), record).await?
        else {
            return Ok(false);
        };
        let Some(origin) = full.spec.acme else {
            return Ok(false);
        };
        let secrets = api_of::<Secret>(&self.client, &account.key);
        let found = write::get(&secrets, &account.key).await?;
        let mut data = found.and_then(|found| found.data).unwrap_or_default();
        let key = data.remove(&origin.account_key.key);
        crate::certificate::secret::wipe(&mut data);
        let Some(key) = key else {
            warn!(secret = %account.key, "the account key went with its namespace");
            self.lost_keys.note(account);
            return Ok(false);
        };
        let place = self.escrow_place(account);
        let labels = BTreeMap::from([(label::MANAGED_BY.to_owned(), "certwright".to_owned())]);
        let mut copy = Secret {
            metadata: ObjectMeta {
                namespace: Some(place.namespace.clone()),
                name: Some(place.name.clone()),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(place.key.clone(), key)])),
            type_: Some("Opaque".to_owned()),
            ..Secret::default()
        };
        let target = key_of(&place);
        let made = write::create(&api_of::<Secret>(&self.client, &target), &copy).await;
        for value in copy.data.iter_mut().flat_map(BTreeMap::values_mut) {
            value.0.zeroize();
        }
        if let Created::New(mut made) = made? {
            for ByteString(value) in made.data.iter_mut().flat_map(BTreeMap::values_mut) {
                value.zeroize();
            }
            info!(secret = %target, "copied an account key whose namespace is being deleted");
        }
        Ok(true)
    }

    /// Delete the copy of the account key.
    pub(super) async fn drop_account_key(&self, account: &Account) -> Result<(), RequestError> {
        let place = key_of(&self.escrow_place(account));
        if let Some((uid, _)) = self.caches.secret_version(&place) {
            write::delete(&api_of::<Secret>(&self.client, &place), &place, &uid).await?;
            self.caches.other_secrets.forget(&place, &uid);
            info!(secret = %place, "deleted the copy of an account key");
        }
        Ok(())
    }
}

pub(super) fn key_of(place: &KeyPlace) -> ObjectKey {
    ObjectKey::new(place.namespace.as_str(), place.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(server: &str, url: &str, namespace: &str, name: &str) -> Account {
        Account {
            url: url.to_owned(),
            server: server.to_owned(),
            key: ObjectKey::new(namespace, name),
        }
    }

    #[test]
    fn every_key_has_a_place_of_its_own() {
        let (server, url) = ("https://ca.example/dir", "https://ca.example/acct/1");
        let places = [
            account(server, url, "web", "account"),
            // One that claims it has the same account, or is of a record without one.
            account("https://evil.example/dir", url, "web", "account"),
            account(server, url, "evil", "account"),
            account(server, url, "web", "another"),
            account(server, "", "web", "account"),
            account(server, "", "evil", "account"),
        ]
        .map(|account| place("certwright", &account));
        for (at, one) in places.iter().enumerate() {
            assert!(!places[..at].contains(one), "{at}");
        }
        let same = account(server, url, "web", "account");
        assert_eq!(places[0], place("certwright", &same));
        assert_eq!(places[0].namespace, "certwright");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_went_is_not_looked_for_at_once() {
        let lost = LostKeys::default();
        let (one, other) = (account("s", "u", "a", "k"), account("s", "u", "b", "k"));
        assert!(!lost.has(&one));
        lost.note(&one);
        assert!(lost.has(&one) && !lost.has(&other));
        tokio::time::advance(LOST).await;
        // Its namespace may have been made anew.
        assert!(!lost.has(&one));
        lost.note(&other);
        assert_eq!(lost.0.lock().unwrap().len(), 1);
    }
}
