//! How are the facts about a Certificate gathered? From caches, and live where those do not reach.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;

use crate::{
    api::request::CertificateRequest,
    certificate::{
        basis::{self, Anew, Basis},
        cause::{self, Chain},
        error::Error,
        facts::{CertificateFacts, CertificateIndex, Situation, Taken},
        failure::{self, Failure},
        issued::Issued,
        key,
        policy::{self, View},
        reconcile::CertificateReconciler,
        request,
        reusable::Found,
        reuse::Reuse,
        rotation,
        secret::{SecretFacts, SecretIndex},
        standing::{is_issued, is_pending, is_told},
        suggestion::Source,
    },
    challenge::facts::ChallengeIndex,
    cluster::{
        Facts, ObjectKey,
        write::{self, api_of},
    },
    issuer::{Issuers, Missing},
    order::facts::OrderIndex,
    request::facts::{RequestFacts, RequestIndex},
    retire::record::Recording,
};

/// What one reconcile has found out live.
#[derive(Default)]
pub(super) struct Known {
    /// Whether the API server said that the Secret is not there.
    is_absent: bool,
    /// What was issued, by the version of the request.
    pub(super) issued: Option<(String, Arc<Issued>)>,
    /// Names that turned out to be somebody else's.
    pub(super) taken: Taken,
    /// Why the request cannot be made.
    pub(super) unrequestable: Option<String>,
    /// Whether the request turned out to have to wait.
    pub(super) waits: bool,
    /// What is there already, and may be used again.
    pub(super) found: Option<Found>,
    /// Records whose certificate is not in the Secret where it should be.
    pub(super) refused: Vec<(ObjectKey, ObjectKey)>,
}

impl CertificateReconciler {
    /// Everything that a decision about `certificate` needs.
    pub(super) async fn gather(
        &self,
        certificate: Arc<CertificateFacts>,
        known: &mut Known,
    ) -> Result<Situation, Error> {
        let meta = &certificate.meta;
        let now = self.clock.now();
        let secret = self.target(&certificate, known).await?;
        let requests = self
            .caches
            .requests
            .find(&RequestIndex::Owner(meta.as_owner()));
        let keys: Vec<Arc<SecretFacts>> = self
            .caches
            .secrets
            .find(&SecretIndex::Owner(meta.as_owner()))
            .into_iter()
            .filter(|secret| secret.is_next_key())
            .collect();
        let sharing = self
            .caches
            .certificates
            .find(&CertificateIndex::Secret(certificate.secret()));

        let next_key = key::parameters(&certificate.spec)
            .map(|wanted| key::next_name(&certificate, wanted))
            .ok();
        let held = next_key
            .as_ref()
            .and_then(|name| self.keys.held_as(&meta.key, name))
            .map(|(held, _)| held);
        let answers_at_once = !known.waits
            && self
                .desk
                .requests
                .answers_at_once(&certificate.spec.issuer_ref, &meta.key.namespace);

        let next = requests
            .iter()
            .find(|request| request.revision() == Some(certificate.next_revision()));
        let is_open = certificate.is_issuing() || held.is_some();
        let issued = match next {
            Some(request)
                if is_issued(request) && (is_open || holds_key(secret.as_deref(), request)) =>
            {
                self.issued(request, known).await?
            }
            Some(_) | None => None,
        };
        let cause = next
            .filter(|_| certificate.is_issuing())
            .filter(|request| is_pending(request) && is_told(request, now))
            .map(|request| self.cause(request));
        let failure = next.map_or(Failure::default(), |request| self.failure(request));
        let anew = next.and_then(|request| self.anew(&certificate, request));
        let failed = certificate.status.last_failure_time.as_ref();
        let dns_changed =
            failed.and_then(|failed| self.answers.changed(&meta.key, &meta.uid, failed.0));
        let taken = self.taken(&certificate, next_key, known);
        let keystores = self.keystores(&certificate, secret.as_deref()).await?;
        let source = source(&self.caches.issuers, &certificate);
        let turn = secret
            .as_deref()
            .and_then(|secret| rotation::issued(&certificate, secret))
            .map(|(issuer, issued)| self.rotations.turn(&issuer, &meta.key, &issued, now))
            .unwrap_or_default();
        let recording = match (&issued, next) {
            (Some(issued), Some(request)) => {
                let order = OrderIndex::Owner(request.meta.as_owner());
                let is_ordered = !self.caches.orders.find_keys(&order).is_empty();
                self.desk
                    .recorder
                    .recording(&certificate, issued, is_ordered, now)
                    .await?
            }
            (None, _) | (Some(_), None) => Recording::Settled,
        };
        let recorder = &self.desk.recorder;
        recorder.answer(&certificate, secret.as_deref()).await?;
        let withdrawal = recorder.withdrawal(&certificate, secret.as_deref(), &keys);
        let misfit = policy::misfit(View {
            certificate: &certificate,
            secret: secret.as_deref(),
            current: current(&certificate, &requests),
            turn,
            withdrawal: &withdrawal,
            now,
        });
        // Looked for where it may be used, and that is seldom.
        let reuse = match misfit {
            Some(_) => {
                self.reuse(&certificate, secret.as_deref(), known, now)
                    .await?
            }
            None => Reuse::None,
        };
        Ok(Situation {
            recording,
            withdrawal,
            secret,
            keystores,
            keys,
            held,
            reuse,
            answers_at_once,
            sharing,
            taken,
            issued,
            cause,
            failure,
            anew,
            dns_changed,
            source,
            turn,
            written: self.written.get(&meta.key),
            unrequestable: known.unrequestable.clone(),
            now,
            settings: Arc::clone(&self.settings),
            requests,
            certificate,
        })
    }

