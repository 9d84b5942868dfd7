//! What this process tells Prometheus, under cert-manager's names and a few of its own.
//!
//! What happens is counted as it happens; what *is* (certificates, challenges, issuers) is read from
//! the caches when somebody asks, so that nothing is kept per object.

mod certificates;
mod objects;
mod page;
mod process;
mod summary;
mod text;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    core::Collector,
};

use self::summary::SummaryVec;
pub use self::{
    objects::{CertificateSample, ChallengeSample, IssuerSample, ListSample, Ready, Source},
    page::router,
};
use crate::cluster::{client::BeforeRequest, clock::Clock, leader::Leadership};

/// ACME servers that are told apart. Issuers name them, so anybody who may create one could make up
/// any number; the rest is counted as `other`.
const MAX_HOSTS: usize = 50;
/// ACME accounts that are told at a time, for the same reason.
const MAX_ACCOUNTS: usize = 50;

/// The `status` of an ACME request that was not answered, as in cert-manager.
const NO_RESPONSE: &str = "999";

const ACME_LABELS: [&str; 5] = ["scheme", "host", "action", "method", "status"];

/// The metrics of this process; clones count together.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    clock: Clock,
    leadership: OnceLock<Leadership>,
    source: OnceLock<Arc<dyn Source>>,
    acme_hosts: Mutex<BTreeSet<String>>,
    told_accounts: Mutex<BTreeSet<String>>,
    acme_requests: IntCounterVec,
    acme_durations: SummaryVec,
    sync_calls: IntCounterVec,
    sync_errors: IntCounterVec,
    reconcile_seconds: HistogramVec,
    backing_off: IntGaugeVec,
    invalid_objects: IntCounterVec,
    api_requests: IntCounterVec,
    events: IntCounterVec,
    revocations: IntCounterVec,
    revocation_brake: IntGauge,
    next_orders: IntGaugeVec,
    to_reissue: IntGaugeVec,
}

/// What came of a try to revoke a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationOutcome {
    /// It is revoked.
    Revoked,
    /// It was revoked before.
    Already,
    /// The CA does not know it.
    Unknown,
    /// It cannot be revoked.
    Unrevocable,
    /// To be tried again.
    Failed,
}

impl RevocationOutcome {
    fn label(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Already => "already",
            Self::Unknown => "unknown",
            Self::Unrevocable => "unrevocable",
            Self::Failed => "failed",
        }
    }
}

/// A request to an ACME server that ended.
#[derive(Clone, Copy, Debug)]
pub struct AcmeRequest<'a> {
    /// `https`, as a rule.
    pub scheme: &'a str,
    /// Host, and port where it is not the scheme's own.
    pub host: &'a str,
    /// What it was for, in a fixed set of words: `create_order`, `get_authorization`, ….
    pub action: &'static str,
    /// `GET`, `HEAD` or `POST`.
    pub method: &'a str,
    /// The HTTP status, `None` when there was no answer.
    pub status: Option<u16>,
    /// From before the request was sent to the end of the answer.
    pub took: Duration,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOutcome {
    /// Counted up in one that stands already.
    Aggregated,
    /// Not taken: too many wait, or the object had too many.
    Dropped,
    /// The API server refused it or did not answer.
    Failed,
    /// Created.
    Sent,
}

impl EventOutcome {
    fn label(self) -> &'static str {
        match self {
            Self::Aggregated => "aggregated",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
            Self::Sent => "sent",
        }
    }
}

