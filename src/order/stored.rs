//! How is what was ordered from an account written down? In a ConfigMap each, as long as it says anything.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{ListParams, ObjectMeta},
};
use tracing::{debug, warn};

use crate::{
    cluster::{
        ObjectKey, RequestError,
        name::hash_of,
        write::{self, api_of},
    },
    issuer::AccountId,
    order::limits::Buckets,
};

/// Entry with what was ordered.
const BUCKETS: &str = "buckets.json";
/// Entries that say whose they are.
const ACCOUNT: &str = "account";
const SERVER: &str = "server";
/// Field manager, and label with value `true`.
const MANAGER: &str = "certwright-rate-limits";
const LABEL: &str = "certwright.io/rate-limits";
/// How many are read at a time.
const PAGE: u32 = 100;
/// More are not kept: issuers name their accounts themselves, and how long what they order counts.
const MOST: usize = 2_000;

/// The ConfigMaps of all accounts.
pub(super) struct Stored {
    client: Client,
    namespace: Arc<str>,
}

/// What a ConfigMap says.
struct Found {
    key: ObjectKey,
    uid: String,
    account: AccountId,
    buckets: Buckets,
}

impl Stored {
    /// Those in `namespace`.
    pub(super) fn new(client: Client, namespace: Arc<str>) -> Self {
        Self { client, namespace }
    }

    /// What is written down of `account`.
    pub(super) async fn read(&self, account: &AccountId) -> Result<Buckets, RequestError> {
        let key = self.place(account);
        let found = write::get(&api_of::<ConfigMap>(&self.client, &key), &key).await?;
        let text = found.and_then(|found| found.data?.remove(BUCKETS));
        Ok(text.map_or_else(Buckets::default, |text| parse(&key, &text)))
    }

    /// Write `text` down of `account`.
    pub(super) async fn write(
        &self,
        account: &AccountId,
        text: String,
    ) -> Result<(), RequestError> {
        let key = self.place(account);
        let AccountId { server, url } = account;
        let data = [
            (ACCOUNT, url.clone()),
            (SERVER, server.clone()),
            (BUCKETS, text),
        ];
        let object = ConfigMap {
            metadata: ObjectMeta {
                namespace: Some(key.namespace.to_string()),
                name: Some(key.name.to_string()),
                labels: Some([(LABEL.to_owned(), "true".to_owned())].into()),
                ..ObjectMeta::default()
            },
            data: Some(data.map(|(key, value)| (key.to_owned(), value)).into()),
            ..ConfigMap::default()
        };
        let api = api_of::<ConfigMap>(&self.client, &key);
        write::apply(&api, MANAGER, &object).await?;
        Ok(())
    }

    /// Delete what says nothing any more, and is not `needed`; of what is too much, what would stay
    /// longest.
    pub(super) async fn sweep(
        &self,
        now: Timestamp,
        needed: impl Fn(&AccountId) -> bool,
    ) -> Result<(), RequestError> {
        // By when each is full again.
        let mut kept: BTreeMap<(Timestamp, ObjectKey), String> = BTreeMap::new();
        let mut page = None;
        loop {
            let (found, next) = self.page(page).await?;
            for Found {
                key,
                uid,
                account,
                buckets,
            } in found
            {
                match buckets.full_again(now) {
                    Some(at) => drop(kept.insert((at, key), uid)),
                    None if needed(&account) => {}
                    None => self.delete(&key, &uid).await?,
                }
                if kept.len() > MOST
                    && let Some(((_, key), uid)) = kept.pop_last()
                {
                    warn!(config_map = %key, "too many accounts: what was ordered is forgotten");
                    self.delete(&key, &uid).await?;
                }
            }
            if next.is_none() {
                return Ok(());
            }
            page = next;
        }
    }

    async fn page(
        &self,
        page: Option<String>,
    ) -> Result<(Vec<Found>, Option<String>), RequestError> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let params = ListParams {
            continue_token: page,
            ..ListParams::default().labels(LABEL).limit(PAGE)
        };
        let list = api.list(&params).await.map_err(|error| {
            let all = ObjectKey::new(Arc::clone(&self.namespace), "");
            RequestError::new::<ConfigMap>("list", &all, error)
        })?;
        let next = list.metadata.continue_.filter(|token| !token.is_empty());
        Ok((list.items.into_iter().filter_map(found).collect(), next))
    }

    async fn delete(&self, key: &ObjectKey, uid: &str) -> Result<(), RequestError> {
        write::delete(&api_of::<ConfigMap>(&self.client, key), key, uid).await?;
        debug!(config_map = %key, "forgot what was ordered");
        Ok(())
    }

    fn place(&self, account: &AccountId) -> ObjectKey {
        let AccountId { server, url } = account;
        // A URL alone is the word of a server that may be anybody's.
        let hash = hash_of(format!("{server}\n{url}").as_bytes(), 8);
        let namespace = Arc::clone(&self.namespace);
        ObjectKey::new(namespace, format!("certwright-rate-limits-{hash}"))
    }
}

/// What `object` says; what cannot be read says nothing.
fn found(object: ConfigMap) -> Option<Found> {
    let key = ObjectKey::of(&object.metadata);
    let mut data = object.data.unwrap_or_default();
    let mut entry = |name: &str| data.remove(name).unwrap_or_default();
    Some(Found {
        uid: object.metadata.uid?,
        account: AccountId {
            server: entry(SERVER),
            url: entry(ACCOUNT),
        },
        buckets: parse(&key, &entry(BUCKETS)),
        key,
    })
}

fn parse(key: &ObjectKey, text: &str) -> Buckets {
    match serde_json::from_str(text) {
        Ok(buckets) => {
            debug!(config_map = %key, "read what was ordered");
            buckets
        }
        Err(error) => {
            warn!(%error, config_map = %key, "what was ordered cannot be read: counting anew");
            Buckets::default()
        }
    }
}
