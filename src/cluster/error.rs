//! What went wrong with a request to the API server, and what to do about it.

use kube::{Resource, core::Status};

use crate::cluster::{driver::Class, key::ObjectKey};

/// A request to the API server that failed: says the operation and the object.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {kind} {object}: {}", reason(source))]
pub struct RequestError {
    /// What was tried: `get`, `create`, `patch status of`, ….
    pub operation: &'static str,
    /// The kind of the object, as in manifests.
    pub kind: String,
    /// The object.
    pub object: ObjectKey,
    /// What the client or the server said.
    #[source]
    pub source: Box<kube::Error>,
}

impl RequestError {
    /// The request `operation` on `object` of kind `K` failed with `source`.
    pub fn new<K: Resource<DynamicType = ()>>(
        operation: &'static str,
        object: &ObjectKey,
        source: kube::Error,
    ) -> Self {
        Self {
            operation,
            kind: K::kind(&()).into_owned(),
            object: object.clone(),
            source: Box::new(source),
        }
    }

    /// `object` of kind `K` is not what it was when it was looked at: look again.
    pub fn stale<K: Resource<DynamicType = ()>>(object: &ObjectKey) -> Self {
        let status = Status {
            code: 409,
            message: "it has changed".to_owned(),
            ..Status::default()
        };
        Self::new::<K>("use", object, kube::Error::Api(Box::new(status)))
    }

    /// The HTTP status the API server answered with, if it did.
    pub fn status(&self) -> Option<u16> {
        match &*self.source {
            kube::Error::Api(status) => Some(status.code),
            _ => None,
        }
    }

    /// Whether the object changed or went away between reading and writing it.
    pub fn is_conflict(&self) -> bool {
        matches!(self.status(), Some(404 | 409))
    }

    /// How to go on.
    pub fn class(&self) -> Class {
        match self.status() {
            Some(404 | 409) => Class::Conflict,
            // 403 heals when RBAC, a quota or an admission policy changes, which nobody tells us.
            Some(400..=499) => Class::Misconfigured,
            _ => Class::Transient,
        }
    }
}

/// The message alone: `kube::Error` repeats the whole status in its own text.
fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
}
