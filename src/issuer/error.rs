//! What can keep an issuer from being ready, how is it told, and who must act?

use jiff::Timestamp;

use crate::{
    acme,
    api::reason::issuer as reason,
    cluster::{Class, ReconcileError, RequestError},
    issuer::{kind::Unsupported, limits::SettingsError, local::SigningError, refusal::CaError},
    net::http,
    pki,
};

/// Why an issuer is not ready, or its account cannot be used. The text is the message of the Ready
/// condition.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The issuer signs by something that we cannot.
    #[error("{0}")]
    Unsupported(Unsupported),
    /// The server speaks ACME as it was before RFC 8555.
    #[error("spec.acme.server {server} is a v1 endpoint, which is switched off: use {successor}")]
    OldServer {
        /// As it was written.
        server: String,
        /// What it became.
        successor: &'static str,
    },
    /// The server is no URL.
    #[error("spec.acme.server {server:?} is not the URL of an ACME directory: {why}")]
    ServerUrl {
        /// As it was written.
        server: String,
        /// What is wrong.
        why: String,
    },
    /// Two settings exclude each other.
    #[error("spec.acme.caBundle and spec.acme.skipTLSVerify exclude each other: remove one")]
    Trust,
    /// The CA bundle cannot be used.
    #[error("spec.acme.caBundle cannot be used: {0}")]
    CaBundle(http::Error),
    /// No Secret is named for the account key.
    #[error("spec.acme.privateKeySecretRef.name is empty: name the Secret for the account key")]
    KeyUnnamed,
    /// The account key is missing and must not be made.
    #[error(
        "account key Secret {name:?} not found in namespace {namespace:?}: create it, or set \
         spec.acme.disableAccountKeyGeneration to false"
    )]
    KeyMissing {
        /// Of the Secret.
        name: String,
        /// Of the Secret.
        namespace: String,
    },
    /// The Secret has no such entry.
    #[error("account key Secret {name:?} in namespace {namespace:?} has no entry {entry:?}")]
    KeyEntryMissing {
        /// Of the Secret.
        name: String,
        /// Of the Secret.
        namespace: String,
        /// The entry.
        entry: String,
    },
    /// The account key cannot be used.
    #[error(
        "account key in entry {entry:?} of Secret {name:?} in namespace {namespace:?} is invalid: \
         {source}"
    )]
    KeyInvalid {
        /// Of the Secret.
        name: String,
        /// Of the Secret.
        namespace: String,
        /// The entry.
        entry: String,
        /// Why.
        source: Box<acme::Error>,
    },
    /// A new account key could not be made.
    #[error("making an account key failed: {0}")]
    KeyGeneration(Box<acme::Error>),
    /// The CA wants an external account binding.
    #[error(
        "{server} makes accounts only with an external account binding: get a key identifier and a \
         key from the CA and set spec.acme.externalAccountBinding"
    )]
    BindingRequired {
        /// The directory.
        server: String,
    },
    /// The Secret of the external account binding is missing.
    #[error("EAB Secret {name:?} not found in namespace {namespace:?}")]
    BindingMissing {
        /// Of the Secret.
        name: String,
        /// Of the Secret.
        namespace: String,
    },
    /// The Secret of the external account binding has no such entry.
    #[error("EAB Secret {name:?} in namespace {namespace:?} has no entry {entry:?}")]
    BindingEntryMissing {
        /// Of the Secret.
        name: String,
        /// Of the Secret.
        namespace: String,
        /// The entry.
        entry: String,
    },
    /// The key of the external account binding is not what CAs give out.
    #[error(
        "entry {entry:?} of EAB Secret {name:?} in namespace {namespace:?} is not base64url text: \
         store the key as the CA gave it out"
    )]
    BindingInvalid {
        /// Of the Secret.
        name: String,
        /// Of the Secret.
        namespace: String,
        /// The entry.
        entry: String,
    },
    /// The limits that the issuer says are none.
    #[error(transparent)]
    Limits(#[from] SettingsError),
    /// The CA does not offer the profile.
    #[error("profile {profile:?} is not offered by {server}; {}", choice_of(.offered))]
    Profile {
        /// As it was written.
        profile: String,
        /// The directory.
        server: String,
        /// What is offered.
        offered: Vec<String>,
    },
    /// The Secret of a solver is missing.
    #[error("solvers[{solver}].{field}: Secret {name:?} not found in namespace {namespace:?}")]
    SolverSecretMissing {
        /// Position in the list.
        solver: usize,
        /// The field that names it.
        field: &'static str,
        /// Of the Secret.
        name: String,
        /// Of the Secret.
        namespace: String,
    },
    /// The Secret of a solver has no such entry.
    #[error(
        "solvers[{solver}].{field}: Secret {name:?} in namespace {namespace:?} has no entry \
         {entry:?}"
    )]
    SolverEntryMissing {
        /// Position in the list.
        solver: usize,
        /// The field that names it.
        field: &'static str,
        /// Of the Secret.
        name: String,
        /// Of the Secret.
        namespace: String,
        /// The entry.
        entry: String,
    },
    /// The account was given up, or closed by the CA.
    #[error(
        "account {url} is {status} at the CA: delete Secret {secret:?} in namespace {namespace:?} \
         to have a new account made"
    )]
    AccountClosed {
        /// The account.
        url: String,
        /// What the CA calls it.
        status: &'static str,
        /// The Secret of the account key.
        secret: String,
        /// Of the Secret.
        namespace: String,
    },
    /// The CA, or the way to it, stood in the way.
    #[error("{}{source}{}", .doing.message(), next_try(.source))]
    Acme {
        /// What was tried.
        doing: Doing,
        /// Why it failed.
        source: CaError,
    },
    /// The issuer has no account for its present settings.
    #[error("{issuer} has no ACME account yet")]
    NoAccount {
        /// Kind and name.
        issuer: String,
    },
    /// The issuer's spec changed, and has not been checked since.
    #[error("{issuer} has changed and is being checked")]
    NotChecked {
        /// Kind and name.
        issuer: String,
    },
    /// The key in the Secret is not the one that the account has.
    #[error("the account key of {issuer} has changed, and its account is being checked")]
    KeyChanged {
        /// Kind and name.
        issuer: String,
    },
    /// The Secret of a CA is missing.
    #[error(
        "Error getting keypair for CA issuer: Secret {name:?} not found in namespace {namespace:?}"
    )]
    AuthorityMissing {
        /// Of the Secret.
        name: String,
        /// Of the Secret.
        namespace: String,
    },
    /// The Secret of a CA has no such entry.
    #[error(
        "Error getting keypair for CA issuer: Secret {name:?} in namespace {namespace:?} has no \
         entry {entry:?}"
    )]
    AuthorityEntryMissing {
        /// Of the Secret.
        name: String,
        /// Of the Secret.
        namespace: String,
        /// The entry.
        entry: &'static str,
    },
    /// The Secret of a CA cannot be used.
    #[error(
        "Error getting keypair for CA issuer: {}; see Secret {name:?} in namespace {namespace:?}",
        trouble_of(.source)
    )]
    Authority {
        /// Of the Secret.
        name: String,
        /// Of the Secret.
        namespace: String,
        /// Why.
        source: pki::Error,
    },
    /// The Secret of a CA could not be read.
    #[error("Error getting keypair for CA issuer: {0}")]
    AuthorityRead(Box<SigningError>),
    /// A request to the API server failed.
    #[error(transparent)]
    Api(#[from] RequestError),
}

