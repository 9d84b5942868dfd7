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

impl ReconcileError for Error {
    fn class(&self) -> Class {
        match self {
            Self::Request(error) => error.class(),
            // What stands is looked at anew, and decided on anew.
            Self::Gone(_) => Class::Conflict,
            Self::Generate { .. } | Self::Key { .. } | Self::Ended(_) => Class::Transient,
            Self::Build { .. } | Self::Temporary { .. } => Class::Misconfigured,
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
            Self::Generate { .. }
            | Self::Key { .. }
            | Self::Build { .. }
            | Self::Temporary { .. } => Some(reason::REQUEST_FAILED),
            Self::Gone(_) | Self::Ended(_) => None,
        }
    }
}
