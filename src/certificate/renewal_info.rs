//! Asking the CA when to renew a Certificate (ARI, RFC 9773), and storing what it says.
//!
//! Beside the Certificate's own reconcile, so that a CA that is slow or down holds up nobody: the
//! ordinary schedule stands whatever comes of this.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use tracing::debug;

use crate::{
    acme::{self, renewal::parse_identifier},
    api::{
        certificate::{AriStatus, Certificate, CertificateAcmeStatus, CertificateStatus},
        reason::certificate as reason,
    },
    certificate::{
        facts::CertificateFacts,
        gather::source,
        reconcile::reference,
        renewal::renewal_time,
        secret::{Leaf, SecretFacts},
        suggestion::{self, Ask, suggestion},
    },
    cluster::{
        Cache, Class, Clock, Next, ObjectKey, ReconcileError, Reconciler, RequestError,
        events::{EventType, Events},
        write::{self, api_of},
    },
    issuer::{Issuers, Sessions, kind::Signer},
};

/// Asks CAs when to renew Certificates.
pub struct RenewalInfoReconciler {
    /// For the API server.
    pub client: Client,
    /// The time.
    pub clock: Clock,
    /// All Certificates.
    pub certificates: Arc<Cache<CertificateFacts>>,
    /// Their Secrets.
    pub secrets: Arc<Cache<SecretFacts>>,
    /// All issuers.
    pub issuers: Issuers,
    /// For their CAs.
    pub sessions: Arc<Sessions>,
    /// What users are told.
    pub events: Events,
}

/// What the CA said could not be stored.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] RequestError);

impl ReconcileError for Error {
    fn class(&self) -> Class {
        self.0.class()
    }

    fn reason(&self) -> Option<&'static str> {
        match self.class() {
            Class::Misconfigured | Class::Refused => Some(reason::ARI_ERROR),
            Class::Conflict | Class::Transient | Class::RateLimited(_) | Class::Permanent => None,
        }
    }
}

impl Reconciler for RenewalInfoReconciler {
    const NAME: &'static str = "certificates-renewal-info";
    type Error = Error;

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(certificate) = self.certificates.get(key) else {
            return Ok(Next::Change);
        };
        let Some(secret) = self.secrets.get(&certificate.secret()) else {
            return Ok(Next::Change);
        };
        let question = suggestion::Question {
            certificate: &certificate,
            secret: Some(&secret),
            source: source(&self.issuers, &certificate),
            now: self.clock.now(),
        };
        let (Ask::Now, Some(leaf)) = (suggestion::ask(question), secret.leaf.read()) else {
            return Ok(Next::Change);
        };
        let told = self.told(&certificate, leaf).await;
        self.store(&certificate, leaf, told).await?;
        Ok(Next::Change)
    }

    fn reference(&self, key: &ObjectKey) -> Option<ObjectReference> {
        self.certificates.get(key).map(|facts| reference(&facts))
    }
}

impl RenewalInfoReconciler {
    /// What the CA says now, as it is stored.
    async fn told(&self, certificate: &CertificateFacts, leaf: &Leaf) -> CertificateAcmeStatus {
        let known = certificate.status.acme.as_ref();
        let answer = self.ask(certificate, leaf).await;
        let (now, jitter) = (self.clock.now(), jitter());
        match answer {
            Ok(info) => suggestion::answered(&info, now, jitter),
            Err(Unanswered::Ca(acme::Error::Unsupported { .. })) => suggestion::silent(now, jitter),
            Err(why) => suggestion::unanswered(known, &why.to_string(), now, jitter),
        }
    }

    async fn ask(
        &self,
        certificate: &CertificateFacts,
        leaf: &Leaf,
    ) -> Result<acme::renewal::RenewalInfo, Unanswered> {
        let namespace = &certificate.meta.key.namespace;
        let issuer = self
            .issuers
            .lookup(&certificate.spec.issuer_ref, namespace)
            .map_err(|missing| Unanswered::Issuer(missing.to_string()))?;
        let acme = match issuer.signer() {
            Ok(Signer::Acme(acme)) => acme,
            Ok(Signer::Ca(_) | Signer::SelfSigned(_)) | Err(_) => {
                return Err(Unanswered::Issuer(format!("{issuer} has no ACME server")));
            }
        };
        let client = self
            .sessions
            .client(acme)
            .map_err(|error| Unanswered::Issuer(error.to_string()))?;
        let id = leaf.renewal_id.as_deref().and_then(parse_identifier);
        let id = id.ok_or_else(|| {
            Unanswered::Issuer("the certificate does not say which key signed it".to_owned())
        })?;
        client.renewal_info(&id).await.map_err(Unanswered::Ca)
    }

    async fn store(
        &self,
        certificate: &CertificateFacts,
        leaf: &Leaf,
        told: CertificateAcmeStatus,
    ) -> Result<(), Error> {
        let mut status = CertificateStatus {
            acme: Some(told),
            ..certificate.status.clone()
        };
        let said = suggestion(&status, leaf);
        // One write says both.
        let renewal = renewal_time(&certificate.spec, said, leaf.not_before, leaf.not_after);
        status.renewal_time = renewal
            .at
            .map(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time);

        let key = &certificate.meta.key;
        let api = api_of::<Certificate>(&self.client, key);
        let version = &certificate.meta.resource_version;
        let old = &certificate.status;
        write::patch_status(&api, &self.certificates, key, version, old, &status).await?;
        self.tell(certificate, &status);
        Ok(())
    }

    /// Tell the user what is new and of use: that the CA changed its mind, or that it cannot be asked.
    fn tell(&self, certificate: &CertificateFacts, status: &CertificateStatus) {
        let before = ari(&certificate.status);
        let Some(now) = ari(status) else { return };
        if let Some(error) = &now.last_error {
            debug!(error, "the CA does not say when to renew");
            if before.and_then(|before| before.last_error.as_ref()) != Some(error) {
                let message = format!(
                    "The CA did not say when to renew: {error}; the ordinary schedule stands"
                );
                let kind = EventType::Warning;
                self.events
                    .publish(reference(certificate), kind, reason::ARI_ERROR, message);
            }
            return;
        }
        let known = before.and_then(|before| before.suggested_window.as_ref());
        let (Some(known), Some(window)) = (known, &now.suggested_window) else {
            return;
        };
        if known == window {
            return;
        }
        let mut message = format!(
            "The CA suggests renewal between {} and {}",
            window.start.0, window.end.0
        );
        if let Some(url) = &now.explanation_url {
            message.push_str(": see ");
            message.push_str(url);
        }
        self.events.publish(
            reference(certificate),
            EventType::Normal,
            reason::RENEWAL_SUGGESTED,
            message,
        );
    }
}

/// Why the CA did not answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("{0}")]
    Issuer(String),
    #[error(transparent)]
    Ca(acme::Error),
}

fn ari(status: &CertificateStatus) -> Option<&AriStatus> {
    status.acme.as_ref()?.ari.as_ref()
}

/// At random, from zero to below one; without random numbers, the middle.
fn jitter() -> f64 {
    let mut bytes = [0; 4];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_be_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
        Err(_) => 0.5,
    }
}