/// What was tried at the CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Find or make the account.
    Register,
    /// Change the account.
    Update,
}

impl Doing {
    fn message(self) -> &'static str {
        match self {
            Self::Register => "Failed to register ACME account: ",
            Self::Update => "Failed to update ACME account: ",
        }
    }
}

impl Error {
    /// A failure at the CA, that was told at `now`.
    pub fn acme(doing: Doing, source: acme::Error, now: Timestamp) -> Self {
        Self::Acme {
            doing,
            source: CaError::new(source, now),
        }
    }

    /// Reason of the Ready condition.
    pub fn condition_reason(&self) -> &'static str {
        match self {
            Self::Unsupported(unsupported) => unsupported.reason(),
            Self::OldServer { .. }
            | Self::Trust
            | Self::CaBundle(_)
            | Self::Limits(_)
            | Self::Profile { .. } => reason::INVALID_CONFIG,
            Self::ServerUrl { .. } => reason::INVALID_URL,
            Self::KeyUnnamed
            | Self::KeyMissing { .. }
            | Self::KeyEntryMissing { .. }
            | Self::KeyInvalid { .. }
            | Self::AccountClosed { .. }
            | Self::NoAccount { .. }
            | Self::NotChecked { .. }
            | Self::KeyChanged { .. }
            | Self::Api(_) => reason::ERR_VERIFY_ACME_ACCOUNT,
            Self::KeyGeneration(_)
            | Self::BindingRequired { .. }
            | Self::BindingMissing { .. }
            | Self::BindingEntryMissing { .. }
            | Self::BindingInvalid { .. } => reason::ERR_REGISTER_ACME_ACCOUNT,
            Self::SolverSecretMissing { .. } | Self::SolverEntryMissing { .. } => {
                reason::INVALID_SOLVER
            }
            Self::Authority { source, .. } if is_pair(source) => reason::ERR_INVALID_KEY_PAIR,
            Self::AuthorityMissing { .. }
            | Self::AuthorityEntryMissing { .. }
            | Self::Authority { .. }
            | Self::AuthorityRead(_) => reason::ERR_GET_KEY_PAIR,
            Self::Acme { doing, .. } => match doing {
                Doing::Register => reason::ERR_REGISTER_ACME_ACCOUNT,
                Doing::Update => reason::ERR_UPDATE_ACME_ACCOUNT,
            },
        }
    }

    /// Whether it says that the key has no usable account at the CA; other errors leave open
    /// whether it has.
    pub fn refutes_account(&self) -> bool {
        match self {
            Self::AccountClosed { .. }
            | Self::BindingRequired { .. }
            | Self::BindingMissing { .. }
            | Self::BindingEntryMissing { .. }
            | Self::BindingInvalid { .. } => true,
            Self::Acme {
                doing: Doing::Register,
                source,
                ..
            } => source.problem().is_some() && !self.is_passing(),
            Self::Acme {
                doing: Doing::Update,
                ..
            }
            | Self::Unsupported(_)
            | Self::OldServer { .. }
            | Self::ServerUrl { .. }
            | Self::Trust
            | Self::CaBundle(_)
            | Self::KeyUnnamed
            | Self::KeyMissing { .. }
            | Self::KeyEntryMissing { .. }
            | Self::KeyInvalid { .. }
            | Self::KeyGeneration(_)
            | Self::Limits(_)
            | Self::Profile { .. }
            | Self::SolverSecretMissing { .. }
            | Self::SolverEntryMissing { .. }
            | Self::NoAccount { .. }
            | Self::NotChecked { .. }
            | Self::KeyChanged { .. }
            | Self::AuthorityMissing { .. }
            | Self::AuthorityEntryMissing { .. }
            | Self::Authority { .. }
            | Self::AuthorityRead(_)
            | Self::Api(_) => false,
        }
    }

    /// Whether it may pass without anybody doing anything.
    pub fn is_passing(&self) -> bool {
        match self.class() {
            Class::Conflict | Class::Transient | Class::RateLimited(_) => true,
            Class::Misconfigured | Class::Permanent | Class::Refused => false,
        }
    }
}

