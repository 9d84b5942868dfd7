//! What is counted of requests to CAs?

use std::sync::Arc;

use crate::{
    acme,
    cluster::{
        client::FaultPoint,
        metrics::{AcmeRequest, Metrics},
    },
};

/// Counts requests to CAs, and ends the process at its fault point.
pub(super) struct CaObserver {
    pub(super) metrics: Metrics,
    pub(super) fault_point: Arc<FaultPoint>,
}

impl acme::Observer for CaObserver {
    fn before_request(&self, _: acme::Action) {
        self.fault_point.pass();
    }

    fn after_request(&self, exchange: &acme::Exchange<'_>) {
        self.metrics.acme_request(&AcmeRequest {
            scheme: exchange.scheme,
            host: exchange.host,
            action: exchange.action.as_str(),
            method: exchange.method,
            status: exchange.status,
            took: exchange.duration,
        });
    }
}
