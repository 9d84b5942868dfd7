//! What keeps an Order from going on, and what to do about it.

use crate::{
    api::reason::acme as reason,
    cluster::{Class, ReconcileError, RequestError},
    issuer::{error::Error as AccountError, refusal::CaError},
    pki,
};

/// Why a step of an Order failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The CA did not do what was asked.
    #[error("{0}")]
    Ca(#[from] CaError),
    /// The account of the issuer cannot be used.
    #[error("{0}")]
    Account(#[from] AccountError),
    /// The signing request cannot be read.
    #[error("spec.request of Order cannot be read: {0}")]
    SigningRequest(#[from] pki::Error),
    /// A request to the API server failed.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl ReconcileError for Error {
    fn class(&self) -> Class {
        match self {
            Self::Ca(error) => error.class(),
            Self::Account(error) => error.class(),
            Self::SigningRequest(_) => Class::Permanent,
            Self::Request(error) => error.class(),
        }
    }

    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Ca(_) | Self::Account(_) | Self::SigningRequest(_) => Some(reason::ORDER_ERROR),
            Self::Request(_) => None,
        }
    }
}
