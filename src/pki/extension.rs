//! How are the extensions of a request written, and those of a request or certificate read?

use std::{collections::BTreeSet, net::IpAddr};

use x509_parser::{
    asn1_rs::{FromDer, Oid},
    extensions::{ParsedExtension, X509Extension},
};
use yasna::{DERWriterSeq, Tag, models::ObjectIdentifier};

use super::{
    Error,
    names::{Names, ia5, parse_oid, write_text},
    oid::dotted,
    usages::UsageSet,
};

pub(super) const SUBJECT_ALTERNATIVE_NAME: &[u64] = &[2, 5, 29, 17];
const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
pub(super) const NAME_CONSTRAINTS: &[u64] = &[2, 5, 29, 30];

/// The extensions that decisions need: subject key identifier, key usage, names, basic constraints,
/// authority key identifier, extended key usage.
const NEEDED: [&str; 6] = [
    "2.5.29.14",
    "2.5.29.15",
    "2.5.29.17",
    "2.5.29.19",
    "2.5.29.35",
    "2.5.29.37",
];

/// Name constraints of a CA (RFC 5280, 4.2.1.10).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NameConstraints {
    /// Whether those who do not understand the extension must refuse the certificate.
    pub critical: bool,
    /// Names must be in one of these.
    pub permitted: Subtrees,
    /// Names must be in none of these.
    pub excluded: Subtrees,
}

/// Spaces of names.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Subtrees {
    /// Domains.
    pub dns_domains: Vec<String>,
    /// E-mail addresses or domains.
    pub email_addresses: Vec<String>,
    /// Networks, e.g. `10.0.0.0/8`.
    pub ip_ranges: Vec<String>,
    /// Domains of URIs.
    pub uri_domains: Vec<String>,
}

/// An extension ready to be written.
pub(super) struct Extension {
    oid: &'static [u64],
    critical: bool,
    value: Vec<u8>,
}

impl Extension {
    /// With this value, in DER.
    pub(super) fn copy(oid: &'static [u64], critical: bool, value: &[u8]) -> Self {
        Self {
            oid,
            critical,
            value: value.to_vec(),
        }
    }

    pub(super) fn names(names: &Names, critical: bool) -> Result<Self, Error> {
        Ok(Self {
            oid: SUBJECT_ALTERNATIVE_NAME,
            critical,
            value: names.to_der()?,
        })
    }

    /// The extensions for usages: none, one or two.
    pub(super) fn usages(usages: &UsageSet) -> Result<Vec<Self>, Error> {
        let mut extensions = Vec::new();
        if usages.bits() != 0 {
            // A list of named bits ends with the last one that is set (X.690, 11.2.2).
            let length = 16 - usages.bits().leading_zeros() as usize;
            let bytes = usages.bits().reverse_bits().to_be_bytes();
            extensions.push(Self {
                oid: KEY_USAGE,
                critical: true,
                value: yasna::construct_der(|writer| {
                    writer.write_bitvec_bytes(&bytes[..length.div_ceil(8)], length);
                }),
            });
        }
        if !usages.extended().is_empty() {
            let oids = usages
                .extended()
                .iter()
                .map(|oid| parse_oid(oid))
                .collect::<Result<Vec<_>, _>>()?;
            extensions.push(Self {
                oid: EXTENDED_KEY_USAGE,
                critical: false,
                value: yasna::construct_der(|writer| {
                    writer.write_sequence(|writer| {
                        for oid in &oids {
                            writer.next().write_oid(oid);
                        }
                    });
                }),
            });
        }
        Ok(extensions)
    }

    pub(super) fn basic_constraints(is_ca: bool) -> Self {
        Self {
            oid: BASIC_CONSTRAINTS,
            critical: true,
            value: yasna::construct_der(|writer| {
                writer.write_sequence(|writer| {
                    if is_ca {
                        writer.next().write_bool(true);
                    }
                });
            }),
        }
    }

    /// `None` if nothing is constrained.
    pub(super) fn name_constraints(constraints: &NameConstraints) -> Result<Option<Self>, Error> {
        let NameConstraints {
            critical,
            permitted,
            excluded,
        } = constraints;
        let permitted = bases(permitted)?;
        let excluded = bases(excluded)?;
        if permitted.is_empty() && excluded.is_empty() {
            return Ok(None);
        }
        let value = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                for (tag, bases) in [(0, &permitted), (1, &excluded)] {
                    if bases.is_empty() {
                        continue;
                    }
                    writer
                        .next()
                        .write_tagged_implicit(Tag::context(tag), |writer| {
                            writer.write_sequence(|writer| {
                                for base in bases {
                                    base.write(writer);
                                }
                            });
                        });
                }
            });
        });
        Ok(Some(Self {
            oid: NAME_CONSTRAINTS,
            critical: *critical,
            value,
        }))
    }

    pub(super) fn write(&self, writer: &mut DERWriterSeq<'_>) {
        writer.next().write_sequence(|writer| {
            writer
                .next()
                .write_oid(&ObjectIdentifier::from_slice(self.oid));
            if self.critical {
                writer.next().write_bool(true);
            }
            writer.next().write_bytes(&self.value);
        });
    }
}

