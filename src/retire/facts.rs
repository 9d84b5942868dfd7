//! Which facts is a decision about an issued certificate made from?

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::{
        deletion::DeletionPolicy,
        issuance::{Issuance, IssuanceState, IssuanceStatus},
        names::{TRUE, annotation},
    },
    certificate::asked_for::AskedFor,
    cluster::{Facts, Meta, ObjectKey},
    retire::asker::Asker,
    retire::share::{Share, Shared},
};

/// What is kept of an Issuance: not the certificate.
#[derive(Clone, Debug)]
pub struct IssuanceFacts {
    /// Name and versions.
    pub meta: Meta,
    /// The cluster that it belongs to.
    pub cluster: Arc<str>,
    /// The Certificate that it is for.
    pub certificate: ObjectKey,
    /// Its uid.
    pub uid: String,
    /// Since when that is the one that keeps it.
    pub since: Timestamp,
    /// The Secret that holds it.
    pub secret: ObjectKey,
    /// Other Secrets of the namespace that hold it too.
    pub also_in: Vec<Share>,
    /// What was asked for, where another Certificate that asks for the same may have it.
    pub asked_for: Option<AskedFor>,
    /// The serial in lower-case hexadecimal.
    pub serial: String,
    /// SHA-256 of the public key, in hexadecimal.
    pub public_key: String,
    /// When it expires.
    pub not_after: Timestamp,
    /// What is to become of it.
    pub policy: DeletionPolicy,
    /// The annotation that asked for the revocation of another before it was issued.
    pub earlier_request: Option<String>,
    /// The account that ordered it, and the namespace of its key.
    pub account: Option<Account>,
    /// Its issuer. The namespace of a ClusterIssuer is empty.
    pub issuer: ObjectKey,
    /// The issuer whose list it is put on when it is revoked, where no CA is asked and there is one. The
    /// namespace of a ClusterIssuer is empty.
    pub list: Option<ObjectKey>,
    /// Whether somebody let it go on although many were orphaned at once.
    pub is_confirmed: bool,
    /// What became of it.
    pub status: IssuanceStatus,
}

/// The ACME account of an issuance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    /// Its URL.
    pub url: String,
    /// The directory of its CA.
    pub server: String,
    /// The Secret of its key.
    pub key: ObjectKey,
}

/// How Issuances are looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IssuanceIndex {
    /// By the Secret that holds it.
    Secret(ObjectKey),
    /// By the uid of its Certificate.
    Certificate(String),
    /// By the account and the place of its key.
    Account(Account),
    /// By the public key.
    Key(String),
    /// By the public key, where that is known to others than its owner.
    CompromisedKey(String),
    /// By the issuer. The namespace of a ClusterIssuer is empty.
    Issuer(ObjectKey),
    /// By the issuer whose list it is to be on, where its revocation is decided.
    List(ObjectKey),
    /// By the namespace of its Certificate.
    Namespace(Arc<str>),
    /// By the namespace of its Certificate, where that does not keep it any more.
    Past(Arc<str>),
    /// By the namespace and what was asked for, where it may be used again.
    AskedFor(Arc<str>, AskedFor),
}

impl Facts for IssuanceFacts {
    type Object = Issuance;
    type Index = IssuanceIndex;

