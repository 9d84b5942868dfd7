//! What do a certificate and a signing request say, read by another library than the operator's own?

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde_json::Value;
use x509_parser::{
    extensions::{GeneralName, ParsedExtension},
    prelude::{X509Certificate, X509Extension, X509Name},
};

const SAN_FIELDS: [&str; 3] = ["dnsNames", "emailAddresses", "uris"];

/// Fields of `spec.subject` in the order of cert-manager's annotations, with their OIDs.
const SUBJECT: [(&str, &str); 7] = [
    ("organizations", "2.5.4.10"),
    ("organizationalUnits", "2.5.4.11"),
    ("countries", "2.5.4.6"),
    ("provinces", "2.5.4.8"),
    ("localities", "2.5.4.7"),
    ("postalCodes", "2.5.4.17"),
    ("streetAddresses", "2.5.4.9"),
];
const COMMON_NAME: &str = "2.5.4.3";
const SERIAL_NUMBER: &str = "2.5.4.5";

/// Attributes of a `spec.literalSubject`, as far as the stories use them.
const LITERAL: [(&str, &str); 5] = [
    ("CN", COMMON_NAME),
    ("OU", "2.5.4.11"),
    ("O", "2.5.4.10"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("UID", "0.9.2342.19200300.100.1.1"),
];

/// The subject alternative names, each kind in the order in which it stands.
#[derive(Debug, Default)]
pub(crate) struct Names {
    texts: BTreeMap<&'static str, Vec<String>>,
    addresses: Vec<IpAddr>,
}

/// Their order does not count.
impl PartialEq for Names {
    fn eq(&self, other: &Self) -> bool {
        let set = |names: &Self, field: &str| -> BTreeSet<String> {
            names.text(field).iter().cloned().collect()
        };
        let addresses = |names: &Self| names.addresses.iter().copied().collect::<BTreeSet<_>>();
        let texts = |field: &&str| set(self, field) == set(other, field);
        SAN_FIELDS.iter().all(texts) && addresses(self) == addresses(other)
    }
}

impl Names {
    /// Those that `spec` asks for.
    pub(crate) fn wanted(spec: &Value) -> Self {
        let texts = SAN_FIELDS.map(|field| (field, strings(&spec[field])));
        let addresses = strings(&spec["ipAddresses"]);
        Self {
            texts: BTreeMap::from(texts),
            addresses: addresses
                .iter()
                .filter_map(|text| text.parse().ok())
                .collect(),
        }
    }

    /// Those among `extensions`.
    pub(crate) fn of<'a>(
        extensions: impl Iterator<Item = &'a ParsedExtension<'a>>,
    ) -> Result<Self> {
        let mut names = Self::default();
        for extension in extensions {
            let ParsedExtension::SubjectAlternativeName(san) = extension else {
                continue;
            };
            for name in &san.general_names {
                let (field, text) = match name {
                    GeneralName::DNSName(text) => ("dnsNames", *text),
                    GeneralName::RFC822Name(text) => ("emailAddresses", *text),
                    GeneralName::URI(text) => ("uris", *text),
                    GeneralName::IPAddress(bytes) => {
                        names.addresses.push(address(bytes)?);
                        continue;
                    }
                    other => bail!("an unexpected name: {other:?}"),
                };
                names.texts.entry(field).or_default().push(text.to_owned());
            }
        }
        Ok(names)
    }

    fn text(&self, field: &str) -> &[String] {
        self.texts.get(field).map_or(&[], Vec::as_slice)
    }
}

fn address(bytes: &[u8]) -> Result<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Ok(v4.into());
    }
    let v6 = <[u8; 16]>::try_from(bytes).context("an IP address of odd length")?;
    Ok(v6.into())
}

/// Whether `name` is the subject that `spec` asks for.
pub(crate) fn is_subject_of(name: &X509Name<'_>, spec: &Value) -> Result<bool> {
    let mut stored = attributes(name)?;
    if let Some(literal) = spec["literalSubject"].as_str() {
        return Ok(stored == literal_subject(literal)?);
    }
    let mut wanted = subject(spec);
    stored.sort();
    wanted.sort();
    Ok(stored == wanted)
}

