//! What stands in the entry of a Secret that an issuer names? Read live, kept by nobody.

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
    let version = SecretVersion {
        uid: secret.metadata.uid.unwrap_or_default(),
        resource_version: secret.metadata.resource_version.unwrap_or_default(),
    };
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