    fn reduce(issuance: Issuance) -> Self {
        let confirmed = issuance
            .metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(annotation::CONFIRM));
        let is_confirmed = confirmed.is_some_and(|value| value == TRUE);
        let spec = issuance.spec;
        let namespace: Arc<str> = spec.certificate_ref.namespace.into();
        let issuer = spec.issuer_ref.address(&namespace);
        let issuer = ObjectKey::new(issuer.namespace, issuer.name);
        let list = match (&spec.acme, spec.revocable) {
            (None, None | Some(true)) => Some(issuer.clone()),
            (Some(_), _) | (None, Some(false)) => None,
        };
        Self {
            meta: Meta::of(&issuance.metadata),
            cluster: spec.cluster.into(),
            certificate: ObjectKey::new(Arc::clone(&namespace), spec.certificate_ref.name),
            uid: spec.certificate_ref.uid,
            since: spec.certificate_ref.since.0,
            also_in: spec
                .also_in
                .into_iter()
                .flatten()
                .map(|share| Share::of(&namespace, share))
                .collect(),
            asked_for: spec.asked_for.and_then(|text| text.parse().ok()),
            secret: ObjectKey::new(namespace, spec.secret_name),
            serial: spec.serial,
            public_key: spec.public_key,
            not_after: spec.not_after.0,
            policy: spec.deletion_policy,
            earlier_request: spec.earlier_request,
            account: spec.acme.map(|acme| Account {
                url: acme.account_url,
                server: acme.server,
                key: ObjectKey::new(acme.account_key.namespace, acme.account_key.name),
            }),
            issuer,
            list,
            is_confirmed,
            status: issuance.status.unwrap_or_default(),
        }
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn indexes(&self) -> Vec<IssuanceIndex> {
        let namespace = &self.secret.namespace;
        let mut indexes = vec![
            IssuanceIndex::Namespace(Arc::clone(namespace)),
            IssuanceIndex::Key(self.public_key.clone()),
            IssuanceIndex::Issuer(self.issuer.clone()),
        ];
        for (secret, uid) in self.places() {
            indexes.push(IssuanceIndex::Secret(secret.clone()));
            indexes.push(IssuanceIndex::Certificate(uid.to_owned()));
        }
        if let Some(asked) = self.asked_for.filter(|_| self.may_be_used_again()) {
            indexes.push(IssuanceIndex::AskedFor(Arc::clone(namespace), asked));
        }
        indexes.extend(
            self.account
                .iter()
                .map(|account| IssuanceIndex::Account(account.clone())),
        );
        if self.state() != IssuanceState::Active {
            indexes.push(IssuanceIndex::Past(Arc::clone(&self.secret.namespace)));
        }
        if self.is_listed() {
            indexes.extend(self.list.clone().map(IssuanceIndex::List));
        }
        if self.is_compromised() {
            indexes.push(IssuanceIndex::CompromisedKey(self.public_key.clone()));
        }
        indexes
    }
}

impl IssuanceFacts {
    /// The state; a record without one stands for a certificate that is kept.
    pub fn state(&self) -> IssuanceState {
        self.status.state.unwrap_or(IssuanceState::Active)
    }

    /// The Secrets that hold it, each with the uid of the Certificate that it is there for.
    pub fn places(&self) -> impl Iterator<Item = (&ObjectKey, &str)> {
        let others = self.also_in.iter();
        let others = others.map(|share| (&share.secret, share.uid.as_str()));
        std::iter::once((&self.secret, self.uid.as_str())).chain(others)
    }

    /// Whether, as far as the record tells, another Certificate may have it. One that was superseded
    /// may still be in its Secret, where its Certificate names another one now.
    pub fn may_be_used_again(&self) -> bool {
        !self.is_withdrawn()
            && match self.state() {
                IssuanceState::Active
                | IssuanceState::Superseded
                | IssuanceState::Orphaned
                | IssuanceState::Held => true,
                IssuanceState::Revoking
                | IssuanceState::Revoked
                | IssuanceState::Unrevocable
                | IssuanceState::Deleted
                | IssuanceState::Expired => false,
            }
    }

    /// Whether others may have its key.
    pub fn is_compromised(&self) -> bool {
        use crate::api::deletion::RevocationReason::KeyCompromise;

        let requested = self.status.request.as_ref().map(|request| request.reason);
        let revoked = self.status.revocation.as_ref().map(|done| done.reason);
        requested == Some(KeyCompromise) || revoked == Some(KeyCompromise)
    }

    /// Whether it belongs on the list of its issuer: its revocation is decided. Where that has failed
    /// since the issuer was gone, the issuer may be back.
    pub fn is_listed(&self) -> bool {
        self.list.is_some()
            && match self.state() {
                IssuanceState::Revoking | IssuanceState::Revoked | IssuanceState::Unrevocable => {
                    true
                }
                IssuanceState::Active
                | IssuanceState::Superseded
                | IssuanceState::Orphaned
                | IssuanceState::Held
                | IssuanceState::Deleted
                | IssuanceState::Expired => false,
            }
    }

    /// Whether there is anybody to tell that it is revoked.
    pub fn is_revocable(&self) -> bool {
        self.account.is_some() || self.list.is_some()
    }

    /// What is done about it once its Certificate is gone.
    pub fn treatment(&self) -> DeletionPolicy {
        match self.policy {
            DeletionPolicy::Revoke if !self.is_revocable() => DeletionPolicy::Delete,
            policy => policy,
        }
    }

    /// Whether it is, or is about to be, revoked: another must take its place.
    pub fn is_withdrawn(&self) -> bool {
        self.status.request.is_some()
            || matches!(
                self.state(),
                IssuanceState::Revoking | IssuanceState::Revoked
            )
    }