/// What the extensions of a request or certificate say, as far as decisions need it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Extensions {
    pub(super) names: Names,
    pub(super) usages: UsageSet,
    pub(super) basic_constraints: Option<bool>,
    pub(super) authority_key_id: Option<Vec<u8>>,
    pub(super) subject_key_id: Option<Vec<u8>>,
}

impl Extensions {
    /// Reads each extension once; a second one of a kind, or one that is needed and does not parse,
    /// is an error (the text says which).
    pub(super) fn read<'a>(
        extensions: impl Iterator<Item = &'a X509Extension<'a>>,
    ) -> Result<Self, String> {
        let mut all = Self::default();
        let mut bits = 0;
        let mut extended = Vec::new();
        let mut seen = BTreeSet::new();
        for extension in extensions {
            let oid = dotted(&extension.oid);
            if seen.contains(&oid) {
                return Err(format!("extension {oid} is there twice"));
            }
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    all.names = Names::of(&names.general_names);
                }
                ParsedExtension::KeyUsage(usage) => bits = usage.flags,
                ParsedExtension::ExtendedKeyUsage(_) => {
                    // Read again, as the parser does not keep the order.
                    let (_, oids) = Vec::<Oid<'_>>::from_der(extension.value)
                        .map_err(|_| format!("extension {oid} is malformed"))?;
                    extended = oids.iter().map(dotted).collect();
                }
                ParsedExtension::BasicConstraints(constraints) => {
                    all.basic_constraints = Some(constraints.ca);
                }
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    all.authority_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec());
                }
                ParsedExtension::SubjectKeyIdentifier(id) => {
                    all.subject_key_id = Some(id.0.to_vec());
                }
                ParsedExtension::ParseError { .. } if NEEDED.contains(&oid.as_str()) => {
                    return Err(format!("extension {oid} is malformed"));
                }
                // What no decision needs may say what it wants.
                _ => {}
            }
            seen.insert(oid);
        }
        all.usages = UsageSet::from_parts(bits, extended);
        Ok(all)
    }
}

/// The base of a subtree: a name by its tag in GeneralName.
enum Base<'a> {
    Text(u64, &'a str),
    Network(Vec<u8>),
}

impl Base<'_> {
    fn write(&self, writer: &mut DERWriterSeq<'_>) {
        writer.next().write_sequence(|writer| match self {
            Self::Text(tag, text) => write_text(writer.next(), *tag, text),
            Self::Network(bytes) => writer
                .next()
                .write_tagged_implicit(Tag::context(7), |writer| writer.write_bytes(bytes)),
        });
    }
}

fn bases(subtrees: &Subtrees) -> Result<Vec<Base<'_>>, Error> {
    let Subtrees {
        dns_domains,
        email_addresses,
        ip_ranges,
        uri_domains,
    } = subtrees;
    let mut bases = Vec::new();
    for domain in dns_domains {
        ia5("DNS domain", domain)?;
        bases.push(Base::Text(2, domain));
    }
    for range in ip_ranges {
        bases.push(Base::Network(network(range)?));
    }
    for address in email_addresses {
        ia5("e-mail address", address)?;
        bases.push(Base::Text(1, address));
    }
    for domain in uri_domains {
        ia5("URI domain", domain)?;
        bases.push(Base::Text(6, domain));
    }
    Ok(bases)
}

/// Address and mask of a network in CIDR notation, 8 or 32 bytes.
fn network(range: &str) -> Result<Vec<u8>, Error> {
    let invalid =
        || Error::RequestParameters(format!("{range:?} is not a network like 10.0.0.0/8"));
    let (address, length) = range.split_once('/').ok_or_else(invalid)?;
    let address = address.parse::<IpAddr>().map_err(|_| invalid())?;
    let length = length.parse::<usize>().map_err(|_| invalid())?;
    let address = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    if length > address.len() * 8 {
        return Err(invalid());
    }

    let mask = (0..address.len())
        .map(|at| match length.saturating_sub(at * 8) {
            bits @ 0..8 => !(0xff_u8 >> bits),
            8.. => 0xff,
        })
        .collect::<Vec<_>>();
    let masked = address.iter().zip(&mask).map(|(byte, mask)| byte & mask);
    Ok(masked.chain(mask.iter().copied()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let cases = [
            ("10.1.2.3/8", Some(vec![10, 0, 0, 0, 255, 0, 0, 0])),
            (
                "192.0.2.128/25",
                Some(vec![192, 0, 2, 128, 255, 255, 255, 128]),
            ),
            ("0.0.0.0/0", Some(vec![0; 8])),
            ("192.0.2.1/32", Some(vec![192, 0, 2, 1, 255, 255, 255, 255])),
            ("192.0.2.1/33", None),
            ("192.0.2.1", None),
            ("a/8", None),
        ];
        for (range, want) in cases {
            assert_eq!(network(range).ok(), want, "{range}");
        }
        let v6 = network("2001:db8::1/33").unwrap();
        assert_eq!(v6[..6], [0x20, 0x01, 0x0d, 0xb8, 0, 0]);
        assert_eq!(v6[16..22], [255, 255, 255, 255, 0x80, 0]);
    }
}
