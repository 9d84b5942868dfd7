//! Working on an issued certificate: gather the facts, decide, act.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use tracing::{debug, info, warn};

use crate::{
    api::{
        condition::{self, ConditionStatus},
        deletion::DeletionPolicy,
        names::annotation,
    },
    caches::Caches,
    certificate::facts::{CertificateFacts, CertificateIndex},
    cluster::{
        Clock, Facts, Next, ObjectKey, Reconciler, events::Events, metrics::Metrics,
        succession::Succession,
    },
    issuer::Sessions,
    retire::{
        asker::Asker,
        departed::Departed,
        error::Error,
        escrow::LostKeys,
        facts::{
            Claim, Escrow, IssuanceFacts, IssuanceIndex, Keeper, Live, Settings, Situation, Stored,
        },
        inventory::Inventory,
        pace::Pace,
        plan::{Step, plan, recheck},
        record::ClusterId,
        share::{Share, Shared},
    },
};

/// More rounds than any certificate takes without waiting for somebody else.
const MOST_ROUNDS: usize = 12;
/// When to look again at one that takes more.
const BREATHER: Duration = Duration::from_secs(5);

/// Works on Issuances.
pub struct IssuanceReconciler {
    pub(super) client: Client,
    pub(super) clock: Clock,
    pub(super) caches: Caches,
    pub(super) events: Events,
    pub(super) metrics: Metrics,
    pub(super) sessions: Arc<Sessions>,
    pub(super) cluster: Arc<ClusterId>,
    pub(super) departed: Arc<Departed>,
    /// The only namespace that is watched, or all.
    pub(super) namespace: Option<Arc<str>>,
    /// Where records are kept.
    pub(super) issuances: Arc<str>,
    pub(super) settings: Settings,
    pub(super) pace: Pace,
    pub(super) lost_keys: LostKeys,
    succession: Succession,
    inventory: Inventory,
    /// The namespaces whose brake is on, and nobody for that of all.
    braking: Mutex<HashSet<Option<Arc<str>>>>,
}

/// What the reconciler is made of, beside what all are made of.
pub struct Place {
    /// The only namespace that is watched, or all.
    pub namespace: Option<Arc<str>>,
    /// Where records are kept.
    pub issuances: Arc<str>,
    /// Which cluster this is.
    pub cluster: Arc<ClusterId>,
    /// How long, and by what policy.
    pub settings: Settings,
    /// Who led before.
    pub succession: Succession,
}

impl IssuanceReconciler {
    /// Works on the Issuances in `caches` through `client`, and revokes by `sessions`.
    pub fn new(
        client: Client,
        clock: Clock,
        caches: Caches,
        events: Events,
        metrics: Metrics,
        sessions: Arc<Sessions>,
        place: Place,
    ) -> Self {
        let Place {
            namespace,
            issuances,
            cluster,
            settings,
            succession,
        } = place;
        Self {
            client,
            clock,
            departed: Arc::clone(&caches.departed),
            caches,
            events,
            metrics,
            sessions,
            cluster,
            namespace,
            issuances,
            settings,
            pace: Pace::default(),
            lost_keys: LostKeys::default(),
            succession,
            inventory: Inventory::default(),
            braking: Mutex::default(),
        }
    }

