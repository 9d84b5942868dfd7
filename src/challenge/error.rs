//! What keeps a Challenge from going on, and what to do about it.

use crate::{
    api::reason::acme as reason,
    cluster::{Class, ObjectKey, ReconcileError, RequestError},
    issuer::{Missing, error::Error as AccountError, refusal::CaError},
    solver::{dns01, http01},
};

/// Why a step of a Challenge failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The account of the issuer cannot be used.
    #[error("{0}")]
    Account(#[from] AccountError),
    /// The CA did not do what was asked.
    #[error("{0}")]
    Ca(#[from] CaError),
    /// The issuer does not exist (any more).
    #[error("{0}")]
    Issuer(Missing),
    /// The proof could not be put in place.
    #[error("{0}")]
    Present(#[source] SolveError),
    /// The proof could not be taken away.
    #[error("clean-up: {0}")]
    CleanUp(#[source] SolveError),
    /// A request to the API server failed.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl ReconcileError for Error {
    fn class(&self) -> Class {
        match self {
            Self::Account(error) => error.class(),
            Self::Ca(error) => error.class(),
            Self::Issuer(_) => Class::Misconfigured,
            Self::Present(error) | Self::CleanUp(error) => error.class(),
            Self::Request(error) => error.class(),
        }
    }

    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Account(_) | Self::Ca(_) | Self::Issuer(_) => Some(reason::CHALLENGE_ERROR),
            Self::Present(_) => Some(reason::PRESENT_ERROR),
            Self::CleanUp(_) => Some(reason::CLEAN_UP_ERROR),
            Self::Request(_) => None,
        }
    }
}

/// Why a solver could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum SolveError {
    /// The DNS record could not be placed, written or removed.
    #[error(transparent)]
    Dns01(#[from] dns01::Error),
    /// The route could not be made or taken away.
    #[error(transparent)]
    Http01(#[from] http01::present::Error),
    /// A setting of the solver cannot be used.
    #[error("{0}")]
    Setting(String),
    /// A Secret that the solver names does not exist.
    #[error("{field}: Secret {secret} not found")]
    SecretMissing {
        /// The field that names it.
        field: &'static str,
        /// Its name.
        secret: ObjectKey,
    },
    /// A Secret that the solver names lacks an entry.
    #[error("{field}: Secret {secret} has no entry {entry:?}")]
    EntryMissing {
        /// The field that names it.
        field: &'static str,
        /// Its name.
        secret: ObjectKey,
        /// The entry.
        entry: String,
    },
    /// The solver is of a kind that is not there yet.
    #[error("solver {0} is not supported by this version of certwright")]
    Unsupported(String),
    /// A request to the API server failed.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl SolveError {
    /// Whether trying again cannot help, whatever anybody changes.
    pub fn is_final(&self) -> bool {
        self.class() == Class::Permanent
    }

    /// Whether the way to undo is gone: what the solver needs was deleted.
    pub fn is_bereft(&self) -> bool {
        matches!(self, Self::SecretMissing { .. } | Self::EntryMissing { .. })
    }

    fn class(&self) -> Class {
        match self {
            Self::Dns01(error) => match error.class() {
                dns01::Class::Transient => Class::Transient,
                dns01::Class::Misconfigured => Class::Misconfigured,
                dns01::Class::Permanent => Class::Permanent,
            },
            Self::Http01(error) => error.class(),
            Self::Setting(_) | Self::Unsupported(_) => Class::Permanent,
            Self::SecretMissing { .. } | Self::EntryMissing { .. } => Class::Misconfigured,
            Self::Request(error) => error.class(),
        }
    }
}
