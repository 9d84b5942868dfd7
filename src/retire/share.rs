//! What is written down of another Secret that holds a certificate?

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    api::{
        condition::to_the_second,
        deletion::DeletionPolicy,
        issuance::{self, CertificateRef},
    },
    cluster::ObjectKey,
    retire::facts::{Claim, Stored},
};

/// Another Secret that holds a certificate, and the Certificate that it is there for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The Secret.
    pub secret: ObjectKey,
    /// The name of the Certificate.
    pub certificate: Arc<str>,
    /// Its uid.
    pub uid: String,
    /// Since when it keeps it.
    pub since: Timestamp,
    /// What is to become of the Secret.
    pub policy: DeletionPolicy,
    /// Since when its Certificate is gone.
    pub orphaned_since: Option<Timestamp>,
}

impl Share {
    pub(super) fn of(namespace: &Arc<str>, share: issuance::Share) -> Self {
        let issuance::Share {
            certificate_ref,
            deletion_policy,
            orphaned_since,
            secret_name,
        } = share;
        Self {
            secret: ObjectKey::new(Arc::clone(namespace), secret_name),
            certificate: certificate_ref.name.into(),
            uid: certificate_ref.uid,
            since: certificate_ref.since.0,
            policy: deletion_policy,
            orphaned_since: orphaned_since.map(|time| time.0),
        }
    }

    /// As it is written down.
    pub(super) fn to_api(&self) -> issuance::Share {
        let Self {
            secret,
            certificate,
            uid,
            since,
            policy,
            orphaned_since,
        } = self;
        issuance::Share {
            certificate_ref: CertificateRef {
                name: certificate.to_string(),
                namespace: secret.namespace.to_string(),
                since: to_the_second(*since),
                uid: uid.clone(),
            },
            deletion_policy: *policy,
            orphaned_since: orphaned_since.map(to_the_second),
            secret_name: secret.name.to_string(),
        }
    }
}

/// One of the other Secrets that a certificate is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// As it is written down.
    pub share: Share,
    /// Who keeps it.
    pub claim: Claim,
    /// What the Secret holds.
    pub stored: Stored,
    /// What its Certificate said last of the policy, if it was seen going.
    pub last_policy: Option<DeletionPolicy>,
    /// Whether another program may have worked in the operator's place when its Certificate went.
    pub is_unattended: bool,
}