impl ReconcileError for Error {
    fn class(&self) -> Class {
        match self {
            // Only the spec can heal these.
            Self::Unsupported(_)
            | Self::OldServer { .. }
            | Self::ServerUrl { .. }
            | Self::Trust
            | Self::CaBundle(_)
            | Self::KeyUnnamed
            | Self::BindingRequired { .. } => Class::Permanent,
            // Secrets and issuers wake us when they change; the CA's offers do not.
            Self::KeyMissing { .. }
            | Self::KeyEntryMissing { .. }
            | Self::KeyInvalid { .. }
            | Self::BindingMissing { .. }
            | Self::BindingEntryMissing { .. }
            | Self::BindingInvalid { .. }
            | Self::Limits(_)
            | Self::Profile { .. }
            | Self::SolverSecretMissing { .. }
            | Self::SolverEntryMissing { .. }
            | Self::AccountClosed { .. }
            | Self::NoAccount { .. }
            | Self::NotChecked { .. }
            | Self::KeyChanged { .. }
            | Self::AuthorityMissing { .. }
            | Self::AuthorityEntryMissing { .. }
            | Self::Authority { .. } => Class::Misconfigured,
            Self::KeyGeneration(_) => Class::Transient,
            Self::Acme { source, .. } => class_of(source),
            Self::AuthorityRead(error) => error.class(),
            Self::Api(error) => error.class(),
        }
    }

    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::ServerUrl { .. }
            | Self::BindingMissing { .. }
            | Self::BindingEntryMissing { .. }
            | Self::BindingInvalid { .. }
            | Self::Acme {
                doing: Doing::Update,
                ..
            } => Some(self.condition_reason()),
            _ => Some(reason::ERR_INIT_ISSUER),
        }
    }
}

/// Whether certificate and key were read, and are no CA.
fn is_pair(error: &pki::Error) -> bool {
    matches!(error, pki::Error::Authority(_) | pki::Error::Chain(_))
}

fn trouble_of(error: &pki::Error) -> String {
    match error {
        pki::Error::Authority(why) => why.clone(),
        other => other.to_string(),
    }
}

