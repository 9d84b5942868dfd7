//! When this process is asked to stop, and how long it may take to.

use std::{future::Future, io, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long work in hand may take after the process was asked to stop.
pub const GRACE: Duration = Duration::from_secs(10);

/// What SIGTERM and SIGINT lead to; clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Cancelled by the first signal: finish what is in hand.
    pub asked: CancellationToken,
    /// Cancelled by the second one: end now.
    pub insisted: CancellationToken,
}

/// Work was not finished in the time it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not stopped within {0:?}: what is left is resumed at the next start")]
pub struct Overdue(pub Duration);

impl Shutdown {
    /// Listen for SIGTERM and SIGINT from now on.
    ///
    /// # Errors
    /// The system refuses the handlers.
    pub fn on_signal() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let this = Self::default();
        let told = this.clone();
        tokio::spawn(async move {
            for token in [told.asked, told.insisted] {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                info!(signal = name, "asked to stop");
                token.cancel();
            }
        });
        Ok(this)
    }

    /// Run `work` to its end. Once asked to stop it gets `grace` to finish, and is dropped then, or
    /// when a second signal comes.
    ///
    /// # Errors
    /// It was dropped.
    pub async fn within<F: Future>(&self, grace: Duration, work: F) -> Result<F::Output, Overdue> {
        let mut work = std::pin::pin!(work);
        tokio::select! {
            biased;
            output = &mut work => return Ok(output),
            () = self.asked.cancelled() => {}
        }
        tokio::select! {
            biased;
            output = timeout(grace, &mut work) => output.map_err(|_| Overdue(grace)),
            () = self.insisted.cancelled() => {
                warn!("second signal, not waiting any longer");
                Err(Overdue(Duration::ZERO))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_is_given_its_grace_and_no_more() {
        let shutdown = Shutdown::default();
        assert_eq!(shutdown.within(GRACE, async { 7 }).await, Ok(7));
        shutdown.asked.cancel();
        let slow = async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            8
        };
        assert_eq!(shutdown.within(GRACE, slow).await, Ok(8));
        assert_eq!(
            shutdown.within(GRACE, pending::<()>()).await,
            Err(Overdue(GRACE))
        );
        shutdown.insisted.cancel();
        assert_eq!(
            shutdown.within(GRACE, pending::<()>()).await,
            Err(Overdue(Duration::ZERO))
        );
    }
}
