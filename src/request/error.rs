//! Why did a step of a request, of either kind, fail?

use crate::{
    api::reason::request as reason,
    cluster::{Class, ReconcileError, RequestError},
    issuer::local::SigningError,
};

/// Why a step of a CertificateRequest or a CertificateSigningRequest failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request to the API server failed.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Nothing became of the request yet.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

impl ReconcileError for Error {
    fn class(&self) -> Class {
        match self {
            Self::Request(error) => error.class(),
            Self::Signing(error) => error.class(),
        }
    }

    fn reason(&self) -> Option<&'static str> {
        match self.class() {
            // A right or a quota is missing: somebody must know.
            Class::Misconfigured | Class::Refused => Some(reason::REQUEST_ERROR),
            Class::Conflict | Class::Transient | Class::RateLimited(_) | Class::Permanent => None,
        }
    }
}
