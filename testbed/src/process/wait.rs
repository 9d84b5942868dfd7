//! How does one wait for a condition?

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::time;

/// Asks `probe` until it answers `Ok`, at most `within` that time. The error says what was waited
/// for and what stood in the way at last.
pub async fn until<T>(
    what: &str,
    within: Duration,
    mut probe: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let begun = time::Instant::now();
    loop {
        let left = within
            .saturating_sub(begun.elapsed())
            .max(Duration::from_millis(100));
        let error = match time::timeout(left, probe()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(_) => anyhow!("no answer"),
        };
        if begun.elapsed() >= within {
            return Err(error).with_context(|| format!("{what}: not so after {within:?}"));
        }
        time::sleep(Duration::from_millis(30)).await;
    }
}