    async fn gather(
        &self,
        issuance: Arc<IssuanceFacts>,
        live: Option<Live>,
        live_share: Option<(ObjectKey, Live)>,
    ) -> Result<Situation, Error> {
        let cluster = self.cluster.get().await?;
        let now = self.clock.now();
        let namespace = &issuance.secret.namespace;
        let is_ours = issuance.cluster == cluster && self.is_watched(namespace);
        let ending = self
            .caches
            .namespaces
            .get(&ObjectKey::cluster(Arc::clone(namespace)))
            .is_some_and(|namespace| namespace.meta().deleting);
        let index = IssuanceIndex::CompromisedKey(issuance.public_key.clone());
        let others = self.caches.issuances.find(&index);
        let compromised_by = others
            .iter()
            .find(|other| other.meta.key != issuance.meta.key)
            .and_then(|other| Some(other.status.request.as_ref()?.by.clone()));
        Ok(Situation {
            is_ours,
            claim: self.claim(&issuance.secret, &issuance.uid),
            stored: self.stored(&issuance, &issuance.secret),
            shares: self.shares(&issuance),
            last_policy: self.last_policy(&issuance.uid, namespace),
            brake: is_ours && self.brakes(now, &cluster, namespace),
            is_unattended: self.is_unattended(&issuance.uid),
            compromised_by,
            is_namespace_ending: ending,
            escrow: if is_ours {
                self.escrow(&issuance)
            } else {
                Escrow::None
            },
            listing: self.listing(&issuance),
            live,
            live_share,
            now,
            settings: self.settings.clone(),
            issuance,
        })
    }

    fn is_watched(&self, namespace: &str) -> bool {
        self.namespace
            .as_deref()
            .is_none_or(|only| only == namespace)
    }

    fn shares(&self, issuance: &IssuanceFacts) -> Vec<Shared> {
        let shared = |share: &Share| Shared {
            claim: self.claim(&share.secret, &share.uid),
            stored: self.stored(issuance, &share.secret),
            last_policy: self.last_policy(&share.uid, &share.secret.namespace),
            is_unattended: self.is_unattended(&share.uid),
            share: share.clone(),
        };
        issuance.also_in.iter().map(shared).collect()
    }

    /// Who keeps what is in `secret`; the Certificate `uid`, if that does.
    fn claim(&self, secret: &ObjectKey, uid: &str) -> Claim {
        let certificates = &self.caches.certificates;
        let naming = certificates.find(&CertificateIndex::Secret(secret.clone()));
        let keeper = naming
            .iter()
            .find(|one| one.meta.uid == uid)
            .or_else(|| naming.first());
        if let Some(certificate) = keeper {
            return Claim::Kept(Keeper {
                name: Arc::clone(&certificate.meta.key.name),
                uid: certificate.meta.uid.clone(),
                policy: self.policy_of(certificate),
                annotation: certificate.annotations.get(annotation::REVOKE).cloned(),
                asker: Asker::of(
                    &certificate.annotations,
                    certificate.revoke_manager.as_deref(),
                    self.settings.users_are_checked,
                ),
                is_issuing: certificate.is_issuing(),
                is_ready: is_ready(certificate),
            });
        }
        let by_uid = CertificateIndex::Uid(uid.to_owned());
        match certificates.find_keys(&by_uid).is_empty() {
            true => Claim::Nobody,
            false => Claim::Elsewhere,
        }
    }

    /// Whether another program may have led when the Certificate `uid` went, if it did.
    fn is_unattended(&self, uid: &str) -> bool {
        let seen = self.departed.seen(uid);
        let is_seen = seen.is_some_and(|at| self.succession.covers(at));
        self.succession.is_unsettled() && !is_seen
    }

    async fn work(&self, key: &ObjectKey) -> Result<Next, Error> {
        let mut live = None;
        let mut live_share = None;
        for _ in 0..MOST_ROUNDS {
            let Some(issuance) = self.caches.issuances.get(key) else {
                return Ok(Next::Change);
            };
            let situation = self
                .gather(issuance, live.take(), live_share.take())
                .await?;
            let step = plan(&situation);
            debug!(?step, "planned");
            match step {
                // With time alone the brake goes too, and is to say so.
                Step::Nothing(next) if situation.brake && situation.is_orphan() => {
                    return Ok(next.sooner(Next::After(recheck(&situation))));
                }
                Step::Nothing(next) => return Ok(next),
                Step::Ask => live = Some(self.ask(&situation.issuance).await?),
                Step::AskAbout(share) => {
                    let said = self.ask_about(&situation.issuance, &share).await?;
                    live_share = Some((share.secret, said));
                }
                step => {
                    if let Some(next) = self.act(&situation, step).await? {
                        return Ok(next);
                    }
                }
            }
        }
        Ok(Next::After(BREATHER))
    }