    /// Whether it has expired.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now > self.not_after
    }

    /// The account whose key goes with its namespace.
    pub fn account_in_its_namespace(&self) -> Option<&Account> {
        self.account
            .as_ref()
            .filter(|account| account.key.namespace == self.secret.namespace)
    }
}

/// How long and by what policy, as the operator was told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long an orphan is kept, in case its Certificate comes back.
    pub delay: SignedDuration,
    /// What counts where neither Certificate nor issuer says what becomes of a certificate.
    pub default_policy: DeletionPolicy,
    /// Whether the API server sees to it that a Certificate says truly who asks for a revocation.
    pub users_are_checked: bool,
}

impl Settings {
    /// What is to become of what a Certificate keeps: as it says, or its issuer, or the operator.
    pub fn policy(
        &self,
        certificate: Option<DeletionPolicy>,
        issuer: Option<DeletionPolicy>,
    ) -> DeletionPolicy {
        certificate.or(issuer).unwrap_or(self.default_policy)
    }
}

/// Everything that a decision about one Issuance is made from.
#[derive(Clone, Debug)]
pub struct Situation {
    /// The record.
    pub issuance: Arc<IssuanceFacts>,
    /// Whether it belongs to this cluster, and to the namespaces that are watched.
    pub is_ours: bool,
    /// Who keeps it, as the caches know.
    pub claim: Claim,
    /// What its Secret holds, as the caches know.
    pub stored: Stored,
    /// The other Secrets that it is in, as the caches know.
    pub shares: Vec<Shared>,
    /// What its Certificate said last of the policy, if it was seen going.
    pub last_policy: Option<DeletionPolicy>,
    /// Whether so many were orphaned at once that nothing is revoked until somebody confirms it.
    pub brake: bool,
    /// Whether another program may have worked in the operator's place when its Certificate went.
    pub is_unattended: bool,
    /// Who said that others know its key, where that was said of another certificate.
    pub compromised_by: Option<String>,
    /// Whether its namespace is being deleted.
    pub is_namespace_ending: bool,
    /// Whether a copy of its account key is kept, and whether another record needs it still.
    pub escrow: Escrow,
    /// What the list of its issuer says, where no CA is asked.
    pub listing: Option<Listing>,
    /// What the API server said when asked.
    pub live: Option<Live>,
    /// What it said of one of the other Secrets.
    pub live_share: Option<(ObjectKey, Live)>,
    /// Now.
    pub now: Timestamp,
    /// How long, and by what policy.
    pub settings: Settings,
}

impl Situation {
    /// Whether its Certificate is known to be gone.
    pub fn is_orphan(&self) -> bool {
        self.issuance.status.orphaned_since.is_some()
    }
}

/// Whether a certificate is on the list of its issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// It is, and the list is stored.
    Stored,
    /// Not yet, and this is waited for.
    Awaited(String),
    /// It never will be, for this reason.
    Never(String),
}

/// Who keeps a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// A Certificate names the Secret.
    Kept(Keeper),
    /// Its Certificate is there and names another Secret.
    Elsewhere,
    /// Nobody.
    Nobody,
}

/// A Certificate that names the Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeper {
    /// Its name.
    pub name: Arc<str>,
    /// Its uid.
    pub uid: String,
    /// What it says is to become of what it keeps, or its issuer, or the operator; `None` where its
    /// issuer is gone, and what is written down counts.
    pub policy: Option<DeletionPolicy>,
    /// Its annotation that asks for a revocation.
    pub annotation: Option<String>,
    /// Who set that.
    pub asker: Option<Asker>,
    /// Whether it is being issued.
    pub is_issuing: bool,
    /// Whether it is ready, as it is now: content with what the Secret holds.
    pub is_ready: bool,
}

/// What the Secret holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// There is no Secret.
    Gone,
    /// This certificate.
    This,
    /// Something else.
    Other,
}

/// Whether the account key of a namespace that is being deleted was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escrow {
    /// There is no copy.
    None,
    /// There is none, and no key to copy.
    Lost,
    /// There is one, and other records need it.
    Needed,
    /// There is one, and no other record needs it.
    Unneeded,
}

/// What the API server said when asked, just before something that cannot be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Whether a Certificate keeps it.
    pub is_kept: bool,
    /// Whether the absence of a Certificate says anything.
    pub definition: Definition,
    /// Who uses it all the same, in words.
    pub used_by: Vec<String>,
    /// What its Secret holds.
    pub stored: Stored,
}

/// The CustomResourceDefinition of Certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Definition {
    /// There is none, or it is being deleted: and with it every Certificate.
    Ending,
    /// It stands, since then.
    Since(Timestamp),
}
