//! What is kept of an Order.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;

use crate::{
    acme::ProblemType,
    api::{
        order::{Order, OrderSpec, OrderStatus, State},
        reference::IssuerAddress,
    },
    cluster::{Facts, Meta, OwnerKey},
    issuer::order_request::OrderInput,
};

/// What a CA says of what it will not do, however often it is asked.
const FOR_GOOD: [ProblemType; 6] = [
    ProblemType::BadCsr,
    ProblemType::BadPublicKey,
    ProblemType::Caa,
    ProblemType::RejectedIdentifier,
    ProblemType::UnsupportedIdentifier,
    ProblemType::UserActionRequired,
];

/// An Order, without the PEM blobs that nothing decides on.
#[derive(Clone, Debug)]
pub struct OrderFacts {
    /// Name and versions.
    pub meta: Meta,
    /// `metadata.labels`: what `matchLabels` of a solver is held against.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`: solver overrides.
    pub annotations: BTreeMap<String, String>,
    /// The spec; the request is let go once the order ended.
    pub spec: OrderSpec,
    /// The status, without the certificate.
    pub status: OrderStatus,
    /// Whether `status.certificate` is set.
    pub has_certificate: bool,
}

/// How Orders are looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OrderIndex {
    /// By its own uid: what it owns names it so.
    Uid(String),
    /// By the controller owner.
    Owner(OwnerKey),
    /// By the issuer, of those that are not over.
    Issuer(IssuerAddress),
}

impl Facts for OrderFacts {
    type Object = Order;
    type Index = OrderIndex;

    fn reduce(order: Order) -> Self {
        let Order {
            metadata,
            mut spec,
            status,
        } = order;
        let mut status = status.unwrap_or_default();
        let has_certificate = status
            .certificate
            .take()
            .is_some_and(|pem| !pem.0.is_empty());
        if status.state.is_some_and(State::is_failure) || has_certificate {
            spec.request = ByteString(Vec::new());
        }
        Self {
            meta: Meta::of(&metadata),
            labels: metadata.labels.unwrap_or_default(),
            annotations: metadata.annotations.unwrap_or_default(),
            spec,
            status,
            has_certificate,
        }
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn indexes(&self) -> Vec<OrderIndex> {
        let mut indexes = vec![OrderIndex::Uid(self.meta.uid.clone())];
        indexes.extend(self.meta.owner().map(OrderIndex::Owner));
        // Only what still has something to do cares for its issuer.
        if !self.is_over() {
            let issuer = self.spec.issuer_ref.address(&self.meta.key.namespace);
            indexes.push(OrderIndex::Issuer(issuer));
        }
        indexes
    }
}

impl OrderFacts {
    /// What its request goes by.
    pub fn input(&self) -> OrderInput<'_> {
        OrderInput {
            key: &self.meta.key,
            state: self.status.state,
            reason: self.status.reason.as_deref(),
            has_certificate: self.has_certificate,
        }
    }

    /// Whether it failed for what it asks for: the CA would refuse the same again.
    pub fn was_refused(&self) -> bool {
        let status = &self.status;
        let was_placed = status.url.as_deref().is_some_and(|url| !url.is_empty());
        let reason = status.reason.as_deref().unwrap_or_default();
        match status.state {
            Some(State::Errored) if !was_placed => true,
            Some(State::Errored | State::Invalid) => {
                // As problems are written.
                let says = |kind: &ProblemType| reason.contains(&format!("({})", kind.as_str()));
                FOR_GOOD.iter().any(says)
            }
            Some(_) | None => false,
        }
    }

    /// Whether the order ended, well or not, and nothing is left to fetch.
    pub fn is_over(&self) -> bool {
        self.status.state.is_some_and(State::is_failure) || self.has_certificate
    }
}