    /// The Secret of `certificate`.
    async fn target(
        &self,
        certificate: &CertificateFacts,
        known: &mut Known,
    ) -> Result<Option<Arc<SecretFacts>>, Error> {
        let key = certificate.secret();
        if let Some(secret) = self.caches.secrets.get(&key) {
            return Ok(Some(secret));
        }
        // A Secret that loses or gets the label is for a moment in neither cache: what was issued
        // is not issued again on the word of a cache alone.
        let status = &certificate.status;
        let was_issued = status.revision.is_some() || status.not_after.is_some();
        if self.caches.other_secrets.get(&key).is_none() && (!was_issued || known.is_absent) {
            return Ok(None);
        }
        let secret = write::get(&api_of::<Secret>(&self.client, &key), &key).await?;
        known.is_absent = secret.is_none();
        Ok(secret.map(|secret| Arc::new(SecretFacts::reduce(secret))))
    }

    /// What the issuer answered to `request`.
    async fn issued(
        &self,
        request: &RequestFacts,
        known: &mut Known,
    ) -> Result<Option<Arc<Issued>>, Error> {
        let version = &request.meta.resource_version;
        if let Some((of, issued)) = &known.issued
            && of == version
        {
            return Ok(Some(Arc::clone(issued)));
        }
        let key = &request.meta.key;
        let api = api_of::<CertificateRequest>(&self.client, key);
        let found = write::get(&api, key).await?;
        let issued = found
            .filter(|found| found.metadata.uid.as_ref() == Some(&request.meta.uid))
            .map(|found| Arc::new(Issued::of(found)));
        known.issued = issued.clone().map(|issued| (version.clone(), issued));
        Ok(issued)
    }

    /// Which names of the next issuance are somebody else's.
    fn taken(
        &self,
        certificate: &CertificateFacts,
        next_key: Option<String>,
        known: &Known,
    ) -> Taken {
        let meta = &certificate.meta;
        let here = |name: String| ObjectKey::new(Arc::clone(&meta.key.namespace), name);
        let key = next_key.is_some_and(|name| {
            let key = here(name);
            let secret = self.caches.secrets.get(&key);
            secret.is_some_and(|secret| !is_next_key_of(&secret, certificate))
                || self.caches.other_secrets.get(&key).is_some()
        });
        let request = self
            .caches
            .requests
            .get(&here(request::name(
                &meta.key.name,
                certificate.next_revision(),
            )))
            .is_some_and(|request| request.meta.controller.as_ref() != Some(&meta.uid));
        Taken {
            key: key || known.taken.key,
            request: request || known.taken.request,
        }
    }

