//! How many RSA keys can the cores generate when they do nothing else?

use std::{
    num::NonZeroUsize,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use tokio::task::JoinSet;

/// How long is measured: one key takes several times as long as another.
const TIME: Duration = Duration::from_secs(20);

/// Keys of 2048 bits per second, by the library that the operator uses as well.
pub(super) async fn rsa2048_per_second() -> Result<f64> {
    let cores = cores();
    let mut threads: JoinSet<Result<usize>> = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..cores {
        threads.spawn_blocking(move || {
            let mut made = 0;
            while begun.elapsed() < TIME {
                KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
                    .context("generating an RSA key")?;
                made += 1;
            }
            Ok(made)
        });
    }
    let made: Result<Vec<usize>> = threads.join_all().await.into_iter().collect();
    Ok(made?.into_iter().sum::<usize>() as f64 / begun.elapsed().as_secs_f64())
}

/// Of `keys` a second, as many as the cores generate while they also do `seconds` of other work for
/// each.
pub(super) fn beside(keys: f64, seconds: f64) -> f64 {
    let cores = cores() as f64;
    cores / (cores / keys + seconds)
}

fn cores() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_work_takes_its_share() {
        assert_eq!(beside(30.0, 0.0), 30.0);
        let as_dear_as_a_key = cores() as f64 / 30.0;
        assert!((beside(30.0, as_dear_as_a_key) - 15.0).abs() < 1e-9);
    }
}
