//! Which certificate that is there already fits a Certificate, and what is in its Secret?

use std::{cmp::Reverse, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use tracing::debug;

use crate::{
    api::names::secret_key,
    certificate::{
        act::entry,
        asked_for::{AskedFor, may_be_shared},
        content::Sensitive,
        error::Error,
        facts::{CertificateFacts, CertificateIndex, Reused},
        gather::Known,
        reconcile::CertificateReconciler,
        reuse::{Candidate, Reuse, is_wanted, was_deleted},
        secret::SecretFacts,
        suggestion::{Suggestion, suggestion},
    },
    cluster::{
        Facts, ObjectKey,
        write::{self, api_of},
    },
    pki::{certificate::leaf_der, key::PrivateKey},
    retire::facts::{IssuanceFacts, IssuanceIndex},
};

/// Secrets that are read in search of one that holds what its record says.
const MOST_LOOKS: usize = 3;

/// What was read of a Secret that holds a certificate which is used again.
#[derive(Clone)]
pub(super) struct Found {
    /// All but the key.
    pub(super) reused: Arc<Reused>,
    /// The key.
    pub(super) key: Arc<PrivateKey>,
}

impl CertificateReconciler {
    /// What there is that `certificate` may use again, instead of what `secret` holds.
    pub(super) async fn reuse(
        &self,
        certificate: &CertificateFacts,
        secret: Option<&SecretFacts>,
        known: &Known,
        now: Timestamp,
    ) -> Result<Reuse, Error> {
        let may = self.desk.requests.hands_over() && !known.waits && is_wanted(certificate);
        if !may || known.refused.len() >= MOST_LOOKS {
            return Ok(Reuse::None);
        }
        let records = self.records(certificate, secret);
        if records.is_empty() {
            return Ok(Reuse::None);
        }
        let cluster = self.desk.recorder.cluster.get().await?;
        let mut good: Vec<Candidate> = records
            .iter()
            .filter(|record| record.cluster == cluster)
            .flat_map(|record| self.candidates(record))
            .filter(|candidate| candidate.is_good_for(certificate, now))
            .filter(|candidate| !known.refused.contains(&place(candidate)))
            .collect();
        // The one that lives longest.
        good.sort_by_key(|one| (Reverse(one.issuance.not_after), place(one)));
        let found = known.found.as_ref().and_then(|found| {
            let place = (&found.reused.issuance, &found.reused.secret);
            good.iter()
                .position(|one| (&one.issuance.meta.key, &one.secret.meta.key) == place)
        });
        Ok(match found {
            Some(found) => Reuse::Found(Arc::new(good.swap_remove(found))),
            None => match good.into_iter().next() {
                Some(first) => Reuse::Look(Arc::new(first)),
                None => Reuse::None,
            },
        })
    }

    /// The records of what was issued for exactly what `certificate` asks for.
    fn records(
        &self,
        certificate: &CertificateFacts,
        secret: Option<&SecretFacts>,
    ) -> Vec<Arc<IssuanceFacts>> {
        let issuances = &self.caches.issuances;
        if issuances.is_empty() {
            return Vec::new();
        }
        let namespace = &certificate.meta.key.namespace;
        let issuer = self
            .caches
            .issuers
            .lookup(&certificate.spec.issuer_ref, namespace);
        let asked = issuer.ok().and_then(|i| AskedFor::of(certificate, &i));
        let Some(asked) = asked else {
            return Vec::new();
        };
        let mut records = issuances.find(&IssuanceIndex::AskedFor(Arc::clone(namespace), asked));
        // What is found may have been asked for with another hash, and have a key that others know.
        records.retain(|record| {
            let compromised = IssuanceIndex::CompromisedKey(record.public_key.clone());
            record.asked_for == Some(asked)
                && record.secret.namespace == *namespace
                && issuances.find_keys(&compromised).is_empty()
        });
        if !records.is_empty() && secret.is_none() {
            let own = issuances.find(&IssuanceIndex::Secret(certificate.secret()));
            if was_deleted(certificate, &own) {
                return Vec::new();
            }
        }
        records
    }

    /// The Secrets that hold the certificate of `record`, as the caches know.
    fn candidates(&self, record: &Arc<IssuanceFacts>) -> Vec<Candidate> {
        let candidate = |(key, _): (&ObjectKey, &str)| {
            let secret = self.caches.secrets.get(key)?;
            let index = CertificateIndex::Secret(key.clone());
            let keepers = self.caches.certificates.find(&index);
            let is_given = keepers
                .iter()
                .all(|keeper| may_be_shared(&keeper.annotations));
            is_given.then(|| Candidate {
                issuance: Arc::clone(record),
                suggestion: suggested(&keepers, &secret),
                secret,
            })
        };
        record.places().filter_map(candidate).collect()
    }

    /// Read the Secret of `candidate`, and have what it holds at hand if that is what its record says.
    pub(super) async fn inspect(
        &self,
        certificate: &CertificateFacts,
        candidate: &Candidate,
        now: Timestamp,
        known: &mut Known,
    ) -> Result<(), Error> {
        known.found = None;
        let key = &candidate.secret.meta.key;
        let secret = write::get(&api_of::<Secret>(&self.client, key), key).await?;
        let found = secret.and_then(|secret| read(certificate, candidate, secret, now));
        if found.is_none() {
            debug!(secret = %key, "it does not hold what its record says");
            known.refused.push(place(candidate));
        }
        known.found = found;
        Ok(())
    }
}

/// The record and the Secret.
fn place(candidate: &Candidate) -> (ObjectKey, ObjectKey) {
    let Candidate {
        issuance,
        secret,
        suggestion: _,
    } = candidate;
    (issuance.meta.key.clone(), secret.meta.key.clone())
}

/// When the CA wants what `secret` holds renewed, as far as those who keep it know.
fn suggested(keepers: &[Arc<CertificateFacts>], secret: &SecretFacts) -> Option<Suggestion> {
    let leaf = secret.leaf.read()?;
    let said = keepers.iter();
    said.filter_map(|keeper| suggestion(&keeper.status, leaf))
        .min_by_key(|suggestion| suggestion.at)
}

/// What `secret` holds, if it is the certificate of the record, byte for byte, and its key.
fn read(
    certificate: &CertificateFacts,
    candidate: &Candidate,
    secret: Secret,
    now: Timestamp,
) -> Option<Found> {
    let secret = Sensitive(secret);
    let as_it_is = Candidate {
        secret: Arc::new(SecretFacts::reduce(secret.0.clone())),
        ..candidate.clone()
    };
    let chain_pem = entry(&secret.0, secret_key::CERTIFICATE);
    let is_recorded = leaf_der(chain_pem).is_ok_and(|der| candidate.issuance.is_record_of(&der));
    if !is_recorded || !as_it_is.is_good_for(certificate, now) {
        return None;
    }
    let key = PrivateKey::from_pem(entry(&secret.0, secret_key::PRIVATE_KEY)).ok()?;
    let ca_pem = entry(&secret.0, secret_key::CA).to_vec();
    Some(Found {
        reused: Arc::new(Reused {
            issuance: candidate.issuance.meta.key.clone(),
            secret: candidate.secret.meta.key.clone(),
            serial: candidate.issuance.serial.clone(),
            chain_pem: chain_pem.to_vec(),
            ca_pem: Some(ca_pem).filter(|pem| !pem.is_empty()),
        }),
        key: Arc::new(key),
    })
}
