//! What becomes of what the driver tells: metrics, and warnings for users.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;

use crate::cluster::{
    driver::Observer,
    events::{EventType, Events},
    metrics::Metrics,
};

/// Counts reconciles and passes warnings on.
#[derive(Clone)]
pub struct Report {
    metrics: Metrics,
    events: Events,
}

impl Report {
    /// Count in `metrics`, warn through `events`.
    pub fn new(metrics: Metrics, events: Events) -> Self {
        Self { metrics, events }
    }
}

impl Observer for Report {
    fn reconciled(&self, controller: &'static str, failed: bool, took: Duration) {
        self.metrics.reconciled(controller, failed, took);
    }

    fn backing_off(&self, controller: &'static str, objects: usize) {
        self.metrics.backing_off(controller, objects);
    }

    fn warn(&self, object: ObjectReference, reason: &'static str, message: String) {
        self.events
            .publish(object, EventType::Warning, reason, message);
    }
}
