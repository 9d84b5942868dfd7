//! Is a certificate whose revocation is decided on the list of its issuer?

use crate::{
    api::condition::{self, ConditionStatus},
    crl::{
        facts::{kind_of, place_of, published_by},
        reconcile::CONDITION,
        room::SHARED,
    },
    issuer::{IssuerKind, IssuerView},
    pki::crl::SerialNumber,
    retire::{
        facts::{IssuanceFacts, Listing},
        reconcile::IssuanceReconciler,
    },
};

impl IssuanceReconciler {
    /// What the list of its issuer says of `issuance`; `None` where a CA is asked.
    pub(super) fn listing(&self, issuance: &IssuanceFacts) -> Option<Listing> {
        let key = issuance.list.as_ref()?;
        let kind = kind_of(key);
        if kind == IssuerKind::ClusterIssuer && self.namespace.is_some() {
            let why = "ClusterIssuers are not watched by this operator";
            return Some(Listing::Awaited(why.to_owned()));
        }
        let Some(issuer) = self.caches.issuers.get(kind, key) else {
            let why = format!("{kind} {key} is gone, and its revocation list with it");
            return Some(Listing::Never(why));
        };
        if published_by(&issuer).is_none() {
            let why = format!("{kind} {key} publishes no revocation list: set its spec.ca.crl");
            return Some(Listing::Never(why));
        }
        let serial = SerialNumber::from_hex(&issuance.serial);
        let stored = self.caches.lists.get(&place_of(&issuer));
        let holds = stored.is_some_and(|stored| {
            stored.meta.controller.as_ref() == Some(&issuer.uid)
                && stored
                    .list
                    .as_ref()
                    .zip(serial)
                    .is_some_and(|(list, serial)| list.entries.contains_key(&serial))
        });
        Some(match holds {
            true => Listing::Stored,
            false => Listing::Awaited(self.awaited(&issuer, &issuance.certificate.namespace)),
        })
    }

    fn awaited(&self, issuer: &IssuerView, namespace: &str) -> String {
        if self.caches.waiting.holds(&issuer.key, namespace) {
            return format!(
                "waits for room on the revocation list of {issuer}: namespace {namespace} has as many of \
                 its {SHARED} entries as it leaves to others; there is room again as what it revoked \
                 expires"
            );
        }
        waits(issuer)
    }
}

fn waits(issuer: &IssuerView) -> String {
    let said = condition::find(issuer.status.conditions.as_ref(), CONDITION);
    let problem = said.filter(|said| said.status == ConditionStatus::False);
    match problem.and_then(|said| said.message.as_deref()) {
        Some(problem) => format!("waits for the revocation list of {issuer}: {problem}"),
        None => format!("waits for the revocation list of {issuer}"),
    }
}
