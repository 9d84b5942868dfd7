//! How is a list stored in its ConfigMap, and what must not be overwritten?

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::core::v1::ConfigMap,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use serde_json::json;

use crate::{
    api::names::{self, TRUE, label},
    cluster::{
        Meta, ObjectKey, RequestError,
        write::{self, Created, api_of},
    },
    crl::{
        facts::{DER_ENTRY, LABEL, PEM_ENTRY, annotations},
        reconcile::ListReconciler,
    },
    issuer::IssuerView,
    pki::crl::{RevocationList, to_pem},
};

/// The most bytes of data that the API server takes in a ConfigMap.
pub const MOST_BYTES: usize = 1 << 20;
/// Value of the label that says who made it.
const CERTWRIGHT: &str = "certwright";

/// A list that is signed.
pub(super) struct Signed {
    /// What it says.
    pub(super) list: RevocationList,
    /// It as DER.
    pub(super) der: Vec<u8>,
}

/// What became of storing a list.
pub(super) enum Stored {
    /// It stands.
    Yes,
    /// The ConfigMap is somebody else's.
    Foreign,
    /// It is too large: so many bytes.
    TooLarge(usize),
}

impl ListReconciler {
    /// Store the list of `issuer` in its ConfigMap `place`.
    pub(super) async fn store(
        &self,
        issuer: &IssuerView,
        place: &ObjectKey,
        signed: Signed,
    ) -> Result<Stored, RequestError> {
        let size = size(&signed.der);
        if size > self.most_bytes {
            return Ok(Stored::TooLarge(size));
        }
        let wanted = config_map(issuer, place, &signed);
        let api = api_of::<ConfigMap>(&self.client, place);
        let known = self.lists.get(place).map(|known| known.meta.clone());
        let standing = match known {
            Some(known) => known,
            None => match write::create(&api, &wanted).await? {
                Created::New(created) => {
                    self.lists.observe(created);
                    return Ok(Stored::Yes);
                }
                // Without the label that it is watched by, or not yet brought by the watch.
                Created::Exists => match write::get(&api, place).await? {
                    Some(found) => Meta::of(&found.metadata),
                    None => return Err(RequestError::stale::<ConfigMap>(place)),
                },
            },
        };
        if standing.controller.as_ref() != Some(&issuer.uid) {
            return Ok(Stored::Foreign);
        }
        let metadata = &wanted.metadata;
        let patch = json!({
            "metadata": {
                "resourceVersion": standing.resource_version,
                "labels": metadata.labels,
                "annotations": metadata.annotations,
            },
            "data": wanted.data,
            "binaryData": wanted.binary_data,
        });
        let written = write::merge(&api, place, &patch).await?;
        self.lists.observe(written);
        Ok(Stored::Yes)
    }

    /// Delete the list of `issuer`, if there is one.
    pub(super) async fn withdraw(
        &self,
        issuer: &IssuerView,
        place: &ObjectKey,
    ) -> Result<(), RequestError> {
        let known = self.lists.get(place);
        let ours = known.filter(|known| known.meta.controller.as_ref() == Some(&issuer.uid));
        if let Some(known) = ours {
            let api = api_of::<ConfigMap>(&self.client, place);
            write::delete(&api, place, &known.meta.uid).await?;
            self.lists.forget(place, &known.meta.uid);
        }
        Ok(())
    }
}

/// What the API server counts.
fn size(der: &[u8]) -> usize {
    der.len() + to_pem(der).len()
}

fn config_map(issuer: &IssuerView, place: &ObjectKey, signed: &Signed) -> ConfigMap {
    let labels = [(LABEL, TRUE), (label::MANAGED_BY, CERTWRIGHT)];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    ConfigMap {
        metadata: ObjectMeta {
            namespace: Some(place.namespace.to_string()),
            name: Some(place.name.to_string()),
            labels: Some(labels.into()),
            annotations: Some(annotations(&signed.list)),
            owner_references: Some(vec![OwnerReference {
                api_version: format!("{}/v1", names::GROUP),
                block_owner_deletion: None,
                controller: Some(true),
                kind: issuer.kind.as_str().to_owned(),
                name: issuer.key.name.to_string(),
                uid: issuer.uid.clone(),
            }]),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(
            PEM_ENTRY.to_owned(),
            to_pem(&signed.der),
        )])),
        binary_data: Some(BTreeMap::from([(
            DER_ENTRY.to_owned(),
            ByteString(signed.der.clone()),
        )])),
        ..ConfigMap::default()
    }
}
