//! What does a CA complain about, and who must act (RFC 8555, 6.7)?

use std::fmt::{self, Write};

use instant_acme::Subproblem;
use serde::Deserialize;

use super::{Class, answer::clipped};
use crate::net::http::RetryAfter;

/// More characters of a problem are not shown: it ends up in conditions, which have to be stored.
const LONGEST: usize = 4000;
const PREFIX: &str = "urn:ietf:params:acme:error:";

/// A problem document (RFC 7807) of an ACME server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Problem {
    /// The kind of problem.
    pub kind: ProblemType,
    /// What the CA says about it, for people.
    pub detail: String,
    /// The HTTP status, of the document or else of the answer.
    pub status: Option<u16>,
    /// Where people can read on, or act (with [`ProblemType::UserActionRequired`]).
    pub instance: Option<String>,
    /// What applies to single names.
    pub subproblems: Vec<Subproblem>,
}

impl Problem {
    /// What to do about it, given the answer's `Retry-After`.
    pub fn class(&self, retry_after: Option<RetryAfter>) -> Class {
        match &self.kind {
            ProblemType::BadNonce | ProblemType::OrderNotReady | ProblemType::ServerInternal => {
                match retry_after {
                    Some(_) => Class::RateLimited(retry_after),
                    None => Class::Transient,
                }
            }
            ProblemType::RateLimited => Class::RateLimited(retry_after),
            ProblemType::AccountDoesNotExist
            | ProblemType::BadCsr
            | ProblemType::BadPublicKey
            | ProblemType::BadRevocationReason
            | ProblemType::BadSignatureAlgorithm
            | ProblemType::Caa
            | ProblemType::Compound
            | ProblemType::Connection
            | ProblemType::Dns
            | ProblemType::ExternalAccountRequired
            | ProblemType::IncorrectResponse
            | ProblemType::InvalidContact
            | ProblemType::InvalidProfile
            | ProblemType::RejectedIdentifier
            | ProblemType::Tls
            | ProblemType::Unauthorized
            | ProblemType::UnsupportedContact
            | ProblemType::UnsupportedIdentifier
            | ProblemType::UserActionRequired => Class::Misconfigured,
            ProblemType::AlreadyReplaced | ProblemType::AlreadyRevoked | ProblemType::Malformed => {
                Class::Permanent
            }
            ProblemType::Other(_) => class_of_status(self.status.unwrap_or(400), retry_after),
        }
    }

    /// Parses a problem document; `status` is that of the answer. Anything that is a JSON object
    /// with a type or a detail counts.
    pub(super) fn parse(body: &[u8], status: u16) -> Option<Self> {
        let document = serde_json::from_slice::<Document>(body).ok()?;
        if document.r#type.is_none() && document.detail.is_none() {
            return None;
        }
        let mut problem = Self::from(document);
        problem.status.get_or_insert(status);
        Some(problem)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = match self.detail.is_empty() {
            true => self.kind.as_str().to_owned(),
            false => format!("{} ({})", self.detail, self.kind.as_str()),
        };
        for problem in &self.subproblems {
            text.push_str("; ");
            if let Some(identifier) = &problem.identifier {
                write!(text, "{}: ", identifier.authorized(false))?;
            }
            text.push_str(problem.detail.as_deref().unwrap_or("no detail"));
        }
        if let Some(instance) = &self.instance {
            write!(text, "; see {instance}")?;
        }
        f.write_str(&clipped(&text, LONGEST))
    }
}

impl<'de> Deserialize<'de> for Problem {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Document::deserialize(deserializer)?.into())
    }
}

/// The document as it comes.
#[derive(Deserialize)]
struct Document {
    r#type: Option<String>,
    detail: Option<String>,
    status: Option<u16>,
    instance: Option<String>,
    #[serde(default)]
    subproblems: Vec<serde_json::Value>,
}

impl From<Document> for Problem {
    fn from(document: Document) -> Self {
        let Document {
            r#type,
            detail,
            status,
            instance,
            subproblems,
        } = document;
        Self {
            kind: ProblemType::from(r#type.unwrap_or_else(|| "about:blank".to_owned())),
            detail: detail.unwrap_or_default(),
            status,
            instance,
            subproblems: subproblems.into_iter().map(subproblem).collect(),
        }
    }
}

/// An identifier of a type that is not known loses its name, not its text.
fn subproblem(mut value: serde_json::Value) -> Subproblem {
    if let Ok(known) = Subproblem::deserialize(&value) {
        return known;
    }
    let mut text = |field: &str| {
        value
            .get_mut(field)
            .and_then(|value| Some(value.as_str()?.to_owned()))
    };
    Subproblem {
        identifier: None,
        r#type: text("type"),
        detail: text("detail"),
    }
}

/// What an HTTP status alone says.
pub(super) fn class_of_status(status: u16, retry_after: Option<RetryAfter>) -> Class {
    match status {
        429 => Class::RateLimited(retry_after),
        500.. if retry_after.is_some() => Class::RateLimited(retry_after),
        408 | 500.. => Class::Transient,
        // Nothing of an ACME server is there: a wrong URL, or a proxy that wants something.
        300..=399 | 401 | 403 | 404 | 405 | 407 | 410 => Class::Misconfigured,
        _ => Class::Permanent,
    }
}

/// Makes the enum and its names from one table.
macro_rules! problem_types {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The kind of a problem.
        #[derive(Clone, Debug, Eq, Hash, PartialEq)]
        pub enum ProblemType {
            $($(#[$doc])* $variant,)*
            /// One that is not known here, in full.
            Other(String),
        }

        impl ProblemType {
            /// The name without the prefix that all have in common; in full if it is not known.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(name) => name,
                }
            }
        }

        impl From<String> for ProblemType {
            fn from(name: String) -> Self {
                match name.strip_prefix(PREFIX) {
                    $(Some($name) => Self::$variant,)*
                    _ => Self::Other(name),
                }
            }
        }
    };
}