impl Metrics {
    /// Nothing counted yet.
    ///
    /// # Errors
    /// Two metrics have one name.
    pub fn new(clock: Clock) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counters = |name, help, labels: &[&str]| {
            registered(
                &registry,
                IntCounterVec::new(Opts::new(name, help), labels)?,
            )
        };
        let inner = Inner {
            clock,
            leadership: OnceLock::new(),
            source: OnceLock::new(),
            acme_hosts: Mutex::default(),
            told_accounts: Mutex::default(),
            acme_requests: counters(
                "certmanager_http_acme_client_request_count",
                "Requests to ACME servers.",
                &ACME_LABELS,
            )?,
            acme_durations: registered(
                &registry,
                SummaryVec::new(
                    "certmanager_http_acme_client_request_duration_seconds",
                    "Duration of requests to ACME servers, over the last ten minutes.",
                    &ACME_LABELS,
                )?,
            )?,
            sync_calls: counters(
                "certmanager_controller_sync_call_count",
                "Reconciles.",
                &["controller"],
            )?,
            sync_errors: counters(
                "certmanager_controller_sync_error_count",
                "Reconciles that failed, conflicts aside.",
                &["controller"],
            )?,
            reconcile_seconds: registered(
                &registry,
                HistogramVec::new(
                    HistogramOpts::new(
                        "certwright_reconcile_duration_seconds",
                        "Duration of reconciles.",
                    )
                    .buckets(vec![0.001, 0.004, 0.016, 0.064, 0.25, 1.0, 4.0, 16.0, 60.0]),
                    &["controller"],
                )?,
            )?,
            backing_off: registered(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "certwright_backing_off_objects",
                        "Objects whose last reconcile failed.",
                    ),
                    &["controller"],
                )?,
            )?,
            invalid_objects: counters(
                "certwright_invalid_objects_total",
                "Objects passed over because they did not decode.",
                &["kind"],
            )?,
            api_requests: counters(
                "certwright_api_requests_total",
                "Requests to the API server.",
                &["method", "resource"],
            )?,
            events: counters(
                "certwright_events_total",
                "Events for users, by what became of them.",
                &["outcome"],
            )?,
            revocations: counters(
                "certwright_revocations_total",
                "Tries to revoke a certificate, by what came of them.",
                &["outcome"],
            )?,
            revocation_brake: registered(
                &registry,
                IntGauge::new(
                    "certwright_revocation_brake",
                    "Whether too many certificates were orphaned at once, so that nothing is \
                     revoked until it is confirmed.",
                )?,
            )?,
            next_orders: registered(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "certwright_acme_next_order_timestamp_seconds",
                        "When the next ACME order is allowed, of accounts whose limit is reached (50 of \
                         them at most).",
                    ),
                    &["account"],
                )?,
            )?,
            to_reissue: registered(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "certwright_certificates_to_reissue",
                        "Certificates left to be re-issued, of issuers whose CA changed.",
                    ),
                    &["kind", "namespace", "name"],
                )?,
            )?,
            registry,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Read the metrics of objects from `source` from now on; only the first call counts.
    pub fn read_objects(&self, source: Arc<dyn Source>) {
        let _ = self.inner.source.set(source);
    }

    /// Tell whether this process leads from now on; only the first call counts.
    pub fn follow(&self, leadership: Leadership) {
        let _ = self.inner.leadership.set(leadership);
    }

    /// A request to an ACME server ended.
    pub fn acme_request(&self, request: &AcmeRequest<'_>) {
        let &AcmeRequest {
            scheme,
            host,
            action,
            method,
            status,
            took,
        } = request;
        let host = self.known_host(host);
        let status = status.map_or_else(|| NO_RESPONSE.to_owned(), |status| status.to_string());
        let labels = [scheme, host, action, method, &status];
        self.inner.acme_requests.with_label_values(&labels).inc();
        self.inner.acme_durations.observe(&labels, took);
    }

    /// A reconcile of `controller` ended; conflicts do not count as failed.
    pub fn reconciled(&self, controller: &'static str, failed: bool, took: Duration) {
        let inner = &self.inner;
        inner.sync_calls.with_label_values(&[controller]).inc();
        // Made also when nothing failed, so that an alert on its rate has something to look at.
        let errors = inner.sync_errors.with_label_values(&[controller]);
        errors.inc_by(u64::from(failed));
        inner
            .reconcile_seconds
            .with_label_values(&[controller])
            .observe(took.as_secs_f64());
    }

    /// So many objects of `controller` are in back-off.
    pub fn backing_off(&self, controller: &'static str, objects: usize) {
        let gauge = self.inner.backing_off.with_label_values(&[controller]);
        gauge.set(i64::try_from(objects).unwrap_or(i64::MAX));
    }

    /// An object of `kind` did not decode.
    pub fn invalid_object(&self, kind: &str) {
        self.inner.invalid_objects.with_label_values(&[kind]).inc();
    }

    /// A try to revoke a certificate ended.
    pub fn revocation(&self, outcome: RevocationOutcome) {
        let labels = [outcome.label()];
        self.inner.revocations.with_label_values(&labels).inc();
    }

    /// Whether revocation is stopped until somebody confirms it.
    pub fn revocation_brake(&self, on: bool) {
        self.inner.revocation_brake.set(i64::from(on));
    }

    /// The next order of the ACME account is allowed then, or there is none that waits.
    pub fn next_order(&self, account: &str, at: Option<Timestamp>) {
        let gauges = &self.inner.next_orders;
        let mut told = self
            .inner
            .told_accounts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match at {
            Some(at) => {
                if !told.contains(account) {
                    if told.len() >= MAX_ACCOUNTS {
                        return;
                    }
                    told.insert(account.to_owned());
                }
                gauges.with_label_values(&[account]).set(at.as_second());
            }
            None => {
                if told.remove(account) {
                    // It is an error that there was none, and none that matters.
                    drop(gauges.remove_label_values(&[account]));
                }
            }
        }
    }

    /// So many certificates of the issuer are left to be re-issued as its CA changed.
    pub fn certificates_to_reissue(&self, kind: &str, namespace: &str, name: &str, left: usize) {
        let gauges = &self.inner.to_reissue;
        let labels = [kind, namespace, name];
        match i64::try_from(left).unwrap_or(i64::MAX) {
            // It is an error that there was none, and none that matters.
            0 => drop(gauges.remove_label_values(&labels)),
            left => gauges.with_label_values(&labels).set(left),
        }
    }

    /// The count of events with that outcome.
    pub fn events(&self, outcome: EventOutcome) -> IntCounter {
        self.inner.events.with_label_values(&[outcome.label()])
    }

    /// `host` if it is one of the first so many, `other` if not.
    fn known_host<'a>(&self, host: &'a str) -> &'a str {
        let mut hosts = self
            .inner
            .acme_hosts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if hosts.contains(host) {
            return host;
        }
        if hosts.len() >= MAX_HOSTS {
            return "other";
        }
        hosts.insert(host.to_owned());
        host
    }
}

