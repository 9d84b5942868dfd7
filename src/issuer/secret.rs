//! What stands in the entry of a Secret that an issuer names? Read live, kept by nobody.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use zeroize::{Zeroize, Zeroizing};

use crate::cluster::{ObjectKey, RequestError, write};

/// One entry of a Secret.
pub(super) enum Entry {
    /// There is no such Secret.
    NoSecret,
    /// The Secret has no such entry, or an empty one.
    Absent,
    /// It is there.
    Found {
        /// Of the Secret.
        version: SecretVersion,
        /// Overwritten when dropped.
        bytes: Zeroizing<Vec<u8>>,
    },
}

/// Which state of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretVersion {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
}

/// Some entries of a Secret, each overwritten when dropped.
pub(super) struct Entries {
    /// Of the Secret.
    pub(super) version: SecretVersion,
    data: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

impl Entries {
    /// An entry that is there and not empty.
    pub(super) fn get(&self, entry: &str) -> Option<&[u8]> {
        let bytes = self.data.get(entry)?;
        Some(bytes.as_slice()).filter(|bytes| !bytes.is_empty())
    }
}

/// Read all entries of the Secret `key`; `None` when it does not exist.
pub(super) async fn read_all(
    client: &Client,
    key: &ObjectKey,
) -> Result<Option<Entries>, RequestError> {
    let Some(secret) = write::get(&write::api_of::<Secret>(client, key), key).await? else {
        return Ok(None);
    };
    let version = version_of(&secret);
    let data = secret.data.unwrap_or_default().into_iter();
    let data = data.map(|(entry, bytes)| (entry, Zeroizing::new(bytes.0)));
    Ok(Some(Entries {
        version,
        data: data.collect(),
    }))
}

/// Read `entry` of the Secret `key`.
pub(super) async fn read(
    client: &Client,
    key: &ObjectKey,
    entry: &str,
) -> Result<Entry, RequestError> {
    match write::get(&write::api_of::<Secret>(client, key), key).await? {
        Some(secret) => Ok(take(secret, entry)),
        None => Ok(Entry::NoSecret),
    }
}

/// Take `entry` out of a Secret; the others are overwritten.
pub(super) fn take(secret: Secret, entry: &str) -> Entry {
    let version = version_of(&secret);
    let mut data = secret.data.unwrap_or_default();
    let bytes = data.remove(entry).map(|bytes| Zeroizing::new(bytes.0));
    for other in data.values_mut() {
        other.0.zeroize();
    }
    match bytes {
        Some(bytes) if !bytes.is_empty() => Entry::Found { version, bytes },
        _ => Entry::Absent,
    }
}

fn version_of(secret: &Secret) -> SecretVersion {
    let meta = &secret.metadata;
    SecretVersion {
        uid: meta.uid.clone().unwrap_or_default(),
        resource_version: meta.resource_version.clone().unwrap_or_default(),
    }
}
