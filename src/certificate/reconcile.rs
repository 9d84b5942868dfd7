//! Working on a Certificate: gather the facts, plan, act.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use tracing::debug;

use crate::{
    api::certificate::Certificate,
    certificate::{
        error::Error,
        facts::{CertificateFacts, Settings, Situation},
        gather::Known,
        keyring::KeyRing,
        plan::{Action, blocked, plan},
        secret::SecretFacts,
    },
    challenge::facts::ChallengeFacts,
    cluster::{
        Cache, Class, Clock, Next, ObjectKey, ReconcileError, Reconciler,
        events::Events,
        write::{self, api_of},
    },
    issuer::Issuers,
    order::facts::OrderFacts,
    request::facts::RequestFacts,
};

/// More rounds than any Certificate takes without waiting for somebody else.
const MOST_ROUNDS: usize = 16;
/// When to look again at one that takes more.
const BREATHER: Duration = Duration::from_secs(5);

/// Works on Certificates.
pub struct CertificateReconciler {
    /// For the API server.
    pub client: Client,
    /// The time.
    pub clock: Clock,
    /// All Certificates.
    pub certificates: Arc<Cache<CertificateFacts>>,
    /// All CertificateRequests.
    pub requests: Arc<Cache<RequestFacts>>,
    /// All Orders.
    pub orders: Arc<Cache<OrderFacts>>,
    /// All Challenges.
    pub challenges: Arc<Cache<ChallengeFacts>>,
    /// The Secrets labelled `controller.cert-manager.io/fao=true`.
    pub secrets: Arc<Cache<SecretFacts>>,
    /// Whether there is a Secret of that name without the label.
    pub has_other_secret: Box<dyn Fn(&ObjectKey) -> bool + Send + Sync>,
    /// All issuers.
    pub issuers: Issuers,
    /// What users are told.
    pub events: Events,
    /// How certificates are kept.
    pub settings: Arc<Settings>,
    /// Makes private keys.
    pub keys: KeyRing,
    /// What it wrote.
    pub written: Written,
}

/// The versions of Secrets that our own last writes made, since the start of the process.
#[derive(Debug, Default)]
pub struct Written(Mutex<HashMap<ObjectKey, String>>);

impl Written {
    pub(super) fn get(&self, certificate: &ObjectKey) -> Option<String> {
        let written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.get(certificate).cloned()
    }

    pub(super) fn set(&self, certificate: &ObjectKey, resource_version: String) {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.insert(certificate.clone(), resource_version);
    }

    fn forget(&self, certificate: &ObjectKey) {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.remove(certificate);
    }
}

impl Reconciler for CertificateReconciler {
    const NAME: &'static str = "certificates";
    type Error = Error;

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let mut known = Known::default();
        for _ in 0..MOST_ROUNDS {
            let Some(certificate) = self.certificates.get(key) else {
                self.written.forget(key);
                return Ok(Next::Change);
            };
            let situation = self.gather(certificate, &mut known).await?;
            let plan = plan(&situation);
            if plan.actions.is_empty() {
                return Ok(plan.next);
            }
            for action in plan.actions {
                debug!(?action, "planned");
                if let Err(error) = self.act(&situation, action, &mut known).await {
                    self.tell(&situation, &error).await;
                    return Err(error);
                }
            }
        }
        Ok(Next::After(BREATHER))
    }

    fn reference(&self, key: &ObjectKey) -> Option<ObjectReference> {
        self.certificates.get(key).map(|facts| reference(&facts))
    }
}

impl CertificateReconciler {
    /// Say on the Certificate what somebody must change; as well as can be.
    async fn tell(&self, situation: &Situation, error: &Error) {
        if error.class() != Class::Misconfigured {
            return;
        }
        let Some(Action::PatchStatus(status)) = blocked(situation, error.to_string()) else {
            return;
        };
        if let Err(error) = self.patch_status(&situation.certificate, &status).await {
            debug!(%error, "cannot say so on the Certificate");
        }
    }

    pub(super) async fn patch_status(
        &self,
        certificate: &CertificateFacts,
        status: &crate::api::certificate::CertificateStatus,
    ) -> Result<(), Error> {
        let key = &certificate.meta.key;
        let api = api_of::<Certificate>(&self.client, key);
        let version = &certificate.meta.resource_version;
        let written = write::patch_status(&api, key, version, &certificate.status, status).await?;
        if let Some(written) = written {
            self.certificates.observe(written);
        }
        Ok(())
    }
}

/// How events refer to a Certificate.
pub(super) fn reference(certificate: &CertificateFacts) -> ObjectReference {
    certificate
        .meta
        .reference("cert-manager.io/v1", "Certificate")
}
