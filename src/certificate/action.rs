//! Which steps can be taken for a Certificate?

use std::sync::Arc;

use crate::{
    api::{certificate::CertificateStatus, issuance::Issuance},
    certificate::{key::Source, policy::Violation, reuse::Candidate},
    cluster::{Next, ObjectKey},
    retire::facts::IssuanceFacts,
};

pub use crate::cluster::events::Event;

/// What to do, in this order, and when to look again.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Each is one request to the API server, but for events and keys in memory.
    pub actions: Vec<Action>,
    /// When to look again if there is nothing to do.
    pub next: Next,
}

/// One step.
#[derive(Clone, Debug)]
pub enum Action {
    /// Have the key of the next issuance at hand, stored nowhere.
    HoldKey {
        /// The Secret that would hold it.
        name: String,
        /// Where the key comes from.
        source: Source,
    },
    /// Read the Secret of a certificate that may be used again.
    Inspect(Arc<Candidate>),
    /// Write down that it is used again, before it is.
    Claim(Arc<IssuanceFacts>),
    /// Store the key of the next issuance.
    CreateNextKey {
        /// Name of the Secret.
        name: String,
        /// Where the key comes from.
        source: Source,
    },
    /// Delete a Secret with the key of an issuance.
    DeleteKey {
        /// The Secret.
        key: ObjectKey,
        /// Its uid.
        uid: String,
    },
    /// Make the request for the next revision.
    CreateRequest {
        /// The revision.
        revision: i64,
        /// The key to sign it with.
        key: KeyPlace,
    },
    /// Have a request approved and signed here, now, by the key at hand.
    AnswerRequest {
        /// The request.
        key: ObjectKey,
        /// The Secret that would hold its key.
        held: String,
    },
    /// Delete a request.
    DeleteRequest {
        /// The request.
        key: ObjectKey,
        /// Its uid.
        uid: String,
    },
    /// Write down what was issued, before it is stored.
    Record(Arc<Issuance>),
    /// Write the Secret of the Certificate.
    ApplySecret(Content),
    /// Change the status to this.
    PatchStatus(Box<CertificateStatus>),
    /// Tell the user.
    Publish(Event),
}

/// Where the key of an issuance is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// In this Secret.
    Stored(ObjectKey),
    /// In memory alone; the Secret of this name would hold it.
    Held(String),
}

impl KeyPlace {
    /// The name of the Secret that holds it, or would.
    pub fn name(&self) -> &str {
        match self {
            Self::Stored(secret) => &secret.name,
            Self::Held(name) => name,
        }
    }
}

/// What the Secret of a Certificate is written with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The certificate that was issued, and its key.
    Issued {
        /// The key.
        key: KeyPlace,
    },
    /// A certificate that stands in until then, and its key from this Secret.
    Temporary {
        /// The Secret.
        key_secret: ObjectKey,
    },
    /// What it holds already, as this is missing on it.
    Again(Violation),
}

impl Plan {
    /// Nothing to do.
    pub(super) fn wait(next: Next) -> Self {
        Self {
            actions: Vec::new(),
            next,
        }
    }

    /// Do `actions`, then decide anew.
    pub(super) fn act(actions: Vec<Action>) -> Self {
        Self {
            actions,
            next: Next::Change,
        }
    }
}
