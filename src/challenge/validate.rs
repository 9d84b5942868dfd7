//! How does a proof that is in place come to be accepted? Look at the authorization and at the proof,
//! tell the CA.

use std::{pin::pin, time::Duration};

use tokio::time::timeout;
use tracing::{debug, info};

use crate::{
    acme::{self, Session, authorization::Authorization},
    api::{
        challenge::{Challenge, ChallengeType},
        order::State,
    },
    challenge::{
        error::Error,
        facts::ChallengeFacts,
        plan::{self, Progress, Validation},
        reconcile::ChallengeReconciler,
        solve::wait_instead,
        verdict::{Verdict, state_of, verdict},
    },
    cluster::{
        Next,
        write::{self, api_of},
    },
    issuer::refusal::CaError,
};

/// How long a check may hold its slot: a server that never answers holds up only its own challenge.
const QUICK_CHECK: Duration = Duration::from_secs(1);

impl ChallengeReconciler {
    pub(super) async fn validate(&self, challenge: &ChallengeFacts) -> Result<Next, Error> {
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
                                    ..progress
                                },
                            );
                            if progress.accepted {
                                self.keep(challenge).await?;
                            }
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
                                self.keep(challenge).await?;
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
                    Some(next) => {
                        self.keep(challenge).await?;
                        return Ok(next);
                    }
                },
                Validation::Wait(left) => {
                    self.release(&challenge.meta.key);
                    self.keep(challenge).await?;
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
}
