//! What does a measurement say?

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::{
    ceiling::Ceiling,
    keys,
    load::{Algorithm, Kind, Load},
    requests,
    restart::Restart,
    usage::Memory,
};

/// What was seen.
pub(super) struct Run {
    /// From before the first create to the last Ready.
    pub(super) seconds: f64,
    pub(super) latencies: Vec<Duration>,
    /// Of the operator, by verb and resource.
    pub(super) requests: BTreeMap<String, u64>,
    /// Of the operator, from the first create until it came to rest.
    pub(super) cpu_seconds: f64,
    /// Of the API server and etcd, from the first create to the last Ready.
    pub(super) answering_seconds: f64,
    pub(super) rest: Memory,
    pub(super) after: Memory,
    pub(super) binary_kib: u64,
    pub(super) keys_per_second: Option<f64>,
    pub(super) ceiling: Option<Ceiling>,
    pub(super) restart: Option<Restart>,
}

/// What came out; printed as one line of JSON.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// How the operator was built.
    build: &'static str,
    issuer: Kind,
    issuers: usize,
    algorithm: Algorithm,
    certificates: usize,
    namespaces: usize,
    /// Whether each was created when the one before was ready.
    sequential: bool,
    /// Whether the bench approved, and not the operator.
    external_approver: bool,
    /// From the first create to the last Ready.
    seconds: f64,
    certificates_per_second: f64,
    /// From each create to its Ready, as a watch sees it.
    latency_ms: Latency,
    /// Requests of the operator to the API server, without its Lease.
    requests_per_certificate: f64,
    /// Those that change something, events included.
    writes_per_certificate: f64,
    events_per_certificate: f64,
    /// All requests by verb and resource; per certificate.
    requests: BTreeMap<String, f64>,
    cpu_ms_per_certificate: f64,
    /// Of the API server and etcd.
    api_server_cpu_ms_per_certificate: f64,
    memory_kib: MemoryReport,
    binary_kib: u64,
    /// RSA keys of that size that the cores generate when they do nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys_per_second: Option<f64>,
    /// Of that, what the certificates reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    share_of_keys: Option<f64>,
    /// As many keys as the cores generate while the API server and etcd do their work for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys_per_second_beside: Option<f64>,
    /// Of that, what the certificates reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    share_of_keys_beside: Option<f64>,
    /// The API server alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    ceiling: Option<Ceiling>,
    /// Of the ceiling, what the operator reaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    share_of_ceiling: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart: Option<Restart>,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: f64,
    p99: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
struct MemoryReport {
    /// Resident before the first certificate.
    at_rest: u64,
    /// Resident once all are ready and nothing more happens.
    after: u64,
    /// The most ever resident.
    peak: u64,
}

impl Report {
    /// Of one run.
    pub(super) fn new(load: &Load, run: Run) -> Self {
        let Run {
            seconds,
            mut latencies,
            requests,
            cpu_seconds,
            answering_seconds,
            rest,
            after,
            binary_kib,
            keys_per_second,
            ceiling,
            restart,
        } = run;
        let each = |count: u64| round(count as f64 / load.n as f64);
        let sum = |wanted: &dyn Fn(&str) -> bool| {
            let wanted = requests.iter().filter(|(name, _)| wanted(name));
            each(wanted.map(|(_, count)| count).sum())
        };
        latencies.sort_unstable();
        let at = |share: f64| {
            let index = (latencies.len().saturating_sub(1) as f64 * share).round() as usize;
            let latency = latencies.get(index).copied().unwrap_or_default();
            round(latency.as_secs_f64() * 1000.0)
        };
        let rate = load.n as f64 / seconds;
        let answering = answering_seconds / load.n as f64;
        let keys_beside = keys_per_second.map(|keys| keys::beside(keys, answering));
        Self {
            build: if load.debug_build { "debug" } else { "release" },
            issuer: load.issuer,
            issuers: load.issuers,
            algorithm: load.algorithm,
            certificates: load.n,
            namespaces: load.namespaces,
            sequential: load.sequential,
            external_approver: load.external_approver,
            seconds: round(seconds),
            certificates_per_second: round(rate),
            latency_ms: Latency {
                p50: at(0.5),
                p99: at(0.99),
                max: at(1.0),
            },
            requests_per_certificate: sum(&|_| true),
            writes_per_certificate: sum(&|name| requests::is_write(name)),
            events_per_certificate: sum(&|name| name.ends_with(" events")),
            requests: requests
                .iter()
                .map(|(name, count)| (name.clone(), each(*count)))
                .collect(),
            cpu_ms_per_certificate: round(cpu_seconds * 1000.0 / load.n as f64),
            api_server_cpu_ms_per_certificate: round(answering * 1000.0),
            memory_kib: MemoryReport {
                at_rest: rest.resident,
                after: after.resident,
                peak: after.peak,
            },
            binary_kib,
            keys_per_second: keys_per_second.map(round),
            share_of_keys: keys_per_second.map(|keys| round(rate / keys)),
            keys_per_second_beside: keys_beside.map(round),
            share_of_keys_beside: keys_beside.map(|keys| round(rate / keys)),
            share_of_ceiling: ceiling
                .as_ref()
                .map(|ceiling| round(rate / ceiling.certificates_per_second)),
            ceiling,
            restart,
        }
    }

    /// In words.
    pub(super) fn text(&self) -> Vec<String> {
        let Latency { p50, p99, max } = &self.latency_ms;
        let mut lines = vec![
            format!(
                "{} certificates in {} s: {}/s; latency p50 {p50} ms, p99 {p99} ms, max {max} ms",
                self.certificates, self.seconds, self.certificates_per_second
            ),
            format!(
                "each: {} writes ({} events), {} requests, {} ms CPU; API server and etcd: {} ms CPU",
                self.writes_per_certificate,
                self.events_per_certificate,
                self.requests_per_certificate,
                self.cpu_ms_per_certificate,
                self.api_server_cpu_ms_per_certificate
            ),
            format!(
                "resident: {} MiB at rest, {} MiB after, {} MiB at most",
                mib(self.memory_kib.at_rest),
                mib(self.memory_kib.after),
                mib(self.memory_kib.peak)
            ),
        ];
        if let (Some(keys), Some(share)) = (self.keys_per_second, self.share_of_keys) {
            lines.push(format!(
                "key generation alone: {keys}/s; reached: {}",
                percent(share)
            ));
        }
        if let (Some(keys), Some(share)) = (self.keys_per_second_beside, self.share_of_keys_beside)
        {
            lines.push(format!(
                "key generation beside the API server's work: {keys}/s; reached: {}",
                percent(share)
            ));
        }
        if let (Some(ceiling), Some(share)) = (&self.ceiling, self.share_of_ceiling) {
            lines.push(format!(
                "API server alone, {} writes each: {}/s; reached: {}",
                ceiling.writes,
                ceiling.certificates_per_second,
                percent(share)
            ));
        }
        if let Some(restart) = &self.restart {
            lines.push(format!(
                "restart: {} s, {} s CPU, {} MiB resident, {} MiB at most, {} writes",
                restart.seconds,
                restart.cpu_seconds,
                mib(restart.resident_kib),
                mib(restart.peak_kib),
                restart.writes
            ));
        }
        lines
    }
}

/// To two digits behind the point.
pub(super) fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn mib(kib: u64) -> f64 {
    (kib as f64 / 102.4).round() / 10.0
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}