/// The attributes of the subject that `spec` asks for field by field.
pub(crate) fn subject(spec: &Value) -> Vec<(String, String)> {
    let mut wanted = Vec::new();
    for (field, oid) in SUBJECT {
        let values = strings(&spec["subject"][field]);
        wanted.extend(values.into_iter().map(|value| (oid.to_owned(), value)));
    }
    for (value, oid) in [
        (&spec["commonName"], COMMON_NAME),
        (&spec["subject"]["serialNumber"], SERIAL_NUMBER),
    ] {
        wanted.extend(value.as_str().map(|text| (oid.to_owned(), text.to_owned())));
    }
    wanted
}

/// The attributes of a literal subject, in the order in which a certificate has them: the other way
/// round.
pub(crate) fn literal_subject(literal: &str) -> Result<Vec<(String, String)>> {
    let pairs = literal.split(',').rev().map(|part| {
        let (key, value) = part.split_once('=').context("no value")?;
        let known = LITERAL.iter().find(|(name, _)| *name == key);
        let (_, oid) = known.with_context(|| format!("unknown attribute {key}"))?;
        Ok(((*oid).to_owned(), value.to_owned()))
    });
    pairs.collect()
}

fn attributes(name: &X509Name<'_>) -> Result<Vec<(String, String)>> {
    let pairs = name.iter_attributes().map(|attribute| {
        let value = attribute.as_str()?;
        Ok((attribute.attr_type().to_id_string(), value.to_owned()))
    });
    pairs.collect()
}

/// What cert-manager writes on the Secret about the certificate in it.
pub(crate) fn details(leaf: &X509Certificate<'_>) -> Result<BTreeMap<String, String>> {
    let names = Names::of(
        leaf.extensions()
            .iter()
            .map(X509Extension::parsed_extension),
    )?;
    let subject = attributes(leaf.subject())?;
    let of = |oid: &str| -> Vec<String> {
        let values = subject.iter().filter(|(known, _)| known == oid);
        values.map(|(_, value)| value.clone()).collect()
    };
    let addresses: Vec<_> = names.addresses.iter().map(ToString::to_string).collect();
    let mut details = BTreeMap::from([
        ("common-name", of(COMMON_NAME).join("")),
        ("alt-names", csv(names.text("dnsNames"))),
        ("ip-sans", csv(&addresses)),
        ("uri-sans", csv(names.text("uris"))),
    ]);
    let mut more = vec![
        ("email-sans", csv(names.text("emailAddresses"))),
        ("subject-serialnumber", of(SERIAL_NUMBER).join("")),
    ];
    for (key, (_, oid)) in [
        "subject-organizations",
        "subject-organizationalunits",
        "subject-countries",
        "subject-provinces",
        "subject-localities",
        "subject-postalcodes",
        "subject-streetaddresses",
    ]
    .into_iter()
    .zip(SUBJECT)
    {
        more.push((key, csv(&of(oid))));
    }
    details.extend(more.into_iter().filter(|(_, value)| !value.is_empty()));
    let named = details.into_iter();
    Ok(named
        .map(|(key, value)| (format!("cert-manager.io/{key}"), value))
        .collect())
}

/// As Go's encoding/csv joins them.
fn csv(values: &[String]) -> String {
    let fields = values.iter().map(|value| match value {
        value if value.contains(['"', ',', '\n']) => format!("\"{}\"", value.replace('"', "\"\"")),
        value => value.clone(),
    });
    fields.collect::<Vec<_>>().join(",")
}

/// First and last second.
pub(crate) fn validity(leaf: &X509Certificate<'_>) -> Result<(Timestamp, Timestamp)> {
    let validity = leaf.validity();
    Ok((
        Timestamp::from_second(validity.not_before.timestamp())?,
        Timestamp::from_second(validity.not_after.timestamp())?,
    ))
}

/// The texts in a list.
pub(crate) fn strings(list: &Value) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten();
    texts
        .filter_map(|text| text.as_str().map(ToOwned::to_owned))
        .collect()
}
