//! How do the orders of many certificates spread over a year? By the operator's own decisions on
//! when to renew and whether there is room for an order; no API server, and a clock that jumps.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use certwright::{
    acme::renewal::{RenewalInfo, Window},
    api::certificate::{CertificateSpec, CertificateStatus},
    certificate::{
        renewal::renewal_time,
        secret::Leaf,
        suggestion::{answered, suggestion},
    },
    issuer::limits::Limits,
    order::limits::{Account, Names},
    pki::{PublicKeyHash, names},
};
use clap::Args;
use instant_acme::Identifier;
use jiff::{SignedDuration, Timestamp};

const DAY: i64 = 24 * 60 * 60;

/// The certificates, and the year.
#[derive(Args, Clone, Debug)]
pub struct Fleet {
    /// How many certificates.
    #[arg(long, default_value_t = 100_000)]
    certificates: u32,
    /// How many days are looked at once all are issued.
    #[arg(long, default_value_t = 365)]
    days: u32,
}

/// One way that it can go.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// Days that a certificate lives.
    lifetime: i64,
    /// Whether the CA says when to renew.
    ari: bool,
    /// Whether the CA takes 300 orders in 3 h from an account, as Let's Encrypt does.
    limited: bool,
    /// The day from which on the CA does not answer, for a day.
    outage: Option<i64>,
}

/// What is counted.
#[derive(Debug, Default)]
struct Count {
    /// Orders by hour, from the first one on.
    orders: BTreeMap<i64, u32>,
    /// Orders of first certificates.
    first: u32,
    /// When the last certificate was first issued.
    complete: i64,
    /// Certificates that expired before the next one came.
    expired: u32,
}

/// Prints a table.
pub fn run(fleet: &Fleet) {
    let Fleet { certificates, days } = fleet;
    println!("{certificates} certificates, {days} days after the last of them was first issued");
    println!();
    println!(
        "| lifetime | CA | limits | all issued after | renewals | per hour: mean | p99 | peak | expired |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for case in cases() {
        println!("{}", row(case, &simulate(fleet, case)));
    }
}

fn cases() -> Vec<Case> {
    let case = |lifetime, ari, limited, outage| Case {
        lifetime,
        ari,
        limited,
        outage,
    };
    vec![
        case(90, true, true, None),
        case(90, true, false, None),
        case(90, false, false, None),
        case(90, true, true, Some(100)),
        case(45, true, true, None),
        case(45, true, true, Some(100)),
        case(6, true, true, None),
        case(6, true, true, Some(100)),
    ]
}

fn simulate(fleet: &Fleet, case: Case) -> Count {
    let limits = match case.limited {
        true => "orders=300/3h".parse().unwrap_or_default(),
        false => Limits::default(),
    };
    let (mut account, mut count) = (Account::default(), Count::default());
    let outage = case.outage.map(|day| day * DAY..(day + 1) * DAY);
    // (when, certificate, when the one that stands expires)
    let mut due: BinaryHeap<Reverse<(i64, u32, i64)>> = BinaryHeap::new();
    for certificate in 0..fleet.certificates {
        due.push(Reverse((0, certificate, i64::MAX)));
    }
    let mut end = i64::MAX;
    while let Some(Reverse((now, certificate, expires))) = due.pop() {
        if now >= end {
            break;
        }
        if let Some(outage) = &outage
            && outage.contains(&now)
        {
            due.push(Reverse((outage.end, certificate, expires)));
            continue;
        }
        let is_first = expires == i64::MAX;
        // An order that names the certificate it replaces is exempt.
        let counts = is_first || !case.ari;
        if counts && !limits.is_empty() {
            let names = names_of(certificate);
            let uid = certificate.to_string();
            if let Err(full) = account.admit(&limits, &uid, &names, at(now)) {
                due.push(Reverse((
                    second(full.at).max(now + 1),
                    certificate,
                    expires,
                )));
                continue;
            }
            account.placed(&limits, &uid, &names, at(now));
        }
        *count.orders.entry(now / 3600).or_default() += 1;
        count.expired += u32::from(now > expires);
        if is_first {
            count.first += 1;
            count.complete = now;
            if count.first == fleet.certificates {
                end = now + i64::from(fleet.days) * DAY;
            }
        }
        let (renew, expires) = next(case, certificate, now);
        due.push(Reverse((renew, certificate, expires)));
    }
    count
}

