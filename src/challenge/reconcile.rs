//! Working on a Challenge: gather the facts, plan, act.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use serde_json::json;
use tracing::debug;

use crate::{
    api::{
        challenge::{Challenge, ChallengeStatus, ChallengeType},
        condition,
        names::{field_manager, finalizer},
        order::State,
    },
    challenge::{
        error::Error,
        facts::{ChallengeFacts, is_ours},
        plan::{self, Progress, Step},
        slots::{Group, Slots},
        solve::Solvers,
    },
    cluster::{
        Cache, Clock, Next, ObjectKey, Queue, Reconciler,
        events::Events,
        pace::Pace,
        pause::Pauses,
        write::{self, api_of},
    },
    issuer::{Issuers, Sessions},
};

/// Works on Challenges.
pub struct ChallengeReconciler {
    /// For the API server.
    pub client: Client,
    /// The time.
    pub clock: Clock,
    /// All Challenges.
    pub challenges: Arc<Cache<ChallengeFacts>>,
    /// All issuers.
    pub issuers: Issuers,
    /// Their accounts.
    pub sessions: Arc<Sessions>,
    /// What users are told.
    pub events: Events,
    /// Put proofs in place.
    pub solvers: Solvers,
    /// The queue this reconciler is driven by: for those whose turn comes.
    pub queue: Queue,
    /// Which challenges may be presented now.
    pub slots: Mutex<Slots>,
    /// How soon a check is repeated, up to [`ChallengeReconciler::check_retry`].
    pub checks: Pace,
    /// How soon the CA is asked again for what it is validating.
    pub polls: Pace,
    /// When CAs want to be asked again.
    pub pauses: Pauses,
    /// The longest pause between two checks.
    pub check_retry: Duration,
    /// What is known beside what is stored, with the uid of the Challenge that it is known of.
    pub progress: Mutex<HashMap<ObjectKey, (String, Progress)>>,
}

impl Reconciler for ChallengeReconciler {
    const NAME: &'static str = "challenges";
    type Error = Error;

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(challenge) = self.challenges.get(key) else {
            self.forget(key);
            return Ok(Next::Change);
        };
        let challenge = self.as_known(challenge);
        let worked = match plan::plan(&challenge) {
            Step::Done => {
                self.forget(key);
                Ok(Next::Change)
            }
            Step::CleanUp => self.clean_up(&challenge).await,
            Step::Present => self.present(&challenge).await,
            Step::Validate => match self.pauses.left(key, self.clock.now()) {
                Some(left) => Ok(Next::After(left)),
                None => self.validate(&challenge).await,
            },
        };
        if let Err(error) = &worked {
            self.tell(key, error).await?;
        }
        worked
    }

    fn reference(&self, key: &ObjectKey) -> Option<ObjectReference> {
        self.challenges
            .get(key)
            .map(|challenge| reference(&challenge))
    }
}

impl ChallengeReconciler {
    async fn present(&self, challenge: &ChallengeFacts) -> Result<Next, Error> {
        if let Some(why) = self.refusal(challenge) {
            self.finish(challenge, State::Errored, why).await?;
            return Ok(Next::Change);
        }
        let group = Group {
            namespace: challenge.meta.key.namespace.to_string(),
            issuer: format!(
                "{}/{}",
                challenge.spec.issuer_ref.kind_or_default(),
                challenge.spec.issuer_ref.name
            ),
        };
        if !self.slots().acquire(&challenge.meta.key, group) {
            debug!("waiting for a slot");
            return Ok(Next::Change);
        }
        if challenge.is_external() && !challenge.is_guarded() {
            self.set_finalizers(challenge, true).await?;
            // Go on with the object as it is now: its change has put it back into the queue.
            return Ok(Next::Change);
        }
        if let Err(error) = self.solvers.present(challenge).await {
            self.release(&challenge.meta.key);
            if error.is_final() {
                self.finish(challenge, State::Errored, error.to_string())
                    .await?;
                return Ok(Next::Change);
            }
            self.note(challenge, error.to_string()).await?;
            return Err(Error::Present(error));
        }
        let now = self.clock.now();
        if challenge.is_guarded() && challenge.status.reason.is_none() {
            // The finalizer says after a crash what the status would: that is stored with the
            // outcome, or when it takes longer than a moment.
            let progress = Progress {
                presented: Some(now),
                ..self.progress_of(challenge)
            };
            self.remember(challenge, progress);
            let challenge = self.as_known(Arc::new(challenge.clone()));
            return self.validate(&challenge).await;
        }
        let status = ChallengeStatus {
            presented: Some(true),
            presented_at: Some(condition::to_the_second(now)),
            processing: Some(true),
            reason: None,
            state: Some(State::Pending),
        };
        self.store(challenge, status).await?;
        Ok(Next::Change)
    }

    /// `stored`, with what is known beside it.
    fn as_known(&self, stored: Arc<ChallengeFacts>) -> Arc<ChallengeFacts> {
        match plan::presented(&stored, self.progress_of(&stored)) {
            Some(status) => Arc::new(ChallengeFacts {
                status,
                ..ChallengeFacts::clone(&stored)
            }),
            None => stored,
        }
    }

