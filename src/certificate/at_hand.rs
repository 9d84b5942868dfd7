//! How is a key had at hand, and a request answered with it? Nothing of the key is stored.

use std::sync::Arc;

use tracing::{debug, info};

use crate::{
    api::certificate::Certificate,
    certificate::{
        action::KeyPlace,
        error::Error,
        facts::{CertificateFacts, Held, Situation},
        gather::Known,
        issued::Issued,
        key::Source,
        reconcile::CertificateReconciler,
        secret::KeyFacts,
    },
    cluster::{
        ObjectKey,
        write::{self, api_of},
    },
    pki::key::PrivateKey,
    request::{self, at_once::Answer},
};

impl CertificateReconciler {
    /// Have the key of the next issuance at hand.
    pub(super) async fn hold_key(
        &self,
        situation: &Situation,
        name: String,
        source: Source,
        known: &Known,
    ) -> Result<(), Error> {
        let certificate = &situation.certificate;
        let secret = beside(certificate, &name);
        let key = self.key_from(certificate, &secret, source, known).await?;
        let found = known.found.as_ref().filter(|_| source == Source::Found);
        let facts = KeyFacts::of(&key).map_err(|source| Error::Key { secret, source })?;
        let held = Held {
            name,
            key: facts,
            since: situation.now,
            reused: found.map(|found| Arc::clone(&found.reused)),
        };
        self.keys.hold(&certificate.meta.key, held, key);
        Ok(())
    }

    /// The key from `source`, which `secret` holds or would hold.
    pub(super) async fn key_from(
        &self,
        certificate: &CertificateFacts,
        secret: &ObjectKey,
        source: Source,
        known: &Known,
    ) -> Result<Arc<PrivateKey>, Error> {
        match source {
            Source::Generate(parameters) => {
                let generated = self.keys.generate(parameters).await?;
                generated.map(Arc::new).map_err(|source| Error::Generate {
                    secret: secret.clone(),
                    source,
                })
            }
            Source::Reuse => self.read_key(&certificate.secret()).await.map(Arc::new),
            Source::Held => self.held(certificate, &secret.name).map(|(_, key)| key),
            Source::Found => match &known.found {
                Some(found) => Ok(Arc::clone(&found.key)),
                None => Err(Error::Gone(secret.clone())),
            },
        }
    }

    /// The key that is there.
    pub(super) async fn key_at(
        &self,
        certificate: &CertificateFacts,
        place: &KeyPlace,
    ) -> Result<Arc<PrivateKey>, Error> {
        match place {
            KeyPlace::Stored(secret) => self.next_key(secret).await,
            KeyPlace::Held(name) => self.held(certificate, name).map(|(_, key)| key),
        }
    }

    pub(super) fn held(
        &self,
        certificate: &CertificateFacts,
        name: &str,
    ) -> Result<(Held, Arc<PrivateKey>), Error> {
        let held = self.keys.held_as(&certificate.meta.key, name);
        // Crowded out by others: begun anew.
        held.ok_or_else(|| Error::Gone(beside(certificate, name)))
    }

    /// Have `request` approved and signed now, or answered with the certificate that is used again.
    pub(super) async fn answer_request(
        &self,
        certificate: &CertificateFacts,
        request: &ObjectKey,
        held: &str,
        known: &mut Known,
    ) -> Result<(), Error> {
        let (held, key) = self.held(certificate, held)?;
        let answer = match &held.reused {
            Some(reused) => self.desk.requests.hand_over(request, reused).await,
            None => self.desk.requests.answer(request, &key).await,
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(request::error::Error::Request(error)) => return Err(error.into()),
            Err(request::error::Error::Signing(error)) => {
                // Told by who works on requests, when it meets the same.
                debug!(%error, "the request has to wait");
                Answer::Waits
            }
        };
        match answer {
            Answer::Issued { chain_pem, ca_pem } => {
                let Some(facts) = self.caches.requests.get(request) else {
                    return Ok(());
                };
                if held.reused.is_none() {
                    info!(request = %request.name, "certificate issued");
                }
                let ca_pem = Some(ca_pem).filter(|pem| !pem.is_empty());
                let issuer = facts.issuer_ref.clone();
                let issued = Issued::new(request.clone(), issuer, chain_pem, ca_pem);
                let version = facts.meta.resource_version.clone();
                known.issued = Some((version, Arc::new(issued)));
            }
            Answer::Failed => {}
            Answer::Waits => known.waits = true,
        }
        Ok(())
    }

    /// A request stands that was not known of: the Certificate may have changed unnoticed too, and
    /// nothing that stands is undone on the word of a cache that lags.
    pub(super) async fn look_again(&self, certificate: &CertificateFacts) -> Result<(), Error> {
        let key = &certificate.meta.key;
        let api = api_of::<Certificate>(&self.client, key);
        match write::get(&api, key).await? {
            Some(standing) => self.caches.certificates.observe(standing),
            None => self.caches.certificates.forget(key, &certificate.meta.uid),
        }
        Ok(())
    }
}

fn beside(certificate: &CertificateFacts, name: &str) -> ObjectKey {
    ObjectKey::new(Arc::clone(&certificate.meta.key.namespace), name)
}
