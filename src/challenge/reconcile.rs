//! Working on a Challenge: gather the facts, plan, act.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use serde_json::json;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::{
    acme::{self, Session, authorization::Authorization},
    api::{
        challenge::{Challenge, ChallengeStatus, ChallengeType},
        condition,
        names::{field_manager, finalizer},
        order::State,
        reason::acme as reason,
    },
    challenge::{
        error::{Error, SolveError},
        facts::{ChallengeFacts, is_ours},
        plan::{self, Progress, Step, Validation},
        slots::{Group, Slots},
        solve::{Solvers, wait_instead},
        verdict::{Verdict, state_of, verdict},
    },
    cluster::{
        Cache, Clock, Next, ObjectKey, Queue, Reconciler,
        events::{EventType, Events},
        pace::Pace,
        write::{self, api_of},
    },
    issuer::{Issuers, Sessions, refusal::CaError},
};

/// How long a check may hold its slot: a server that never answers holds up only its own challenge.
const QUICK_CHECK: Duration = Duration::from_secs(1);
/// How long the removal of a proof may hold up what waits for the outcome of its challenge.
const QUICK_CLEAN_UP: Duration = Duration::from_secs(5);
/// How long the removal of a proof may hold up the deletion of its challenge.
const CLEAN_UP_LIMIT: SignedDuration = SignedDuration::from_mins(10);
/// The same, when what the solver needs is gone too.
const BEREFT_CLEAN_UP_LIMIT: SignedDuration = SignedDuration::from_secs(30);

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
        let worked = match plan::plan(&challenge) {
            Step::Done => {
                self.forget(key);
                Ok(Next::Change)
            }
            Step::CleanUp => self.clean_up(&challenge).await,
            Step::Present => self.present(&challenge).await,
            Step::Validate => self.validate(&challenge).await,
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
        let status = ChallengeStatus {
            presented: Some(true),
            presented_at: Some(condition::to_the_second(self.clock.now())),
            processing: Some(true),
            reason: None,
            state: Some(State::Pending),
        };
        self.store(challenge, status).await?;
        Ok(Next::Change)
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

    async fn validate(&self, challenge: &ChallengeFacts) -> Result<Next, Error> {
        let wait = match wait_instead(challenge) {
            Ok(wait) => wait,
            Err(error) => {
                self.finish(challenge, State::Errored, error.to_string())
                    .await?;
                return Ok(Next::Change);
            }
        };
        loop {
            let progress = self.progress_of(challenge);
            match plan::validation(challenge, progress, wait, self.clock.now()) {
                Validation::Read => {
                    let session = self.session(challenge).await?;
                    let read = session
                        .authorization(&challenge.spec.authorization_url)
                        .await;
                    let Some(read) = self.judge(challenge, read).await? else {
                        return Ok(Next::Change);
                    };
                    let expires = read.expires;
                    match verdict(&read, &challenge.spec.url) {
                        Verdict::Final(state, why) => {
                            self.finish(challenge, state, why).await?;
                            return Ok(Next::Change);
                        }
                        Verdict::Validating => {
                            self.remember(
                                challenge,
                                Progress {
                                    accepted: true,
                                    read: true,
                                    expires,
                                },
                            );
                            return Ok(Next::After(self.polls.wait(&challenge.meta.key)));
                        }
                        Verdict::Pending => {
                            self.remember(
                                challenge,
                                Progress {
                                    read: true,
                                    expires,
                                    ..progress
                                },
                            );
                            if progress.accepted {
                                return Ok(Next::After(self.polls.wait(&challenge.meta.key)));
                            }
                        }
                    }
                }
                Validation::SelfCheck => match self.check(challenge).await? {
                    None => {
                        self.accept(challenge).await?;
                        return Ok(Next::After(self.polls.wait(&challenge.meta.key)));
                    }
                    Some(next) => return Ok(next),
                },
                Validation::Wait(left) => {
                    self.release(&challenge.meta.key);
                    return Ok(Next::After(left));
                }
                Validation::Accept => {
                    self.accept(challenge).await?;
                    return Ok(Next::After(self.polls.wait(&challenge.meta.key)));
                }
                Validation::GiveUp(expires) => {
                    let seen = challenge
                        .status
                        .reason
                        .as_deref()
                        .unwrap_or("it was never seen");
                    let seen = seen.split("; next check").next().unwrap_or(seen);
                    let why = format!(
                        "the proof could not be seen before the authorization ends at {}: {seen}",
                        expires.strftime("%Y-%m-%dT%H:%M:%SZ")
                    );
                    self.finish(challenge, State::Expired, why).await?;
                    return Ok(Next::Change);
                }
            }
        }
    }

    /// Check once; `None` when the proof is seen, otherwise when to check again.
    async fn check(&self, challenge: &ChallengeFacts) -> Result<Option<Next>, Error> {
        let key = &challenge.meta.key;
        let mut check = pin!(self.solvers.check(challenge));
        let checked = match timeout(QUICK_CHECK, &mut check).await {
            Ok(checked) => checked,
            Err(_) => {
                self.release(key);
                check.await
            }
        };
        let mut seen = match checked {
            Ok(None) => {
                self.checks.reset(key);
                return Ok(None);
            }
            Ok(Some(seen)) => seen,
            Err(error) => error.to_string(),
        };
        // Others need not wait for what this one waits for.
        self.release(key);
        let wait = self.checks.wait(key).min(self.check_retry);
        debug!(seen, ?wait, "proof not seen yet");
        if plan::tells(challenge, self.clock.now()) {
            if challenge.has_foreign_route() {
                // An Ingress of ours would stand behind the one whose pod does not answer: the
                // Order makes the challenge anew, and what cert-manager made goes with this one.
                info!(seen, "cert-manager's solver does not answer, made anew");
                let api = api_of::<Challenge>(&self.client, key);
                write::delete(&api, key, &challenge.meta.uid).await?;
                return Ok(Some(Next::Change));
            }
            if challenge.spec.type_ == ChallengeType::Http01 {
                // Routes may have been taken away, or lead to replicas that are gone. That they
                // cannot be renewed is no reason not to look again: they may be good.
                if let Err(error) = self.solvers.present(challenge).await {
                    seen = error.to_string();
                }
            }
            let stored = challenge.status.reason.as_deref();
            let type_ = challenge.spec.type_.as_str();
            let said = plan::waiting_reason(stored, type_, &seen, wait, self.check_retry);
            if let Some(reason) = said {
                self.note(challenge, reason).await?;
            }
        }
        Ok(Some(Next::After(wait)))
    }

    async fn accept(&self, challenge: &ChallengeFacts) -> Result<(), Error> {
        let session = self.session(challenge).await?;
        let progress = self.progress_of(challenge);
        match session.accept_challenge(&challenge.spec.url).await {
            Ok(_) => {}
            Err(error) => {
                let error = CaError::new(error, self.clock.now());
                if !error.is_refusal() {
                    return Err(error.into());
                }
                // Accepted before, perhaps, or decided meanwhile: the authorization tells.
                let read = session
                    .authorization(&challenge.spec.authorization_url)
                    .await;
                let Some(read) = self.judge(challenge, read).await? else {
                    return Ok(());
                };
                match verdict(&read, &challenge.spec.url) {
                    Verdict::Final(state, why) => {
                        return self.finish(challenge, state, why).await;
                    }
                    Verdict::Validating => {}
                    Verdict::Pending => {
                        let state = state_of(&error);
                        return self.finish(challenge, state, error.to_string()).await;
                    }
                }
            }
        }
        info!("proof in place, the CA was told");
        self.remember(
            challenge,
            Progress {
                accepted: true,
                read: true,
                ..progress
            },
        );
        Ok(())
    }

    /// The authorization that was read; `None` if the CA refused to show it, which ends the
    /// challenge.
    async fn judge(
        &self,
        challenge: &ChallengeFacts,
        read: Result<Authorization, acme::Error>,
    ) -> Result<Option<Authorization>, Error> {
        let error = match read {
            Ok(read) => return Ok(Some(read)),
            Err(error) => CaError::new(error, self.clock.now()),
        };
        if !error.is_refusal() {
            return Err(error.into());
        }
        self.finish(challenge, state_of(&error), error.to_string())
            .await?;
        Ok(None)
    }

    /// Store the outcome, with the proof taken away if that goes quickly, and let the slot go.
    async fn finish(
        &self,
        challenge: &ChallengeFacts,
        state: State,
        why: String,
    ) -> Result<(), Error> {
        self.release(&challenge.meta.key);
        if state.is_failure() {
            warn!(state = state.as_str(), why, "challenge failed");
            self.events.publish(
                reference(challenge),
                EventType::Warning,
                reason::FAILED,
                format!("{}: {why}", challenge.title()),
            );
        }
        let must_clean = challenge.status.presented == Some(true);
        let cleaned = !must_clean
            || matches!(
                timeout(QUICK_CLEAN_UP, self.solvers.clean_up(challenge)).await,
                Ok(Ok(()))
            );
        let status = ChallengeStatus {
            presented: challenge
                .status
                .presented
                .map(|presented| presented && !cleaned),
            processing: Some(false),
            reason: Some(why),
            state: Some(state),
            ..challenge.status.clone()
        };
        self.store(challenge, status).await?;
        if cleaned && challenge.is_guarded() {
            self.set_finalizers(challenge, false).await?;
        }
        Ok(())
    }

    async fn clean_up(&self, challenge: &ChallengeFacts) -> Result<Next, Error> {
        self.release(&challenge.meta.key);
        // A challenge that was never begun has no proof to take away, but a crash may have come
        // between putting it in place and storing that.
        match self.solvers.clean_up(challenge).await {
            Ok(()) => {}
            Err(error) if error.is_final() => warn!(%error, "nothing can be cleaned up"),
            Err(error) if self.is_overdue(challenge, &error) => {
                let message = format!(
                    "gave up taking the proof of {} away; remove it by hand: {error}",
                    challenge.title()
                );
                self.events.publish(
                    reference(challenge),
                    EventType::Warning,
                    reason::CLEAN_UP_ERROR,
                    message,
                );
            }
            Err(error) => return Err(Error::CleanUp(error)),
        }
        let finalizers_gone = !challenge.is_guarded();
        if !finalizers_gone {
            self.set_finalizers(challenge, false).await?;
        }
        if !challenge.meta.deleting && challenge.status.presented == Some(true) {
            let status = ChallengeStatus {
                presented: Some(false),
                processing: Some(false),
                ..challenge.status.clone()
            };
            // After the patch above the version is another: the next look stores it.
            if finalizers_gone {
                self.store(challenge, status).await?;
            }
        }
        Ok(Next::Change)
    }

    /// Whether the deletion of the challenge has waited long enough for its clean-up.
    fn is_overdue(&self, challenge: &ChallengeFacts, error: &SolveError) -> bool {
        let Some(since) = challenge.deleted_at else {
            return false;
        };
        let limit = if error.is_bereft() {
            BEREFT_CLEAN_UP_LIMIT
        } else {
            CLEAN_UP_LIMIT
        };
        since.duration_until(self.clock.now()) >= limit
    }

    async fn session(&self, challenge: &ChallengeFacts) -> Result<Session, Error> {
        let namespace = &challenge.meta.key.namespace;
        let issuer = match self.issuers.lookup(&challenge.spec.issuer_ref, namespace) {
            Ok(issuer) => issuer,
            Err(missing) => {
                self.note(challenge, missing.to_string()).await?;
                return Err(Error::Issuer(missing));
            }
        };
        Ok(self.sessions.session(&issuer).await?)
    }

    /// Add the finalizer, or take it and its former name away; other finalizers stay.
    async fn set_finalizers(&self, challenge: &ChallengeFacts, guarded: bool) -> Result<(), Error> {
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
        if let Error::Ca(error) = error
            && error.is_lost_account()
            && let Ok(issuer) = self
                .issuers
                .lookup(&challenge.spec.issuer_ref, &key.namespace)
        {
            self.sessions.lose_account(&issuer);
        }
        // Who waits is not held up by it any more.
        self.release(key);
        self.note(&challenge, error.to_string()).await
    }

    async fn note(&self, challenge: &ChallengeFacts, why: String) -> Result<(), Error> {
        if challenge.status.reason.as_ref() == Some(&why) {
            return Ok(());
        }
        let status = ChallengeStatus {
            reason: Some(why),
            ..challenge.status.clone()
        };
        self.store(challenge, status).await
    }

    async fn store(
        &self,
        challenge: &ChallengeFacts,
        status: ChallengeStatus,
    ) -> Result<(), Error> {
        let key = &challenge.meta.key;
        let api = api_of::<Challenge>(&self.client, key);
        let version = &challenge.meta.resource_version;
        let written = write::patch_status(&api, key, version, &challenge.status, &status).await?;
        if let Some(written) = written {
            self.challenges.observe(written);
        }
        Ok(())
    }

    fn forget(&self, key: &ObjectKey) {
        self.release(key);
        self.checks.reset(key);
        self.polls.reset(key);
        self.progress().remove(key);
    }

    fn release(&self, key: &ObjectKey) {
        let next = self.slots().release(key);
        for key in next {
            self.queue.add(key);
        }
    }

    fn remember(&self, challenge: &ChallengeFacts, progress: Progress) {
        let (key, uid) = (challenge.meta.key.clone(), challenge.meta.uid.clone());
        self.progress().insert(key, (uid, progress));
    }

    fn progress_of(&self, challenge: &ChallengeFacts) -> Progress {
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

fn reference(challenge: &ChallengeFacts) -> ObjectReference {
    challenge
        .meta
        .reference("acme.cert-manager.io/v1", "Challenge")
}
