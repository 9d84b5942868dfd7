//! Where is an account key kept while the namespace that it lives in is being deleted?

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
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

impl IssuanceReconciler {
    /// Where the copy of the key of the account at `url` is.
    pub(super) fn escrow_place(&self, url: &str) -> KeyPlace {
        let hash = hash_of(url.as_bytes(), 10);
        KeyPlace {
            key: secret_key::PRIVATE_KEY.to_owned(),
            name: format!("certwright-account-{hash}"),
            namespace: self.issuances.to_string(),
        }
    }

    /// Whether there is a copy, and for whom.
    pub(super) fn escrow(&self, issuance: &IssuanceFacts) -> Escrow {
        let Some(account) = issuance.account_in_its_namespace() else {
            return Escrow::None;
        };
        if self
            .caches
            .secret_version(&key_of(&self.escrow_place(&account.url)))
            .is_none()
        {
            return Escrow::None;
        }
        let index = IssuanceIndex::Account(account.url.clone());
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
            return Ok(false);
        };
        let place = self.escrow_place(&account.url);
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
        let place = key_of(&self.escrow_place(&account.url));
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