problem_types! {
    /// The account is not known to the CA.
    AccountDoesNotExist = "accountDoesNotExist",
    /// The certificate named by `replaces` has been replaced already (RFC 9773, 5).
    AlreadyReplaced = "alreadyReplaced",
    /// The certificate has been revoked already.
    AlreadyRevoked = "alreadyRevoked",
    /// The certificate request is unacceptable.
    BadCsr = "badCSR",
    /// The nonce is unacceptable: another one may do.
    BadNonce = "badNonce",
    /// The public key is unacceptable.
    BadPublicKey = "badPublicKey",
    /// The revocation reason is unacceptable.
    BadRevocationReason = "badRevocationReason",
    /// The account key's algorithm is unacceptable.
    BadSignatureAlgorithm = "badSignatureAlgorithm",
    /// A CAA record forbids the CA to issue.
    Caa = "caa",
    /// Several problems; see the subproblems.
    Compound = "compound",
    /// The CA could not connect to validate.
    Connection = "connection",
    /// The CA's DNS query to validate failed.
    Dns = "dns",
    /// The account must be bound to one at the CA (EAB).
    ExternalAccountRequired = "externalAccountRequired",
    /// What the CA found when validating is not what it wanted.
    IncorrectResponse = "incorrectResponse",
    /// A contact is invalid.
    InvalidContact = "invalidContact",
    /// The profile is not offered.
    InvalidProfile = "invalidProfile",
    /// The request is malformed.
    Malformed = "malformed",
    /// The order cannot be finalized yet.
    OrderNotReady = "orderNotReady",
    /// A rate limit is exceeded.
    RateLimited = "rateLimited",
    /// The CA will not issue for a name.
    RejectedIdentifier = "rejectedIdentifier",
    /// The CA has an internal error.
    ServerInternal = "serverInternal",
    /// The CA's TLS connection to validate failed.
    Tls = "tls",
    /// The account may not do this.
    Unauthorized = "unauthorized",
    /// A contact is of a kind that the CA does not use.
    UnsupportedContact = "unsupportedContact",
    /// A name is of a kind that the CA does not issue for.
    UnsupportedIdentifier = "unsupportedIdentifier",
    /// Somebody must visit a page of the CA.
    UserActionRequired = "userActionRequired",
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn classes() {
        let later = Some(RetryAfter::After(SignedDuration::from_secs(5)));
        let acme = |name: &str| format!("{PREFIX}{name}");
        let cases = [
            (acme("badNonce"), 400, None, Class::Transient),
            (acme("serverInternal"), 500, None, Class::Transient),
            (
                acme("serverInternal"),
                503,
                later,
                Class::RateLimited(later),
            ),
            (acme("rateLimited"), 429, later, Class::RateLimited(later)),
            (acme("rateLimited"), 429, None, Class::RateLimited(None)),
            (acme("rejectedIdentifier"), 400, None, Class::Misconfigured),
            (
                acme("externalAccountRequired"),
                403,
                None,
                Class::Misconfigured,
            ),
            (acme("malformed"), 400, None, Class::Permanent),
            (acme("alreadyRevoked"), 400, None, Class::Permanent),
            (acme("newerThanUs"), 400, None, Class::Permanent),
            (acme("newerThanUs"), 503, None, Class::Transient),
            (acme("newerThanUs"), 429, later, Class::RateLimited(later)),
            ("about:blank".to_owned(), 404, None, Class::Misconfigured),
        ];
        for (kind, status, retry_after, want) in cases {
            let body = format!(r#"{{"type":"{kind}","detail":"x"}}"#);
            let problem = Problem::parse(body.as_bytes(), status).unwrap();
            assert_eq!(problem.class(retry_after), want, "{kind} {status}");
        }
    }

    #[test]
    fn documents_are_read_openly() {
        let body = br#"{
            "type": "urn:ietf:params:acme:error:rejectedIdentifier",
            "detail": "two names are refused", "status": 403, "instance": "https://ca/help",
            "extra": [1],
            "subproblems": [
                {"type": "urn:ietf:params:acme:error:caa", "detail": "CAA forbids",
                 "identifier": {"type": "dns", "value": "a.example"}},
                {"detail": "no such ship", "identifier": {"type": "ship", "value": 7}}
            ]
        }"#;
        let problem = Problem::parse(body, 400).unwrap();
        assert_eq!(problem.kind, ProblemType::RejectedIdentifier);
        assert_eq!(problem.status, Some(403));
        assert_eq!(
            problem.to_string(),
            "two names are refused (rejectedIdentifier); a.example: CAA forbids; no such ship; \
             see https://ca/help"
        );
        let long = format!(r#"{{"detail":"{}"}}"#, "ä".repeat(LONGEST));
        let long = Problem::parse(long.as_bytes(), 400).unwrap().to_string();
        assert_eq!(long.chars().count(), LONGEST + 1);
        for other in [&b"{}"[..], b"<html>", b"[]", b"", b"\"x\""] {
            assert!(Problem::parse(other, 500).is_none());
        }
    }
}
