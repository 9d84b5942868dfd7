//! What does an order ask for, as limits count it, and which of them does a CA speak of?

use std::{collections::BTreeSet, net::IpAddr};

use instant_acme::Identifier;

use super::What;
use crate::cluster::name::hash_of;

/// What an order asks for, as limits count it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The registered domains, addresses, and networks of addresses.
    pub(super) domains: BTreeSet<String>,
    /// What is validated: each name, of a wildcard without its prefix.
    pub(super) validated: BTreeSet<String>,
    /// One for exactly these names.
    pub(super) set: String,
}

impl Names {
    /// Those of an order.
    pub fn of(identifiers: &[Identifier]) -> Self {
        let mut all: Vec<String> = Vec::with_capacity(identifiers.len());
        let (mut domains, mut validated) = (BTreeSet::new(), BTreeSet::new());
        for identifier in identifiers {
            match identifier {
                Identifier::Dns(name) => {
                    let name = name.to_ascii_lowercase();
                    domains.insert(registered_domain(&name).to_owned());
                    validated.insert(validated_name(&name).to_owned());
                    all.push(name);
                }
                Identifier::Ip(address) => {
                    domains.insert(network(*address));
                    validated.insert(address.to_string());
                    all.push(address.to_string());
                }
                // No CA that is asked here counts others.
                _ => {}
            }
        }
        all.sort();
        all.dedup();
        Self {
            domains,
            validated,
            set: hash_of(all.join("\n").as_bytes(), 12),
        }
    }
}

impl What {
    /// Which of our limits a CA speaks of when it refuses an order for `names`. Let's Encrypt names
    /// the section of its documentation; what it does not name stays with that order.
    pub fn of_refusal(detail: &str, names: &Names) -> Option<Self> {
        if detail.contains("#new-orders-per-account") {
            return Some(Self::Orders);
        }
        if detail.contains("#new-certificates-per-exact-set-of-") {
            return Some(Self::SameNames);
        }
        let named = |name: &&String| detail.contains(&format!("\"{name}\""));
        if detail.contains("#authorization-failures-per-") {
            let name = names.validated.iter().find(named).cloned();
            return name.map(Self::Failures);
        }
        if !detail.contains("#new-certificates-per-registered-domain") {
            return None;
        }
        names.domains.iter().find(named).cloned().map(Self::Domain)
    }
}

/// The name that is validated for `name`: a wildcard is by the name it stands under.
pub(super) fn validated_name(name: &str) -> &str {
    name.strip_prefix("*.").unwrap_or(name)
}

/// The domain that a registry sold: one label above a public suffix.
fn registered_domain(name: &str) -> &str {
    let name = name.strip_prefix("*.").unwrap_or(name);
    psl::domain_str(name).unwrap_or(name)
}

/// An IPv4 address counts by itself, an IPv6 address with its /64.
fn network(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}
