//! What keeps the work on an issued certificate from going on?

use crate::cluster::{Class, ReconcileError, RequestError};

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request to the API server failed.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl ReconcileError for Error {
    fn class(&self) -> Class {
        match self {
            Self::Request(error) => error.class(),
        }
    }

    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Request(error) => match error.class() {
                Class::Misconfigured | Class::Permanent | Class::Refused => Some("RequestFailed"),
                Class::Conflict | Class::Transient | Class::RateLimited(_) => None,
            },
        }
    }
}
