//! What is kept of an object, and what of its metadata?

use std::hash::Hash;

use jiff::Timestamp;
use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde::{Deserialize, Serialize};

use crate::cluster::key::{ObjectKey, OwnerKey};

/// What decisions need of an object of one kind.
pub trait Facts: Send + Sync + Sized + 'static {
    /// The object as the API server sends it.
    type Object;
    /// The look-ups this kind is found by besides its name.
    type Index: Clone + Eq + Hash + Send + Sync;

    /// Keep what decisions need, let the rest go.
    fn reduce(object: Self::Object) -> Self;

    /// Name and versions.
    fn meta(&self) -> &Meta;

    /// Under which indexes this object is found.
    fn indexes(&self) -> Vec<Self::Index>;

    /// All of it as a text that [`Facts::unpack`] reads. For kinds of which there are many.
    fn pack(&self) -> Option<Vec<u8>> {
        None
    }

    /// What [`Facts::pack`] has made a text of.
    fn unpack(_text: &[u8]) -> Option<Self> {
        None
    }
}

/// The metadata every reduced object keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Namespace and name.
    pub key: ObjectKey,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// `metadata.generation`, 0 where the kind has none.
    pub generation: i64,
    /// `metadata.creationTimestamp`.
    pub created: Option<Timestamp>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// The uid of the controller owner, if any.
    pub controller: Option<String>,
}

impl Meta {
    /// What is kept of `meta`.
    pub fn of(meta: &ObjectMeta) -> Self {
        Self {
            key: ObjectKey::of(meta),
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            generation: meta.generation.unwrap_or_default(),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            deleting: meta.deletion_timestamp.is_some(),
            controller: meta
                .owner_references
                .iter()
                .flatten()
                .find(|owner| owner.controller == Some(true))
                .map(|owner| owner.uid.clone()),
        }
    }

    /// As the owner of others in its namespace.
    pub fn as_owner(&self) -> OwnerKey {
        OwnerKey::new(&self.key.namespace, self.uid.as_str())
    }

    /// Its controller, if any.
    pub fn owner(&self) -> Option<OwnerKey> {
        let uid = self.controller.as_deref()?;
        Some(OwnerKey::new(&self.key.namespace, uid))
    }

    /// How events refer to this object of the given kind.
    pub fn reference(&self, api_version: &str, kind: &str) -> ObjectReference {
        ObjectReference {
            api_version: Some(api_version.to_owned()),
            kind: Some(kind.to_owned()),
            namespace: Some(self.key.namespace.to_string()).filter(|name| !name.is_empty()),
            name: Some(self.key.name.to_string()),
            uid: Some(self.uid.clone()),
            resource_version: Some(self.resource_version.clone()),
            field_path: None,
        }
    }
}
