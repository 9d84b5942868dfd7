//! What keeps a list from being published?

use crate::cluster::{Class, ObjectKey, ReconcileError, RequestError};

/// Why a list is not published now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request to the API server failed.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Whether there is a CA could not be found out.
    #[error(transparent)]
    Issuer(Box<crate::issuer::Error>),
    /// The thread that signs did not come back.
    #[error("the thread that signs the revocation list of {issuer} ended: {source}")]
    Ended {
        /// The issuer.
        issuer: ObjectKey,
        /// How.
        source: tokio::task::JoinError,
    },
}

impl ReconcileError for Error {
    fn class(&self) -> Class {
        match self {
            Self::Request(error) => error.class(),
            Self::Issuer(error) => error.class(),
            Self::Ended { .. } => Class::Transient,
        }
    }

    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Request(error) => match error.class() {
                Class::Misconfigured | Class::Permanent | Class::Refused => Some("RequestFailed"),
                Class::Conflict | Class::Transient | Class::RateLimited(_) => None,
            },
            Self::Issuer(_) | Self::Ended { .. } => None,
        }
    }
}
