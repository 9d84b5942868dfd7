//! DNS-01: who puts the TXT record of a challenge into a zone, and can the world see it?
//!
//! Nothing here knows Kubernetes: what a provider needs is handed to it as values.

pub mod config;
pub mod propagation;
pub mod rfc2136;
pub mod tsig;

mod error;

pub use error::{Class, Error, Rejection};

use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::net::dns::{self, Name, Nameserver};

/// The first label of the record's name (RFC 8555 section 8.4).
pub const CHALLENGE_LABEL: &str = "_acme-challenge";
/// Seconds that resolvers may keep a challenge's record. The value changes with every challenge,
/// so short; some providers take no less.
pub const RECORD_TTL: u32 = 60;

/// One TXT value of one challenge. Several can stand at one name at the same time: the apex and the
/// wildcard of a domain are proved by two values of the same record set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where the value goes: `_acme-challenge.www.example.com.`, or what that is an alias of.
    pub fqdn: Name,
    /// The zone that `fqdn` is in: `example.com.`.
    pub zone: Name,
    /// base64url(SHA-256(key authorization)), 43 characters.
    pub value: String,
    /// Seconds.
    pub ttl: u32,
}

/// Puts challenge records into zones and takes them out again.
///
/// Both are idempotent, and touch only the value they are given. `now` is the wall clock, for
/// providers that sign their requests.
pub trait Provider: Send + Sync {
    /// Adds the value to the record set at `record.fqdn`, which may hold others.
    fn present<'a>(
        &'a self,
        record: &'a Record,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// Removes the value, and only it. A value that is not there is no error.
    fn clean_up<'a>(
        &'a self,
        record: &'a Record,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), Error>>;
}

/// What is done about an alias at the challenge's name before the record is written
/// (`cnameStrategy`). The propagation check follows aliases in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CnameStrategy {
    /// The record is written at the challenge's own name.
    #[default]
    None,
    /// The record is written where the aliases lead.
    Follow,
}

/// The record that proves control of `domain` (a leading `*.` is of no account): its place found
/// through `nameservers`.
///
/// # Errors
/// When the domain is no name, its aliases loop, or its zone is not found.
pub async fn locate(
    client: &dns::Client,
    nameservers: &[Nameserver],
    domain: &str,
    value: &str,
    strategy: CnameStrategy,
) -> Result<Record, Error> {
    let name = challenge_name(domain)?;
    let lookup = |source| Error::Lookup {
        name: Box::new(name.clone()),
        source,
    };
    let fqdn = match strategy {
        CnameStrategy::None => name.clone(),
        CnameStrategy::Follow => client
            .follow_cname(nameservers, &name)
            .await
            .map_err(lookup)?,
    };
    let zone = client.find_zone(nameservers, &fqdn).await.map_err(lookup)?;
    Ok(Record {
        fqdn,
        zone,
        value: value.to_owned(),
        ttl: RECORD_TTL,
    })
}

/// `_acme-challenge.` and the domain, without the `*.` of a wildcard.
///
/// # Errors
/// When `domain` is no name, or too long with the label before it.
pub fn challenge_name(domain: &str) -> Result<Name, Error> {
    let invalid = |problem: String| Error::InvalidDomain {
        domain: domain.to_owned(),
        problem,
    };
    let base = domain.strip_prefix("*.").unwrap_or(domain);
    let base = base.strip_suffix('.').unwrap_or(base);
    if base.is_empty() {
        return Err(invalid("it is empty".to_owned()));
    }
    let mut name = Name::from_ascii(format!("{CHALLENGE_LABEL}.{base}."))
        .map_err(|e| invalid(e.to_string()))?;
    name.set_fqdn(true);
    Ok(name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_of_a_domain_stands_below_it() {
        for (domain, name) in [
            ("example.com", "_acme-challenge.example.com."),
            ("*.example.com", "_acme-challenge.example.com."),
            ("WWW.Example.com.", "_acme-challenge.www.example.com."),
            ("localhost", "_acme-challenge.localhost."),
        ] {
            assert_eq!(challenge_name(domain).unwrap().to_ascii(), name, "{domain}");
        }
        for domain in ["", "*.", ".", "a..b", &format!("{}.com", "a".repeat(64))] {
            assert!(challenge_name(domain).is_err(), "{domain}");
        }
    }
}
