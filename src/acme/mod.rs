//! The RFC 8555 client. Knows nothing of Kubernetes.
//!
//! [`Client`] is one CA (directory, nonces, connections), [`Session`] one account there. Each
//! method is one operation of the RFC and at most a handful of requests: it neither sleeps nor
//! polls. What a server says beyond what we know is kept or ignored, never an error.

pub mod account;
mod action;
mod answer;
pub mod authorization;
pub mod certificate;
pub mod directory;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod jws;
pub mod key;
mod nonce;
pub mod order;
pub mod problem;
pub mod renewal;
pub mod revocation;
pub mod transport;

use serde::Deserialize;
use thiserror::Error;

use crate::{
    net::http::{self, RetryAfter},
    pki,
};

pub use action::{Action, Exchange, Observer, Silent};
pub use key::AccountKey;
pub use problem::{Problem, ProblemType};
pub use transport::{Client, Session};

/// Why an operation failed.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory URL is not an http or https URL.
    #[error("{0:?} is not a URL of an ACME directory")]
    DirectoryUrl(String),
    /// The CA answered with an HTTP error and without a problem document.
    #[error("{action}: {url} answered HTTP {status}{}", quoted(excerpt))]
    Http {
        /// What was asked for.
        action: Action,
        /// Who was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The start of the answer, if it is text.
        excerpt: String,
        /// When the CA wants to be asked again.
        retry_after: Option<RetryAfter>,
    },
    /// The account key cannot be used.
    #[error("ACME account key: {0}")]
    Key(#[from] pki::Error),
    /// The account key is of a kind that ACME has no signature for.
    #[error("ACME account keys are RSA, or ECDSA on P-256 or P-384; this one is {0}")]
    KeyKind(pki::key::KeyParameters),
    /// The key for external account binding is not base64.
    #[error("the external account binding key is not base64url text")]
    EabKey,
    /// The answer is not what the RFC promises.
    #[error("{action}: the answer of {url} makes no sense: {reason}")]
    Malformed {
        /// What was asked for.
        action: Action,
        /// Who was asked.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There was no answer.
    #[error("{action}: {source}")]
    Network {
        /// What was asked for.
        action: Action,
        /// What went wrong.
        source: http::Error,
    },
    /// The CA refused, and said why.
    #[error("{action}: {problem}")]
    Problem {
        /// What was asked for.
        action: Action,
        /// Its reason.
        problem: Box<Problem>,
        /// When the CA wants to be asked again.
        retry_after: Option<RetryAfter>,
    },
    /// Signing failed inside the cryptographic library.
    #[error("{action}: signing the request failed")]
    Sign {
        /// What was asked for.
        action: Action,
    },
    /// The CA does not offer the operation.
    #[error("{action}: the CA does not offer this")]
    Unsupported {
        /// What was asked for.
        action: Action,
    },
}

/// What to do about an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// Try again, with growing pauses.
    Transient,
    /// Try again when the CA says; with growing pauses if it does not say.
    RateLimited(Option<RetryAfter>),
    /// Somebody must change a setting (Issuer, Certificate, DNS, account); then try again.
    Misconfigured,
    /// Trying the same again is of no use.
    Permanent,
}

impl Error {
    /// What to do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::DirectoryUrl(_) | Self::EabKey | Self::Key(_) | Self::KeyKind(_) => {
                Class::Misconfigured
            }
            Self::Http {
                status,
                retry_after,
                ..
            } => problem::class_of_status(*status, *retry_after),
            Self::Malformed { .. } => Class::Transient,
            Self::Network { source, .. } => match source.is_transient() {
                true => Class::Transient,
                false => Class::Misconfigured,
            },
            Self::Problem {
                problem,
                retry_after,
                ..
            } => problem.class(*retry_after),
            Self::Sign { .. } | Self::Unsupported { .. } => Class::Permanent,
        }
    }

    /// The CA's problem document, if that is what the error is.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem { problem, .. } => Some(problem),
            _ => None,
        }
    }

    /// The HTTP status of the CA's refusal, if that is what the error is.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Http { status, .. } => Some(*status),
            Self::Problem { problem, .. } => problem.status,
            _ => None,
        }
    }
}

/// A value of a set that the server may extend: what is not known is kept as it came.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(untagged)]
pub enum Open<T, U = String> {
    /// One of those we know.
    Known(T),
    /// Something else.
    Unknown(U),
}

impl<T, U> Open<T, U> {
    /// The value, if it is one of those we know.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }
}

impl<T: PartialEq, U> PartialEq<T> for Open<T, U> {
    fn eq(&self, other: &T) -> bool {
        self.known() == Some(other)
    }
}

fn quoted(excerpt: &str) -> String {
    match excerpt.is_empty() {
        true => String::new(),
        false => format!(": {excerpt:?}"),
    }
}

/// Reads an RFC 3339 time; one that makes no sense counts as absent, as no time decides whether an
/// answer can be used.
fn lenient_time<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<jiff::Timestamp>, D::Error> {
    let value = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(value
        .as_ref()
        .and_then(serde_json::Value::as_str)
        .and_then(|text| text.parse().ok()))
}