    /// What kind of failure that of `request` is.
    fn failure(&self, request: &RequestFacts) -> Failure {
        let owner = OrderIndex::Owner(request.meta.as_owner());
        let order = || self.caches.orders.find(&owner).into_iter().next();
        failure::of(request, order)
    }

    /// What has changed for `certificate` since the next `request` was made.
    fn anew(&self, certificate: &CertificateFacts, request: &RequestFacts) -> Option<Anew> {
        let failed = certificate.status.last_failure_time.as_ref();
        if failed.is_none() && !certificate.is_issuing() {
            return None;
        }
        let namespace = &request.meta.key.namespace;
        let issuer = self.caches.issuers.lookup(&request.issuer_ref, namespace);
        let issuer = issuer.ok()?;
        let basis = Basis::of(&issuer, |secret| self.caches.secret_version(secret));
        let key = &certificate.meta.key;
        let changed = self.bases.compare(key, &request.meta.uid, basis);
        changed.or_else(|| basis::ready_since(&issuer, failed?.0))
    }

    /// What `request` waits for.
    fn cause(&self, request: &RequestFacts) -> String {
        let namespace = &request.meta.key.namespace;
        let issuer = match self.caches.issuers.lookup(&request.issuer_ref, namespace) {
            // Who signs those says in the request what it waits for.
            Err(Missing::Foreign { .. }) => None,
            Err(missing) => Some(missing.to_string()),
            Ok(issuer) => issuer.usable().err().map(|why| why.to_string()),
        };
        let owner = OrderIndex::Owner(request.meta.as_owner());
        let order = self.caches.orders.find(&owner).into_iter().next();
        let challenges = order.as_ref().map_or_else(Vec::new, |order| {
            let owner = ChallengeIndex::Owner(order.meta.as_owner());
            self.caches.challenges.find(&owner)
        });
        let challenges: Vec<cause::Challenge<'_>> = challenges
            .iter()
            .map(|challenge| cause::Challenge {
                title: challenge.title(),
                status: &challenge.status,
            })
            .collect();
        cause::cause(&Chain {
            request,
            issuer: issuer.as_deref(),
            order: order.as_ref().map(|order| cause::Order {
                name: &order.meta.key.name,
                status: &order.status,
            }),
            challenges: &challenges,
        })
    }
}

/// The request that the key pair in the Secret of `certificate` came from.
fn current<'a>(
    certificate: &CertificateFacts,
    requests: &'a [Arc<RequestFacts>],
) -> Option<&'a RequestFacts> {
    let revision = certificate.revision()?;
    let mut requests = requests.iter().map(AsRef::as_ref);
    requests.find(|request| request.revision() == Some(revision))
}

/// Whether `secret` holds the key that `request` was made with.
fn holds_key(secret: Option<&SecretFacts>, request: &RequestFacts) -> bool {
    let key = secret.and_then(|secret| secret.key.read());
    let csr = request.csr.as_ref().ok();
    key.zip(csr)
        .is_some_and(|(key, csr)| key.public_key == csr.public_key)
}

/// Whether the issuer of `certificate` is asked when to renew.
pub(super) fn source(issuers: &Issuers, certificate: &CertificateFacts) -> Source {
    let namespace = &certificate.meta.key.namespace;
    match issuers.lookup(&certificate.spec.issuer_ref, namespace) {
        Ok(issuer) if issuer.asks_renewal_info() => Source::Asked,
        Ok(_) | Err(Missing::Foreign { .. }) => Source::NotAsked,
        Err(_) => Source::Unknown,
    }
}

/// Whether `secret` was made to hold the next key of `certificate`: its name is no proof.
pub(super) fn is_next_key_of(secret: &SecretFacts, certificate: &CertificateFacts) -> bool {
    secret.is_next_key() && secret.meta.controller.as_ref() == Some(&certificate.meta.uid)
}