    /// Store what is known of the proof of `challenge` beside what is stored.
    pub(super) async fn keep(&self, challenge: &ChallengeFacts) -> Result<(), Error> {
        let Some(stored) = self.challenges.get(&challenge.meta.key) else {
            return Ok(());
        };
        match plan::presented(&stored, self.progress_of(&stored)) {
            Some(status) => self.store(&stored, status).await,
            None => Ok(()),
        }
    }

    /// Why this challenge may not be solved, if so.
    ///
    /// Checked again here, although only the operator may create Challenges: whoever could write
    /// one against a ClusterIssuer could use its DNS credentials.
    fn refusal(&self, challenge: &ChallengeFacts) -> Option<String> {
        if challenge.spec.type_ != ChallengeType::Dns01 {
            return None;
        }
        let namespace = &challenge.meta.key.namespace;
        // A missing issuer is said by the session, which waits for it.
        let issuer = self
            .issuers
            .lookup(&challenge.spec.issuer_ref, namespace)
            .ok()?;
        let acme = issuer.spec.acme.as_ref()?;
        let known = acme.solvers.iter().flatten();
        let wanted = &challenge.spec.solver.dns01;
        if known.into_iter().any(|solver| &solver.dns01 == wanted) {
            return None;
        }
        Some(format!("{issuer} has no such DNS-01 solver any more"))
    }

    /// Add the finalizer, or take it and its former name away; other finalizers stay.
    pub(super) async fn set_finalizers(
        &self,
        challenge: &ChallengeFacts,
        guarded: bool,
    ) -> Result<(), Error> {
        let mut finalizers = challenge.finalizers.clone();
        finalizers.retain(|name| !is_ours(name));
        if guarded {
            finalizers.push(finalizer::CHALLENGE.to_owned());
        }
        let key = &challenge.meta.key;
        // The version is that of the latest write of ours, or the patch would undo nobody's work.
        let known = self.challenges.get(key);
        let version = known
            .as_ref()
            .map_or(&challenge.meta.resource_version, |known| {
                &known.meta.resource_version
            });
        let patch = json!({"metadata": {"resourceVersion": version, "finalizers": finalizers}});
        let api = api_of::<Challenge>(&self.client, key);
        let written = write::merge_as(&api, field_manager::CHALLENGES, key, &patch).await?;
        if guarded || !challenge.meta.deleting {
            self.challenges.observe(written);
        }
        Ok(())
    }

    /// Store what keeps the challenge waiting, if that lies at the CA: the reason is where the
    /// Certificate finds it.
    async fn tell(&self, key: &ObjectKey, error: &Error) -> Result<(), Error> {
        let (Error::Ca(_) | Error::Account(_)) = error else {
            return Ok(());
        };
        // As it is after what was written in this step.
        let Some(challenge) = self.challenges.get(key) else {
            return Ok(());
        };
        let challenge = self.as_known(challenge);
        if let Error::Ca(error) = error
            && error.is_lost_account()
            && let Ok(issuer) = self
                .issuers
                .lookup(&challenge.spec.issuer_ref, &key.namespace)
        {
            self.sessions.lose_account(&issuer);
        }
        if let Error::Ca(error) = error {
            self.pauses.note(key, error.class(), self.clock.now());
        }
        // Who waits is not held up by it any more.
        self.release(key);
        self.note(&challenge, error.to_string()).await
    }

    pub(super) async fn note(&self, challenge: &ChallengeFacts, why: String) -> Result<(), Error> {
        if challenge.status.reason.as_ref() == Some(&why) {
            return Ok(());
        }
        let status = ChallengeStatus {
            reason: Some(why),
            ..challenge.status.clone()
        };
        self.store(challenge, status).await
    }

    pub(super) async fn store(
        &self,
        challenge: &ChallengeFacts,
        status: ChallengeStatus,
    ) -> Result<(), Error> {
        let key = &challenge.meta.key;
        let api = api_of::<Challenge>(&self.client, key);
        let version = &challenge.meta.resource_version;
        let stored = self.challenges.get(key);
        let old = stored
            .as_ref()
            .map_or(&challenge.status, |stored| &stored.status);
        write::patch_status(&api, &self.challenges, key, version, old, &status).await?;
        Ok(())
    }

    fn forget(&self, key: &ObjectKey) {
        self.release(key);
        self.checks.reset(key);
        self.polls.reset(key);
        self.pauses.forget(key);
        self.progress().remove(key);
    }

    pub(super) fn release(&self, key: &ObjectKey) {
        let next = self.slots().release(key);
        for key in next {
            self.queue.add(key);
        }
    }

    pub(super) fn remember(&self, challenge: &ChallengeFacts, progress: Progress) {
        let (key, uid) = (challenge.meta.key.clone(), challenge.meta.uid.clone());
        self.progress().insert(key, (uid, progress));
    }

    pub(super) fn progress_of(&self, challenge: &ChallengeFacts) -> Progress {
        match self.progress().get(&challenge.meta.key) {
            Some((uid, progress)) if *uid == challenge.meta.uid => *progress,
            _ => Progress::default(),
        }
    }

    fn progress(&self) -> MutexGuard<'_, HashMap<ObjectKey, (String, Progress)>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn reference(challenge: &ChallengeFacts) -> ObjectReference {
    challenge
        .meta
        .reference("acme.cert-manager.io/v1", "Challenge")
}
