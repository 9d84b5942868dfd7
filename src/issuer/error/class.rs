//! Who must act on what keeps an issuer from being ready, and what does it say of the account?

use crate::{
    api::reason::issuer as reason,
    cluster::{Class, ReconcileError},
    issuer::{
        error::{Doing, Error},
        refusal::CaError,
    },
};

impl Error {
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
                doing: Doing::Update | Doing::Verify,
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

pub(super) fn class_of(error: &CaError) -> Class {
    match error.class() {
        // A CA that refuses with a reason refuses the same again; what stands before it may not.
        Class::Misconfigured if error.problem().is_some() => Class::Permanent,
        class => class,
    }
}
