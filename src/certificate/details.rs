//! Which annotations say on a Secret what its certificate says?

use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    api::names::annotation,
    pki::{certificate::CertificateFacts, names::Names, subject::Subject},
};

/// The annotations of a Secret that holds this certificate. The first four are there even when
/// empty, the others only when they say something.
pub fn annotations(certificate: &CertificateFacts) -> BTreeMap<&'static str, String> {
    let Subject {
        common_name,
        countries,
        organizations,
        organizational_units,
        localities,
        provinces,
        street_addresses,
        postal_codes,
        serial_number,
    } = &certificate.subject;
    let Names {
        dns,
        emails,
        ips,
        uris,
        others: _,
        unrecognized: _,
    } = &certificate.names;
    let ips: Vec<String> = ips.iter().map(address).collect();

    let mut all = BTreeMap::from([
        (annotation::COMMON_NAME, common_name.clone()),
        (annotation::ALT_NAMES, csv(dns)),
        (annotation::IP_SANS, csv(&ips)),
        (annotation::URI_SANS, csv(uris)),
    ]);
    let lists = [
        (annotation::EMAIL_SANS, emails),
        (annotation::SUBJECT_ORGANIZATIONS, organizations),
        (
            annotation::SUBJECT_ORGANIZATIONAL_UNITS,
            organizational_units,
        ),
        (annotation::SUBJECT_COUNTRIES, countries),
        (annotation::SUBJECT_PROVINCES, provinces),
        (annotation::SUBJECT_LOCALITIES, localities),
        (annotation::SUBJECT_POSTAL_CODES, postal_codes),
        (annotation::SUBJECT_STREET_ADDRESSES, street_addresses),
    ];
    for (key, values) in lists {
        if !values.is_empty() {
            all.insert(key, csv(values));
        }
    }
    if !serial_number.is_empty() {
        all.insert(annotation::SUBJECT_SERIAL_NUMBER, serial_number.clone());
    }
    all
}

/// An IP address as people write it: one mapped into IPv6 is IPv4.
fn address(ip: &IpAddr) -> String {
    ip.to_canonical().to_string()
}

/// The values as one line of CSV (RFC 4180), quoted where needed.
fn csv(values: &[String]) -> String {
    values
        .iter()
        .map(|value| field(value))
        .collect::<Vec<_>>()
        .join(",")
}

fn field(value: &str) -> String {
    let needs_quotes = value == r"\."
        || value.contains([',', '"', '\r', '\n'])
        || value.starts_with(char::is_whitespace);
    if needs_quotes {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_where_needed() {
        let table: [(&[&str], &str); 8] = [
            (&[], ""),
            (&["a"], "a"),
            (&["a", "b c"], "a,b c"),
            (&["a,b", "c"], "\"a,b\",c"),
            (&["say \"hi\""], "\"say \"\"hi\"\"\""),
            (&[" a"], "\" a\""),
            (&["a\nb"], "\"a\nb\""),
            (&[r"\."], "\"\\.\""),
        ];
        for (values, want) in table {
            let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
            assert_eq!(csv(&values), want, "{values:?}");
        }
    }

    #[test]
    fn addresses_are_written_short() {
        for (ip, want) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:0:0::1", "2001:db8::1"),
        ] {
            assert_eq!(address(&ip.parse().unwrap()), want);
        }
    }
}
