//! What is kept of a Challenge: all of it, there are only ever a few.

use jiff::Timestamp;

use crate::{
    api::{
        challenge::{Challenge, ChallengeSpec, ChallengeStatus, ChallengeType},
        names::finalizer,
        order::State,
        reference::IssuerAddress,
    },
    cluster::{Facts, Meta, OwnerKey, name::number_of},
};

/// A Challenge without its managed fields.
#[derive(Clone, Debug)]
pub struct ChallengeFacts {
    /// Name and versions.
    pub meta: Meta,
    /// `metadata.deletionTimestamp`.
    pub deleted_at: Option<Timestamp>,
    /// `metadata.finalizers`.
    pub finalizers: Vec<String>,
    /// What is to be proven, and how.
    pub spec: ChallengeSpec,
    /// How far it is.
    pub status: ChallengeStatus,
}

/// How Challenges are looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ChallengeIndex {
    /// By the Order.
    Owner(OwnerKey),
    /// By the HTTP-01 token, as the responder is asked for it.
    Token(String),
    /// By the name to prove, of HTTP-01 challenges that are not over: hosts the responder serves.
    Host(String),
    /// By the issuer, of those that are not over.
    Issuer(IssuerAddress),
}

impl Facts for ChallengeFacts {
    type Object = Challenge;
    type Index = ChallengeIndex;

    fn reduce(challenge: Challenge) -> Self {
        let Challenge {
            metadata,
            spec,
            status,
        } = challenge;
        Self {
            meta: Meta::of(&metadata),
            deleted_at: metadata.deletion_timestamp.as_ref().map(|at| at.0),
            finalizers: metadata.finalizers.unwrap_or_default(),
            spec,
            status: status.unwrap_or_default(),
        }
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn indexes(&self) -> Vec<ChallengeIndex> {
        let mut indexes = Vec::from_iter(self.meta.owner().map(ChallengeIndex::Owner));
        if self.is_final() {
            return indexes;
        }
        if self.spec.type_ == ChallengeType::Http01 {
            indexes.push(ChallengeIndex::Token(self.spec.token.clone()));
            indexes.push(ChallengeIndex::Host(
                self.spec.dns_name.to_ascii_lowercase(),
            ));
        }
        let issuer = self.spec.issuer_ref.address(&self.meta.key.namespace);
        indexes.push(ChallengeIndex::Issuer(issuer));
        indexes
    }
}

impl ChallengeFacts {
    /// Whether the CA, or we, have decided.
    pub fn is_final(&self) -> bool {
        self.status.state.is_some_and(State::is_final)
    }

    /// Whether it ended without success.
    pub fn has_failed(&self) -> bool {
        self.status.state.is_some_and(State::is_failure)
    }

    /// Whether it carries the finalizer that guards its clean-up, under its present or former name.
    pub fn is_guarded(&self) -> bool {
        self.finalizers.iter().any(|name| is_ours(name))
    }

    /// Whether its proof stands in a system that garbage collection does not reach.
    pub fn is_external(&self) -> bool {
        match self.spec.type_ {
            ChallengeType::Dns01 => true,
            ChallengeType::Http01 => self.edited_ingress().is_some(),
        }
    }

    /// Whether cert-manager made it, and so perhaps a pod, a Service and an Ingress for it whose
    /// names are random: they go when it goes.
    pub fn has_foreign_route(&self) -> bool {
        let order = self.meta.controller.as_deref().unwrap_or_default();
        let number = number(order, &self.spec.authorization_url, &self.spec.url);
        self.spec.type_ == ChallengeType::Http01
            && !self.meta.key.name.ends_with(&format!("-{number}"))
    }

    /// The existing Ingress that the path is added to, if the solver names one.
    pub fn edited_ingress(&self) -> Option<&str> {
        let ingress = self.spec.solver.http01.as_ref()?.ingress.as_ref()?;
        ingress.name.as_deref().filter(|name| !name.is_empty())
    }

    /// `HTTP-01 of www.example.com`, as messages name a challenge.
    pub fn title(&self) -> String {
        let type_ = self.spec.type_.as_str();
        let prefix = if self.spec.wildcard == Some(true) {
            "*."
        } else {
            ""
        };
        format!("{type_} of {prefix}{}", self.spec.dns_name)
    }

    /// Why it failed, in one line.
    pub fn failure(&self) -> String {
        let reason = self
            .status
            .reason
            .as_deref()
            .unwrap_or("no reason was given");
        format!("{}: {reason}", self.title())
    }
}

/// What the name of a challenge that we make ends with: the same each time for the same order, by its
/// uid, authorization and challenge, by their URLs.
pub fn number(order: &str, authorization: &str, challenge: &str) -> u32 {
    number_of(&[order, authorization, challenge])
}

/// Whether a finalizer is the one of challenges, by either of its names.
pub fn is_ours(finalizer_name: &str) -> bool {
    matches!(
        finalizer_name,
        finalizer::CHALLENGE | finalizer::CHALLENGE_LEGACY
    )
}
