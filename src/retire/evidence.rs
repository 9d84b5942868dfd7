//! A Certificate without a record is gone: was its Secret ours, and is it to go too? Pure.
//!
//! Certificates that nobody can revoke have no record while they are kept, as it would cost a write each;
//! the record of another may have been deleted. One is made when the Certificate goes; what is not certain
//! beyond doubt stays, as under cert-manager.

use std::fmt;

use crate::{
    api::{
        deletion::DeletionPolicy,
        names::{annotation, secret_key},
        reference::IssuerRef,
    },
    certificate::secret::SecretFacts,
    retire::{departed::LastWords, facts::Definition},
};

/// Everything that is decided from.
#[derive(Clone, Debug)]
pub(super) struct Departure {
    /// What the Certificate said last.
    pub(super) words: LastWords,
    /// What is to become of what it kept; `None` where that is not known.
    pub(super) policy: Option<DeletionPolicy>,
    /// Whether there is a record of what the Secret holds, as the caches know.
    pub(super) is_recorded: bool,
    /// Whether its issuer, where that is an ACME server's, has an account there.
    pub(super) is_account_known: bool,
    /// Whether a Certificate names the Secret, as the caches know.
    pub(super) is_kept: bool,
    /// Whether another program may have worked in the operator's place when it went.
    pub(super) is_unattended: bool,
    /// Whether its namespace is being deleted.
    pub(super) is_namespace_ending: bool,
    /// What the API server said when asked.
    pub(super) remains: Option<Remains>,
}

/// What the API server says of what is left.
#[derive(Clone, Debug)]
pub(super) struct Remains {
    /// Whether the Certificate is there, or another of its name that names the Secret.
    pub(super) is_kept: bool,
    /// Whether the absence of a Certificate says anything.
    pub(super) definition: Definition,
    /// The Secret.
    pub(super) secret: Option<SecretFacts>,
    /// Whether there is a record of what that holds.
    pub(super) is_recorded: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Ask the API server, and judge again.
    Ask,
    /// Make a record of an orphan with this policy.
    Record(DeletionPolicy),
    /// Nothing.
    Leave(Why),
}

/// Why nothing is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// By its policy.
    Retain,
    /// Nobody knows the policy of its issuer.
    PolicyUnknown,
    /// Another issued it, or nobody did.
    NotIssuedHere,
    /// Another program worked in the operator's place.
    Unattended,
    /// There is a record.
    Recorded,
    /// Nobody knows which account could revoke it.
    NoAccount,
    /// A Certificate keeps it.
    Kept,
    /// Something else takes it along.
    GoesAnyway,
    /// No Certificate was deleted by anybody.
    Definition,
    /// There is nothing to delete.
    NoSecret,
    /// The Secret says that it is of something else, or holds what we have not written.
    NotItsSecret,
}

impl Why {
    /// Whether somebody may wonder.
    pub(super) fn is_news(self) -> bool {
        match self {
            Self::PolicyUnknown
            | Self::NoAccount
            | Self::Unattended
            | Self::Definition
            | Self::NotItsSecret => true,
            Self::Retain
            | Self::NotIssuedHere
            | Self::Recorded
            | Self::Kept
            | Self::GoesAnyway
            | Self::NoSecret => false,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retain => "its policy is Retain",
            Self::PolicyUnknown => "its issuer is gone, whose deletionPolicy may have been Retain",
            Self::NotIssuedHere => "what it holds was not issued by certwright",
            Self::Unattended => "another program led when it went",
            Self::Recorded => "its Issuance says what becomes of it",
            Self::NoAccount => "its issuer has no account at the ACME server that it names",
            Self::Kept => "a Certificate names it",
            Self::GoesAnyway => "it goes with its namespace or owner",
            Self::Definition => "the definition of Certificates went too, or is new",
            Self::NoSecret => "there is none",
            Self::NotItsSecret => "it is not as certwright wrote it for that Certificate",
        })
    }
}

/// What is to be done about the Secret of a Certificate that is gone.
pub(super) fn judge(departure: &Departure) -> Verdict {
    let Departure {
        words,
        policy,
        is_recorded,
        is_account_known,
        is_kept,
        is_unattended,
        is_namespace_ending,
        remains,
    } = departure;
    if !words.is_issued_here {
        return Verdict::Leave(Why::NotIssuedHere);
    }
    if *is_recorded {
        return Verdict::Leave(Why::Recorded);
    }
    let policy = match policy {
        None => return Verdict::Leave(Why::PolicyUnknown),
        Some(DeletionPolicy::Retain) => return Verdict::Leave(Why::Retain),
        Some(policy @ (DeletionPolicy::Revoke | DeletionPolicy::Delete)) => *policy,
    };
    if !is_account_known {
        return Verdict::Leave(Why::NoAccount);
    }
    if *is_kept {
        return Verdict::Leave(Why::Kept);
    }
    if *is_namespace_ending {
        return Verdict::Leave(Why::GoesAnyway);
    }
    if *is_unattended {
        return Verdict::Leave(Why::Unattended);
    }
    let Some(remains) = remains else {
        return Verdict::Ask;
    };
    match against(words, remains) {
        Some(why) => Verdict::Leave(why),
        None => Verdict::Record(policy),
    }
}

fn against(words: &LastWords, remains: &Remains) -> Option<Why> {
    let Remains {
        is_kept,
        definition,
        secret,
        is_recorded,
    } = remains;
    if *is_kept {
        return Some(Why::Kept);
    }
    let is_old = match (definition, words.created) {
        // Both are told to the second: in the same one, it is not known which came first.
        (Definition::Since(since), Some(created)) => *since < created,
        (Definition::Since(_), None) | (Definition::Ending, _) => false,
    };
    if !is_old {
        return Some(Why::Definition);
    }
    let Some(secret) = secret else {
        return Some(Why::NoSecret);
    };
    let is_owned = secret.owners.iter().any(|owner| owner.uid == words.uid);
    if is_owned || secret.meta.deleting {
        return Some(Why::GoesAnyway);
    }
    if *is_recorded {
        return Some(Why::Recorded);
    }
    (!is_ours(words, secret)).then_some(Why::NotItsSecret)
}

/// Whether `secret` is the one that was written for the Certificate, and no copy.
fn is_ours(words: &LastWords, secret: &SecretFacts) -> bool {
    let text = |name| secret.annotation(name).map(str::to_owned);
    let is_named =
        secret.annotation(annotation::CERTIFICATE_NAME) == Some(&*words.certificate.name);
    let issuer = text(annotation::ISSUER_NAME).map(|name| IssuerRef {
        group: text(annotation::ISSUER_GROUP),
        kind: text(annotation::ISSUER_KIND),
        name,
    });
    let is_issuers = issuer.is_some_and(|issuer| issuer.same(&words.issuer));
    let held = secret.managed.as_ref();
    let is_written = held.is_ok_and(|held| held.data.contains(secret_key::CERTIFICATE));
    let leaf = secret.leaf.read();
    let is_final = leaf.is_some_and(|leaf| !leaf.is_temporary);
    secret.meta.key == words.secret && is_named && is_issuers && is_written && is_final
}

#[cfg(test)]
mod tests;
