//! When may a reconciler begin?

use std::{
    future::{Future, ready},
    sync::Arc,
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::info;

use crate::{
    caches::{Caches, Scope, Seed},
    cluster::{
        Driver, Queue, Reconciler,
        driver::{Observer, Options},
        leader::Leadership,
    },
};

/// Starts reconcilers.
pub(super) struct Starter<'a> {
    pub(super) caches: &'a Caches,
    pub(super) scope: Scope,
    pub(super) leadership: Leadership,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) tasks: &'a TaskTracker,
    pub(super) stop: &'a CancellationToken,
}

impl Starter<'_> {
    /// Have `reconciler` work on what `queue` names once this replica leads, beginning with `seed`.
    pub(super) fn start<R: Reconciler>(
        &self,
        reconciler: R,
        queue: &Queue,
        seed: Seed,
        options: Options,
    ) {
        self.start_after(ready(()), reconciler, queue, seed, options);
    }

    /// The same, after `first`.
    pub(super) fn start_after<R: Reconciler>(
        &self,
        first: impl Future<Output = ()> + Send + 'static,
        reconciler: R,
        queue: &Queue,
        seed: Seed,
        options: Options,
    ) {
        let observer = Arc::clone(&self.observer);
        let driver = Driver::new(Arc::new(reconciler), queue.clone(), observer, options);
        let (caches, scope) = (self.caches.clone(), self.scope.clone());
        let leadership = self.leadership.clone();
        let stop = self.stop.clone();
        let queue = queue.clone();
        self.tasks.spawn(async move {
            let may_begin = async {
                // A decision on half a picture could undo what is right.
                caches.synced(&scope).await;
                first.await;
                leadership.wait_leading().await
            };
            if stop.run_until_cancelled(may_begin).await == Some(true) {
                info!(controller = R::NAME, "begins");
                // In this order: what changes between is asked for by both.
                queue.open();
                seed(&queue);
                driver.run(stop).await;
            }
        });
    }
}
