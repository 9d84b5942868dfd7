//! How does a challenge end? The outcome is stored, its proof taken away, its slot let go.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::timeout;
use tracing::warn;

use crate::{
    api::{challenge::ChallengeStatus, order::State, reason::acme as reason},
    challenge::{
        error::{Error, SolveError},
        facts::ChallengeFacts,
        reconcile::{ChallengeReconciler, reference},
    },
    cluster::{Next, events::EventType},
};

/// How long the removal of a proof may hold up what waits for the outcome of its challenge.
const QUICK_CLEAN_UP: Duration = Duration::from_secs(5);
/// How long the removal of a proof may hold up the deletion of its challenge.
const CLEAN_UP_LIMIT: SignedDuration = SignedDuration::from_mins(10);
/// The same, when what the solver needs is gone too.
const BEREFT_CLEAN_UP_LIMIT: SignedDuration = SignedDuration::from_secs(30);

impl ChallengeReconciler {
    /// Store the outcome, with the proof taken away if that goes quickly, and let the slot go.
    pub(super) async fn finish(
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

    pub(super) async fn clean_up(&self, challenge: &ChallengeFacts) -> Result<Next, Error> {
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
}