/// When a certificate that is issued now is renewed, and when it expires.
fn next(case: Case, certificate: u32, now: i64) -> (i64, i64) {
    let (from, until) = (at(now), at(now + case.lifetime * DAY));
    let leaf = Leaf {
        serial: format!("{certificate:x}{now:x}"),
        not_before: from,
        not_after: until,
        common_name: String::new(),
        names: names::Names::default(),
        public_key: PublicKeyHash::of(&certificate.to_be_bytes()),
        renewal_id: None,
        is_temporary: false,
    };
    let said = case.ari.then(|| {
        let status = CertificateStatus {
            acme: Some(answered(&window(case, until), from, 0.0)),
            ..CertificateStatus::default()
        };
        suggestion(&status, &leaf)
    });
    let renewal = renewal_time(&CertificateSpec::default(), said.flatten(), from, until);
    let renew = renewal.at.map_or(i64::MAX, second);
    (renew, second(until))
}

/// The window of Let's Encrypt: two hundredths of the lifetime, around when a third of it is left, or
/// half of it where that is short.
fn window(case: Case, until: Timestamp) -> RenewalInfo {
    let lifetime = SignedDuration::from_secs(case.lifetime * DAY);
    let left = if case.lifetime < 10 {
        lifetime / 2
    } else {
        lifetime / 3
    };
    let ideal = until - left;
    RenewalInfo::new(Window {
        start: ideal - lifetime / 100,
        end: ideal + lifetime / 100,
    })
}

fn names_of(certificate: u32) -> Names {
    Names::of(&[Identifier::Dns(format!("www.{certificate}.example"))])
}

const BEGINNING: i64 = 1_767_225_600;

/// Seconds from the beginning of the simulation.
fn second(at: Timestamp) -> i64 {
    at.as_second() - BEGINNING
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(BEGINNING + second).unwrap_or(Timestamp::MAX)
}

fn row(case: Case, count: &Count) -> String {
    let Case {
        lifetime,
        ari,
        limited,
        outage,
    } = case;
    let Count {
        orders,
        first,
        complete,
        expired,
    } = count;
    // Of the hours after the last first issuance.
    let from = complete / 3600 + 1;
    let last = orders.keys().copied().max().unwrap_or_default();
    let mut hours: Vec<u32> = (from..=last)
        .map(|hour| orders.get(&hour).copied().unwrap_or_default())
        .collect();
    hours.sort_unstable();
    let total: u64 = orders.values().map(|orders| u64::from(*orders)).sum();
    let of = |share: usize| hours.get(hours.len().saturating_sub(1) * share / 100);
    let mean = hours.iter().map(|n| u64::from(*n)).sum::<u64>() as f64 / hours.len().max(1) as f64;
    format!(
        "| {lifetime} d | {}{} | {} | {:.1} d | {} | {mean:.0} | {} | {} | {expired} |",
        if ari { "says when" } else { "says nothing" },
        outage.map_or(String::new(), |day| format!(", away on day {day}")),
        if limited { "300 in 3 h" } else { "none" },
        *complete as f64 / DAY as f64,
        total - u64::from(*first),
        of(99).copied().unwrap_or_default(),
        of(100).copied().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLEET: Fleet = Fleet {
        certificates: 500,
        days: 365,
    };

    #[test]
    fn nothing_expires_and_renewals_are_as_many_as_lifetimes_ask_for() {
        for case in cases() {
            let count = simulate(&FLEET, case);
            assert_eq!(count.first, FLEET.certificates);
            let total: u32 = count.orders.values().sum();
            let renewals = f64::from(total - count.first) / f64::from(FLEET.certificates);
            let part = if case.ari && case.lifetime < 10 {
                0.5
            } else {
                2.0 / 3.0
            };
            let want = 365.0 / (case.lifetime as f64 * part);
            assert!(
                (renewals - want).abs() <= 1.5,
                "{case:?}: {renewals}, {want}"
            );
            // A day is more than what is left of one that lives for six when it is renewed at half.
            assert_eq!(count.expired, 0, "{case:?}");
        }
    }

    #[test]
    fn limits_spread_the_first_orders() {
        let case = cases()[0];
        let count = simulate(&FLEET, case);
        // 300 at once, then one every 36 seconds.
        assert_eq!(count.complete, 200 * 36);
    }
}
