//! What keeps a Certificate from going on, and what to do about it.

use crate::{
    api::reason::certificate as reason,
    certificate::{keyring::Ended, temporary::TemporaryError},
    cluster::{Class, ObjectKey, ReconcileError, RequestError},
    pki,
};

/// Why a step of a Certificate failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request to the API server failed.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A private key cannot be made.
    #[error("generate private key for Secret {secret}: {source}")]
    Generate {
        /// The Secret.
        secret: ObjectKey,
        /// Why.
        source: pki::Error,
    },
    /// The private key in a Secret cannot be used.
    #[error("private key in Secret {secret}: {source}")]
    Key {
        /// The Secret.
        secret: ObjectKey,
        /// Why.
        source: pki::Error,
    },
    /// A Secret went away between two looks at it.
    #[error("Secret {0} is gone")]
    Gone(ObjectKey),
    /// The content of a Secret cannot be put together.
    #[error("build Secret {secret}: {source}")]
    Build {
        /// The Secret.
        secret: ObjectKey,
        /// Why.
        source: pki::Error,
    },
    /// No key stores can be made.
    #[error("key stores of Secret {secret}: {message}")]
    KeyStores {
        /// The Secret.
        secret: ObjectKey,
        /// In one word.
        reason: &'static str,
        /// Why.
        message: String,
    },
    /// No temporary certificate can be made.
    #[error("temporary certificate for Secret {secret}: {source}")]
    Temporary {
        /// The Secret.
        secret: ObjectKey,
        /// Why.
        source: TemporaryError,
    },
    /// The work did not come to its end.
    #[error(transparent)]
    Ended(#[from] Ended),
}

impl Error {
    /// Whether nothing can be made any more because the namespace is being deleted.
    pub(super) fn is_end_of_namespace(&self) -> bool {
        let Self::Request(error) = self else {
            return false;
        };
        let kube::Error::Api(status) = &*error.source else {
            return false;
        };
        let causes = status.details.iter().flat_map(|details| &details.causes);
        causes
            .into_iter()
            .any(|cause| cause.reason == "NamespaceTerminating")
    }
}

impl ReconcileError for Error {
    fn class(&self) -> Class {
        match self {
            Self::Request(error) => error.class(),
            // What stands is looked at anew, and decided on anew.
            Self::Gone(_) => Class::Conflict,
            Self::Generate { .. } | Self::Key { .. } | Self::Ended(_) => Class::Transient,
            Self::Build { .. } | Self::KeyStores { .. } | Self::Temporary { .. } => {
                Class::Misconfigured
            }
        }
    }

    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Request(error) => match error.class() {
                // Refused by RBAC, a quota or an admission policy: somebody must know.
                Class::Misconfigured | Class::Permanent | Class::Refused => {
                    Some(reason::REQUEST_FAILED)
                }
                Class::Conflict | Class::Transient | Class::RateLimited(_) => None,
            },
            Self::KeyStores { reason, .. } => Some(reason),
            Self::Generate { .. }
            | Self::Key { .. }
            | Self::Build { .. }
            | Self::Temporary { .. } => Some(reason::REQUEST_FAILED),
            Self::Gone(_) | Self::Ended(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use kube::core::{
        Status,
        response::{StatusCause, StatusDetails},
    };

    use super::*;

    fn refused(reason: &str) -> Error {
        let mut status = Status::failure("forbidden", "Forbidden").with_code(403);
        status.details = Some(StatusDetails {
            causes: vec![StatusCause {
                reason: reason.to_owned(),
                message: String::new(),
                field: String::new(),
            }],
            name: "a".to_owned(),
            group: String::new(),
            kind: "secrets".to_owned(),
            uid: String::new(),
            retry_after_seconds: 0,
        });
        let source = kube::Error::Api(Box::new(status));
        RequestError::new::<Secret>("create", &ObjectKey::new("web", "a"), source).into()
    }

    #[test]
    fn the_end_of_a_namespace_is_told_from_a_refusal() {
        assert!(refused("NamespaceTerminating").is_end_of_namespace());
        let forbidden = refused("Other");
        assert!(!forbidden.is_end_of_namespace());
        assert_eq!(forbidden.class(), Class::Refused);
        assert_eq!(forbidden.reason(), Some(reason::REQUEST_FAILED));
        assert!(!Error::Gone(ObjectKey::new("web", "a")).is_end_of_namespace());
    }
}
