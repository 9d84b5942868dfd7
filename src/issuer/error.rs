//! What can keep an issuer from being ready, and how is it told?

mod class;

use jiff::Timestamp;

use crate::{
    acme,
    api::reason::issuer as reason,
    cluster::{Class, RequestError},
    issuer::{
        error::class::class_of, kind::Unsupported, limits::SettingsError, local::SigningError,
        refusal::CaError,
    },
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
    /// See whether the account is the CA's.
    Verify,
}

impl Doing {
    fn message(self) -> &'static str {
        match self {
            Self::Register => "Failed to register ACME account: ",
            Self::Update => "Failed to update ACME account: ",
            Self::Verify => "Failed to verify ACME account: ",
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
                Doing::Verify => reason::ERR_VERIFY_ACME_ACCOUNT,
            },
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
mod tests;