impl BeforeRequest for Metrics {
    fn before(&self, method: &str, path: &str) {
        let resource = resource(path);
        let labels = [method, resource.as_str()];
        self.inner.api_requests.with_label_values(&labels).inc();
    }
}

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

/// The resource that a path of the API server is about, as RBAC names it:
/// `certificates.cert-manager.io/status`.
fn resource(path: &str) -> String {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let group = match parts.next() {
        Some("api") => "",
        Some("apis") => parts.next().unwrap_or_default(),
        _ => return "other".to_owned(),
    };
    let _version = parts.next();
    let rest: Vec<&str> = parts.collect();
    let (plural, subresource) = match rest.as_slice() {
        ["namespaces", _, plural, _, subresource, ..] => (*plural, Some(*subresource)),
        ["namespaces", _, plural, ..] => (*plural, None),
        [plural, _, subresource, ..] => (*plural, Some(*subresource)),
        [plural, ..] => (*plural, None),
        [] => return "other".to_owned(),
    };
    let mut resource = plural.to_owned();
    if !group.is_empty() {
        resource.push('.');
        resource.push_str(group);
    }
    if let Some(subresource) = subresource {
        resource.push('/');
        resource.push_str(subresource);
    }
    resource
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_counted_by_resource() {
        for (path, want) in [
            ("/api/v1/secrets", "secrets"),
            ("/api/v1/namespaces/a", "namespaces"),
            ("/api/v1/namespaces/a/secrets/b", "secrets"),
            (
                "/apis/cert-manager.io/v1/certificates",
                "certificates.cert-manager.io",
            ),
            (
                "/apis/cert-manager.io/v1/namespaces/a/certificates/b/status",
                "certificates.cert-manager.io/status",
            ),
            (
                "/apis/cert-manager.io/v1/clusterissuers/b/status",
                "clusterissuers.cert-manager.io/status",
            ),
            ("/version", "other"),
            ("/apis", "other"),
            ("/apis/cert-manager.io/v1", "other"),
        ] {
            assert_eq!(resource(path), want, "{path}");
        }
    }

    #[test]
    fn hosts_are_bounded() {
        let metrics = Metrics::new(Clock::default()).unwrap();
        for n in 0..MAX_HOSTS {
            let host = format!("ca{n}.example.com");
            assert_eq!(metrics.known_host(&host), host);
        }
        assert_eq!(metrics.known_host("one-more.example.com"), "other");
        assert_eq!(metrics.known_host("ca3.example.com"), "ca3.example.com");
    }

    #[test]
    fn accounts_that_wait_are_bounded() {
        let metrics = Metrics::new(Clock::default()).unwrap();
        let at = Some(Timestamp::UNIX_EPOCH);
        let account = |n: usize| format!("https://ca.example/{n}");
        let told = || metrics.inner.next_orders.collect()[0].get_metric().len();
        for n in 0..=MAX_ACCOUNTS {
            metrics.next_order(&account(n), at);
        }
        assert_eq!(told(), MAX_ACCOUNTS);
        metrics.next_order(&account(0), None);
        assert_eq!(told(), MAX_ACCOUNTS - 1);
        metrics.next_order(&account(MAX_ACCOUNTS), at);
        assert_eq!(told(), MAX_ACCOUNTS);
    }
}
