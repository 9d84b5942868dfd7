//! Working on a Certificate: gather the facts, plan, act.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    thread::available_parallelism,
    time::Duration,
};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use tracing::debug;

use crate::{
    answers::Watches,
    api::certificate::{Certificate, CertificateStatus},
    caches::Caches,
    certificate::{
        action::Action,
        backoff,
        basis::Bases,
        error::Error,
        facts::{CertificateFacts, Settings, Situation, Write},
        gather::Known,
        keyring::KeyRing,
        passwords::Checks,
        plan::{blocked, plan, until},
        suggestion::{self, Ask, Question},
    },
    cluster::{
        Class, Clock, Next, ObjectKey, Queue, ReconcileError, Reconciler,
        events::Events,
        write::{self, api_of},
    },
    issuer::rotation::Rotations,
    request::{identity::Requester, reconcile::RequestReconciler},
    retire::Recorder,
};

/// More rounds than any Certificate takes without waiting for somebody else.
const MOST_ROUNDS: usize = 16;
/// When to look again at one that takes more.
const BREATHER: Duration = Duration::from_secs(5);

/// How requests are made, and answered where that takes no time.
pub struct Desk {
    /// Writes down what is issued.
    pub recorder: Recorder,
    /// Puts an identity on them.
    pub requester: Requester,
    /// Approves and signs them.
    pub requests: RequestReconciler,
}

/// Who has certificates renewed before their time.
pub struct Prompts {
    /// Of Certificates whose CA is to be asked when to renew them.
    pub renewal_infos: Queue,
    /// Knows whose CA changed.
    pub rotations: Arc<Rotations>,
    /// Looks at DNS while they wait after a failure.
    pub answers: Arc<Watches>,
}

/// Works on Certificates.
pub struct CertificateReconciler {
    pub(super) client: Client,
    pub(super) clock: Clock,
    pub(super) caches: Caches,
    pub(super) events: Events,
    pub(super) settings: Arc<Settings>,
    pub(super) keys: KeyRing,
    pub(super) written: Written,
    pub(super) bases: Bases,
    pub(super) checks: Checks,
    pub(super) desk: Desk,
    pub(super) rotations: Arc<Rotations>,
    /// Of Certificates whose CA is to be asked when to renew them.
    pub(super) renewal_infos: Queue,
    pub(super) answers: Arc<Watches>,
}

impl CertificateReconciler {
    /// Works on the Certificates in `caches` through `client`, and keeps them by `settings`. Makes
    /// as many private keys at once as there are cores; requests pass over `desk`.
    pub fn new(
        client: Client,
        clock: Clock,
        caches: Caches,
        events: Events,
        settings: Settings,
        desk: Desk,
        prompts: Prompts,
    ) -> Self {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        let Prompts {
            renewal_infos,
            rotations,
            answers,
        } = prompts;
        Self {
            client,
            clock,
            caches,
            events,
            settings: Arc::new(settings),
            keys: KeyRing::new(cores),
            written: Written::default(),
            bases: Bases::default(),
            checks: Checks::default(),
            desk,
            rotations,
            renewal_infos,
            answers,
        }
    }
}

/// The last writes of Secrets, by their Certificates, since the start of the process.
#[derive(Debug, Default)]
pub(super) struct Written(Mutex<HashMap<ObjectKey, Write>>);

impl Written {
    pub(super) fn get(&self, certificate: &ObjectKey) -> Option<Write> {
        let written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.get(certificate).cloned()
    }

    pub(super) fn set(&self, certificate: &ObjectKey, write: Write) {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.insert(certificate.clone(), write);
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
        let mut in_hand = None;
        for _ in 0..MOST_ROUNDS {
            let Some(certificate) = self.caches.certificates.get(key) else {
                self.written.forget(key);
                self.bases.forget(key);
                self.answers.forget(key);
                self.checks.forget(key);
                self.keys.let_go(key);
                return Ok(Next::Change);
            };
            let situation = self.gather(certificate, &mut known).await?;
            if situation.held.is_some() && in_hand.is_none() {
                in_hand = Some(
                    self.desk
                        .requests
                        .in_hand
                        .take(situation.certificate.meta.as_owner()),
                );
            }
            let plan = plan(&situation);
            if plan.actions.is_empty() {
                // Whatever goes on now goes by what is stored.
                self.keys.let_go(key);
                if situation.is_settled() {
                    self.bases.forget(key);
                    self.answers.forget(key);
                }
                if let Some(wait) = backoff::wait(&situation) {
                    self.answers.begin(key, wait);
                }
                return Ok(plan.next.sooner(self.ask(&situation)));
            }
            for action in plan.actions {
                debug!(?action, "planned");
                if let Err(error) = self.act(&situation, action, &mut known).await {
                    if error.is_end_of_namespace() {
                        // The Certificate goes too, in a moment.
                        debug!(%error, "nothing more to do");
                        return Ok(Next::Change);
                    }
                    self.tell(&situation, &error).await;
                    return Err(error);
                }
            }
        }
        Ok(Next::After(BREATHER))
    }

    fn reference(&self, key: &ObjectKey) -> Option<ObjectReference> {
        self.caches
            .certificates
            .get(key)
            .map(|facts| reference(&facts))
    }
}

impl CertificateReconciler {
    /// Have the CA asked when to renew, if it is time; answers when it will be.
    fn ask(&self, situation: &Situation) -> Next {
        let question = Question {
            certificate: &situation.certificate,
            secret: situation.secret.as_deref(),
            source: situation.source,
            now: situation.now,
        };
        match suggestion::ask(question) {
            Ask::Now => {
                self.renewal_infos
                    .add(situation.certificate.meta.key.clone());
                Next::Change
            }
            Ask::At(at) => Next::After(until(situation.now, at)),
            Ask::Never => Next::Change,
        }
    }

    /// Say on the Certificate what somebody must change; as well as can be.
    async fn tell(&self, situation: &Situation, error: &Error) {
        if !matches!(error.class(), Class::Misconfigured | Class::Refused) {
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
        status: &CertificateStatus,
    ) -> Result<(), Error> {
        let key = &certificate.meta.key;
        let api = api_of::<Certificate>(&self.client, key);
        let version = &certificate.meta.resource_version;
        let old = &certificate.status;
        write::patch_status(&api, &self.caches.certificates, key, version, old, status).await?;
        Ok(())
    }
}

/// How events refer to a Certificate.
pub(super) fn reference(certificate: &CertificateFacts) -> ObjectReference {
    certificate
        .meta
        .reference("cert-manager.io/v1", "Certificate")
}
