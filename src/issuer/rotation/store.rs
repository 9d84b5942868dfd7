//! Where is it written down which CAs an issuer signed with? One ConfigMap an issuer, where tenants
//! cannot write.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;
use tracing::warn;

use super::{IssuerName, Rotations, record::Record};
use crate::cluster::{
    ObjectKey, RequestError,
    name::hash_of,
    write::{self, api_of},
};

/// Entry of the ConfigMap.
const ENTRY: &str = "record.json";
/// Entry that says whose it is.
const ISSUER: &str = "issuer";
/// Field manager of the ConfigMap.
const MANAGER: &str = "certwright-authorities";

impl Rotations {
    pub(super) async fn read(&self, issuer: &IssuerName) -> Result<Option<Record>, RequestError> {
        let key = self.place(issuer);
        let found = write::get(&api_of::<ConfigMap>(&self.client, &key), &key).await?;
        let Some(text) = found.and_then(|found| found.data?.remove(ENTRY)) else {
            return Ok(None);
        };
        match serde_json::from_str(&text) {
            Ok(record) => Ok(Some(record)),
            Err(error) => {
                warn!(%error, config_map = %key, "the record of a CA cannot be read: recording anew");
                Ok(None)
            }
        }
    }

    pub(super) async fn write(
        &self,
        issuer: &IssuerName,
        record: &Record,
    ) -> Result<(), RequestError> {
        let key = self.place(issuer);
        let failed =
            |source| RequestError::new::<ConfigMap>("write", &key, kube::Error::SerdeError(source));
        let text = serde_json::to_string(record).map_err(failed)?;
        let name = format!("{} {}", issuer.0, issuer.1);
        let object = ConfigMap {
            metadata: ObjectMeta {
                namespace: Some(key.namespace.to_string()),
                name: Some(key.name.to_string()),
                ..ObjectMeta::default()
            },
            data: Some([(ISSUER.to_owned(), name), (ENTRY.to_owned(), text)].into()),
            ..ConfigMap::default()
        };
        let api = api_of::<ConfigMap>(&self.client, &key);
        write::apply(&api, MANAGER, &object).await.map(|_| ())
    }

    pub(super) async fn delete(&self, issuer: &IssuerName) -> Result<(), RequestError> {
        let key = self.place(issuer);
        let api = api_of::<ConfigMap>(&self.client, &key);
        let found = write::get(&api, &key).await?;
        match found.and_then(|found| found.metadata.uid) {
            Some(uid) => write::delete(&api, &key, &uid).await,
            None => Ok(()),
        }
    }

    fn place(&self, (kind, issuer): &IssuerName) -> ObjectKey {
        let hash = hash_of(format!("{kind}/{issuer}").as_bytes(), 8);
        let namespace = Arc::clone(&self.namespace);
        ObjectKey::new(namespace, format!("certwright-ca-{hash}"))
    }
}