    fn policy_of(&self, certificate: &CertificateFacts) -> Option<DeletionPolicy> {
        self.departed.policy(
            &self.caches.issuers,
            &self.settings,
            certificate.spec.deletion_policy,
            &certificate.spec.issuer_ref,
            &certificate.meta.key.namespace,
        )
    }

    fn last_policy(&self, uid: &str, namespace: &str) -> Option<DeletionPolicy> {
        let words = self.departed.last_words(uid)?;
        self.departed.policy(
            &self.caches.issuers,
            &self.settings,
            words.policy,
            &words.issuer,
            namespace,
        )
    }

    fn stored(&self, issuance: &IssuanceFacts, key: &ObjectKey) -> Stored {
        let Some(secret) = self.caches.secrets.get(key) else {
            return match self.caches.other_secrets.get(key) {
                Some(_) => Stored::Other,
                None => Stored::Gone,
            };
        };
        let is_this = secret
            .leaf
            .read()
            .is_some_and(|leaf| issuance.is_of(&leaf.serial, &leaf.public_key.to_string()));
        if is_this { Stored::This } else { Stored::Other }
    }

    /// Whether so many were orphaned at once that somebody must look first.
    fn brakes(&self, now: Timestamp, cluster: &str, namespace: &Arc<str>) -> bool {
        let delay = self.settings.delay;
        let count = self.caches.orphans.count(cluster, namespace, now, delay);
        let mut braking = self.braking.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, share) in [
            (Some(namespace), count.namespace),
            // All of them.
            (None, count.cluster),
        ] {
            let is_news = match share.brakes() {
                true => braking.insert(place.cloned()),
                false => braking.remove(&place.cloned()),
            };
            if !is_news {
                continue;
            }
            self.metrics.revocation_brake(!braking.is_empty());
            let (orphaned, limit) = (share.orphaned, share.limit);
            let place = place.map_or("all namespaces", |namespace| &**namespace);
            match share.brakes() {
                true => warn!(
                    place,
                    orphaned,
                    limit,
                    "too many certificates were orphaned at once: nothing is revoked until it is confirmed"
                ),
                false => info!(place, "revoking goes on"),
            }
        }
        count.brakes()
    }
}

impl Reconciler for IssuanceReconciler {
    const NAME: &'static str = "issuances";
    type Error = Error;

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let is_unsettled = self.succession.is_unsettled();
        if is_unsettled {
            self.inventory.begin(|| self.caches.issuances.keys());
        }
        let next = self.work(key).await?;
        if is_unsettled && self.inventory.looked_at(key) {
            self.succession.settle();
            info!("every record was looked at since another program led");
        }
        Ok(next)
    }

    fn reference(&self, key: &ObjectKey) -> Option<ObjectReference> {
        let issuance = self.caches.issuances.get(key)?;
        Some(reference(&issuance))
    }
}

fn is_ready(certificate: &CertificateFacts) -> bool {
    let ready = certificate.condition(condition::kind::READY);
    ready.is_some_and(|ready| {
        ready.status == ConditionStatus::True
            && ready.observed_generation == Some(certificate.meta.generation)
    })
}

/// How events refer to a record.
pub(super) fn reference(issuance: &IssuanceFacts) -> ObjectReference {
    issuance
        .meta
        .reference("certwright.io/v1alpha1", "Issuance")
}

impl IssuanceFacts {
    /// Whether it is the record of that certificate.
    pub(crate) fn is_of(&self, serial: &str, public_key: &str) -> bool {
        self.serial == serial && self.public_key == public_key
    }
}
