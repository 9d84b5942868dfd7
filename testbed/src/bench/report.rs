//! What does a measurement say?

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::{
    load::{Key, Kind, Load},
    requests,
    usage::Memory,
};

/// What came out; printed as one line of JSON.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// How the operator was built.
    build: &'static str,
    issuer: Kind,
    key: Key,
    certificates: usize,
    namespaces: usize,
    /// From the first create to the last Ready.
    seconds: f64,
    certificates_per_second: f64,
    /// From each create to its Ready, as a watch sees it.
    latency_ms: Latency,
    /// Requests of the operator to the API server, without its Lease.
    requests_per_certificate: f64,
    writes_per_certificate: f64,
    events_per_certificate: f64,
    /// The same by verb and resource; per certificate.
    requests: BTreeMap<String, f64>,
    cpu_ms_per_certificate: f64,
    memory_kib: MemoryReport,
    binary_kib: u64,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: u64,
    p99: u64,
    max: u64,
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

/// Of one run.
pub(super) fn report(
    load: &Load,
    seconds: f64,
    mut latencies: Vec<Duration>,
    requests: &BTreeMap<String, u64>,
    cpu: f64,
    (rest, after): (Memory, Memory),
    binary_kib: u64,
) -> Report {
    let each = |count: u64| round(count as f64 / load.n as f64);
    let sum = |wanted: &dyn Fn(&str) -> bool| {
        each(
            requests
                .iter()
                .filter(|(name, _)| wanted(name))
                .map(|(_, count)| count)
                .sum(),
        )
    };
    latencies.sort_unstable();
    let at = |share: f64| {
        let index = ((latencies.len() - 1) as f64 * share).round() as usize;
        latencies[index].as_millis() as u64
    };
    Report {
        build: if load.debug_build { "debug" } else { "release" },
        issuer: load.issuer,
        key: load.key,
        certificates: load.n,
        namespaces: load.namespaces,
        seconds: round(seconds),
        certificates_per_second: round(load.n as f64 / seconds),
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
        cpu_ms_per_certificate: round(cpu * 1000.0 / load.n as f64),
        memory_kib: MemoryReport {
            at_rest: rest.resident,
            after: after.resident,
            peak: after.peak,
        },
        binary_kib,
    }
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
