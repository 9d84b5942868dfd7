//! What does a change of the issuer's CA mean for a Certificate?

use std::sync::Arc;

use crate::{
    api::{
        names,
        reason::{certificate as reason, secret as secret_reason},
        reference::{IssuerAddress, IssuerRef},
    },
    certificate::{
        action::{Action, Content},
        facts::{CertificateFacts, CertificateIndex, Situation},
        keystores::Standing,
        policy::{self, Violation},
        secret::SecretFacts,
    },
    cluster::{Cache, ObjectKey, Queue},
    issuer::{
        IssuerKind,
        rotation::{Certificates, Issued, IssuerName, Turn},
    },
};

/// Why a new certificate is needed as the CA of `issuer` changed, if it is the Certificate's turn.
pub fn trigger(turn: Turn, issuer: &IssuerRef) -> Option<Violation> {
    (turn == Turn::Reissue).then(|| {
        Violation::new(
            reason::CA_CHANGED,
            format!(
                "Re-issuing as the CA of {} {:?} changed",
                issuer.kind_or_default(),
                issuer.name
            ),
        )
    })
}

/// Why the Secret is to be written again: others have, or get, certificates of another CA than its own,
/// or no certificate of a former CA is left.
pub fn upkeep(turn: Turn) -> Option<Violation> {
    match turn {
        Turn::None | Turn::Reissue => None,
        Turn::Extend => Some(Violation::new(
            secret_reason::ANOTHER_CA,
            "ca.crt lacks the root of another CA that certificates of the issuer are of, or will be",
        )),
        Turn::Restore => Some(Violation::new(
            secret_reason::FORMER_CA,
            "ca.crt still holds the root of a CA that no certificate of the issuer needs any more",
        )),
    }
}

/// Have the root of another CA put into `ca.crt`, also while an issuance waits or has failed: what reads
/// the Secret needs it now. Where nothing else is to be done.
pub fn extend(situation: &Situation) -> Option<Action> {
    let secret = situation.secret.as_ref()?;
    match situation.keystores {
        Standing::Fine => {}
        // The Secret cannot be written without them.
        Standing::Outdated(_) | Standing::Blocked(_) => return None,
    }
    let violation = upkeep(situation.turn).filter(|_| situation.turn == Turn::Extend)?;
    let in_vain = situation.written.as_ref().is_some_and(|written| {
        written.is_of(&situation.certificate, secret) && !written.kept_roots(secret)
    });
    (!in_vain).then_some(Action::ApplySecret(Content::Again(violation)))
}

/// The issuer that `reference` names in `namespace`, if it is one of ours.
pub fn issuer(reference: &IssuerRef, namespace: &str) -> Option<IssuerName> {
    let address = reference.address(namespace);
    let kind = match address.kind.as_str() {
        names::ISSUER_KIND => IssuerKind::Issuer,
        names::CLUSTER_ISSUER_KIND => IssuerKind::ClusterIssuer,
        _ => return None,
    };
    let name = ObjectKey::new(address.namespace, address.name);
    reference.is_ours().then_some((kind, name))
}

/// What `certificate` has from its issuer.
pub fn issued(
    certificate: &CertificateFacts,
    secret: &SecretFacts,
) -> Option<(IssuerName, Issued)> {
    let leaf = secret.leaf.read()?;
    let reference = &certificate.spec.issuer_ref;
    if leaf.is_temporary
        || certificate.meta.deleting
        || policy::incorrect_issuer(reference, secret).is_some()
    {
        return None;
    }
    let issued = Issued {
        secret: secret.meta.key.clone(),
        signed_by: secret.signed_by.clone(),
        roots: secret.roots.clone(),
        not_after: leaf.not_after,
    };
    Some((issuer(reference, &certificate.meta.key.namespace)?, issued))
}

/// All Certificates, for whoever gives them their turn.
pub struct Fleet {
    /// The Certificates.
    pub certificates: Arc<Cache<CertificateFacts>>,
    /// Their Secrets.
    pub secrets: Arc<Cache<SecretFacts>>,
    /// Wakes them.
    pub queue: Queue,
}

impl Certificates for Fleet {
    fn of(&self, (kind, name): &IssuerName) -> Vec<ObjectKey> {
        let address = IssuerAddress {
            group: names::GROUP.to_owned(),
            kind: kind.as_str().to_owned(),
            namespace: name.namespace.to_string(),
            name: name.name.to_string(),
        };
        self.certificates
            .find_keys(&CertificateIndex::Issuer(address))
    }

    fn find(&self, issuer: &IssuerName, certificate: &ObjectKey) -> Option<Issued> {
        let certificate = self.certificates.get(certificate)?;
        let secret = self.secrets.get(&certificate.secret())?;
        let (by, issued) = issued(&certificate, &secret)?;
        (by == *issuer).then_some(issued)
    }

    fn issuer_of(&self, secret: &ObjectKey) -> Option<IssuerName> {
        let index = CertificateIndex::Secret(secret.clone());
        let mut keepers = self.certificates.find(&index).into_iter();
        keepers.find_map(|keeper| issuer(&keeper.spec.issuer_ref, &secret.namespace))
    }

    fn wake(&self, certificate: &ObjectKey) {
        self.queue.add(certificate.clone());
    }
}
