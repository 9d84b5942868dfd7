//! How many certificates may be revoked at a CA in a time?

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Revocations at one CA without a pause.
const BURST: u32 = 20;
/// The pause between two after that. Let's Encrypt allows ten a second, for all there are.
const PAUSE: Duration = Duration::from_millis(500);

/// Spreads revocations, for each CA.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When a CA will have been asked no more than it should, by its directory.
    settled: Mutex<HashMap<String, Instant>>,
}

impl Pace {
    /// Ask for a turn at the CA `server`; else how long to wait before asking again.
    pub(super) fn turn(&self, server: &str) -> Result<(), Duration> {
        let now = Instant::now();
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.retain(|_, at| *at > now);
        let at = settled.get(server).copied().unwrap_or(now).max(now);
        let full = now + PAUSE * BURST;
        if at >= full {
            return Err(at - full + PAUSE);
        }
        settled.insert(server.to_owned(), at + PAUSE);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_at_once_are_spread() {
        let pace = Pace::default();
        for _ in 0..BURST {
            assert_eq!(pace.turn("a"), Ok(()));
        }
        assert_eq!(pace.turn("a"), Err(PAUSE));
        assert_eq!(pace.turn("b"), Ok(()), "each CA by itself");
        tokio::time::advance(PAUSE).await;
        assert_eq!(pace.turn("a"), Ok(()));
        assert_eq!(pace.turn("a"), Err(PAUSE));
    }
}