fn class_of(error: &CaError) -> Class {
    match error.class() {
        // A CA that refuses with a reason refuses the same again; what stands before it may not.
        Class::Misconfigured if error.problem().is_some() => Class::Permanent,
        class => class,
    }
}

fn next_try(error: &CaError) -> &'static str {
    match class_of(error) {
        Class::Permanent => "; tried again when the issuer or one of its Secrets changes",
        Class::Conflict
        | Class::Transient
        | Class::RateLimited(_)
        | Class::Refused
        | Class::Misconfigured => "",
    }
}

fn choice_of(profiles: &[String]) -> String {
    if profiles.is_empty() {
        return "it has no profiles: remove spec.acme.profile".to_owned();
    }
    format!("use one of: {}", profiles.join(", "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::SignedDuration;

    use super::*;
    use crate::acme::Action;

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn http(status: u16, retry_after: Option<http::RetryAfter>) -> acme::Error {
        acme::Error::Http {
            action: Action::NewAccount,
            url: "https://ca.example/new".into(),
            status,
            excerpt: String::new(),
            retry_after,
        }
    }

    fn problem(kind: &str, status: u16, retry_after: Option<http::RetryAfter>) -> acme::Error {
        let document = format!(
            r#"{{"type": "urn:ietf:params:acme:error:{kind}", "detail": "no", "status": {status}}}"#
        );
        acme::Error::Problem {
            action: Action::NewAccount,
            problem: Box::new(serde_json::from_str(&document).unwrap()),
            retry_after,
        }
    }

    #[test]
    fn a_refusal_ends_it_and_the_rest_is_tried_again() {
        let in_a_minute = Some(http::RetryAfter::After(SignedDuration::from_secs(90)));
        let limited = |seconds| Class::RateLimited(Duration::from_secs(seconds));
        // (what the CA said, how to go on, whether the key has no account)
        let table = [
            (problem("invalidContact", 400, None), Class::Permanent, true),
            (problem("unauthorized", 403, None), Class::Permanent, true),
            (problem("malformed", 400, None), Class::Permanent, true),
            (problem("somethingNew", 418, None), Class::Permanent, true),
            (
                problem("serverInternal", 500, None),
                Class::Transient,
                false,
            ),
            (problem("rateLimited", 429, None), limited(60), false),
            (problem("rateLimited", 429, in_a_minute), limited(90), false),
            (http(404, None), Class::Misconfigured, false),
            (http(502, None), Class::Transient, false),
            (http(429, in_a_minute), limited(90), false),
        ];
        for (source, class, refutes) in table {
            let error = Error::acme(Doing::Register, source, now());
            assert_eq!(error.class(), class, "{error}");
            assert_eq!(error.refutes_account(), refutes, "{error}");
            assert_eq!(error.condition_reason(), "ErrRegisterACMEAccount");
        }
    }

    #[test]
    fn messages_say_what_happened_and_what_to_do() {
        let in_a_minute = Some(http::RetryAfter::After(SignedDuration::from_secs(90)));
        let table = [
            (
                Error::acme(
                    Doing::Update,
                    problem("rateLimited", 429, in_a_minute),
                    now(),
                ),
                "Failed to update ACME account: registering the ACME account: no (rateLimited); \
                 next try at 2026-01-01T00:01:30Z",
            ),
            (
                Error::acme(Doing::Register, problem("invalidContact", 400, None), now()),
                "Failed to register ACME account: registering the ACME account: no \
                 (invalidContact); tried again when the issuer or one of its Secrets changes",
            ),
            (
                Error::Profile {
                    profile: "fast".into(),
                    server: "https://ca".into(),
                    offered: vec!["classic".into(), "shortlived".into()],
                },
                "profile \"fast\" is not offered by https://ca; use one of: classic, shortlived",
            ),
            (
                Error::Profile {
                    profile: "fast".into(),
                    server: "https://ca".into(),
                    offered: vec![],
                },
                "profile \"fast\" is not offered by https://ca; it has no profiles: remove \
                 spec.acme.profile",
            ),
            (
                Error::BindingMissing {
                    name: "eab".into(),
                    namespace: "web".into(),
                },
                "EAB Secret \"eab\" not found in namespace \"web\"",
            ),
            (
                Error::SolverEntryMissing {
                    solver: 2,
                    field: "dns01.rfc2136.tsigSecretSecretRef",
                    name: "tsig".into(),
                    namespace: "web".into(),
                    entry: "key".into(),
                },
                "solvers[2].dns01.rfc2136.tsigSecretSecretRef: Secret \"tsig\" in namespace \"web\" \
                 has no entry \"key\"",
            ),
        ];
        for (error, message) in table {
            assert_eq!(error.to_string(), message);
        }
    }
}
