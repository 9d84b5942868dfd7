//! Which subject alternative names does a request or certificate hold?

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use x509_parser::extensions::GeneralName;
use yasna::{Tag, models::ObjectIdentifier};

use super::{Error, oid::dotted};

/// Subject alternative names (RFC 5280, 4.2.1.6), each kind in the order of the extension.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Names {
    /// dNSName
    pub dns: Vec<String>,
    /// rfc822Name
    pub emails: Vec<String>,
    /// iPAddress
    pub ips: Vec<IpAddr>,
    /// uniformResourceIdentifier
    pub uris: Vec<String>,
    /// otherName with a UTF-8 value
    pub others: Vec<OtherName>,
    /// What else a parsed extension holds, for messages; refused when building a request.
    pub unrecognized: Vec<String>,
}

/// An otherName with a UTF8String as value, e.g. a user principal name.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub struct OtherName {
    /// The type, in dotted form.
    pub oid: String,
    /// The value.
    pub utf8_value: String,
}

impl Names {
    /// Whether there is no name at all.
    pub fn is_empty(&self) -> bool {
        let Self {
            dns,
            emails,
            ips,
            uris,
            others,
            unrecognized,
        } = self;
        dns.is_empty()
            && emails.is_empty()
            && ips.is_empty()
            && uris.is_empty()
            && others.is_empty()
            && unrecognized.is_empty()
    }

    /// The value of the extension: DNS names, e-mail addresses, IP addresses, URIs, other names.
    pub(super) fn to_der(&self) -> Result<Vec<u8>, Error> {
        let Self {
            dns,
            emails,
            ips,
            uris,
            others,
            unrecognized,
        } = self;
        if let Some(name) = unrecognized.first() {
            return Err(Error::RequestParameters(format!(
                "name {name} is not supported"
            )));
        }
        for (kind, values) in [("DNS name", dns), ("e-mail address", emails), ("URI", uris)] {
            for value in values {
                ia5(kind, value)?;
            }
        }
        let others = others
            .iter()
            .map(|other| Ok((parse_oid(&other.oid)?, other.utf8_value.as_str())))
            .collect::<Result<Vec<_>, Error>>()?;

        Ok(yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                for (tag, values) in [(2, dns), (1, emails)] {
                    for value in values {
                        write_text(writer.next(), tag, value);
                    }
                }
                for ip in ips {
                    let bytes = octets(*ip);
                    writer
                        .next()
                        .write_tagged_implicit(Tag::context(7), |writer| {
                            writer.write_bytes(&bytes);
                        });
                }
                for value in uris {
                    write_text(writer.next(), 6, value);
                }
                for (oid, value) in &others {
                    writer
                        .next()
                        .write_tagged_implicit(Tag::context(0), |writer| {
                            writer.write_sequence(|writer| {
                                writer.next().write_oid(oid);
                                writer.next().write_tagged(Tag::context(0), |writer| {
                                    writer.write_utf8_string(value);
                                });
                            });
                        });
                }
            });
        }))
    }

    pub(super) fn of(names: &[GeneralName<'_>]) -> Self {
        let mut all = Self::default();
        for name in names {
            match name {
                GeneralName::DNSName(name) => all.dns.push((*name).to_owned()),
                GeneralName::RFC822Name(name) => all.emails.push((*name).to_owned()),
                GeneralName::URI(name) => all.uris.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => match address(bytes) {
                    Some(ip) => all.ips.push(ip),
                    None => all
                        .unrecognized
                        .push(format!("IP address of {} bytes", bytes.len())),
                },
                GeneralName::OtherName(oid, value) => {
                    let oid = dotted(oid);
                    match utf8_value(value) {
                        Some(utf8_value) => all.others.push(OtherName { oid, utf8_value }),
                        None => all.unrecognized.push(format!("otherName {oid}")),
                    }
                }
                GeneralName::X400Address(_) => all.unrecognized.push("x400Address".to_owned()),
                GeneralName::DirectoryName(name) => {
                    all.unrecognized.push(format!("directoryName {name}"));
                }
                GeneralName::EDIPartyName(_) => all.unrecognized.push("ediPartyName".to_owned()),
                GeneralName::RegisteredID(oid) => {
                    all.unrecognized
                        .push(format!("registeredID {}", dotted(oid)));
                }
                GeneralName::Invalid(tag, _) => {
                    all.unrecognized
                        .push(format!("invalid name of type {}", tag.0));
                }
            }
        }
        all
    }
}

/// Parses a dotted object identifier such as `1.3.6.1.4.1.311.20.2.3`.
pub(super) fn parse_oid(text: &str) -> Result<ObjectIdentifier, Error> {
    let invalid = || Error::RequestParameters(format!("{text:?} is not an object identifier"));
    let arcs = text
        .split('.')
        .map(|arc| arc.parse::<u64>().ok().filter(|_| !arc.starts_with('+')))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(invalid)?;
    // X.660: three roots, of which the first two have forty children; the library asserts it.
    match arcs.as_slice() {
        [0 | 1, 0..=39, ..] | [2, 0..=0xffff, ..] => Ok(ObjectIdentifier::new(arcs)),
        _ => Err(invalid()),
    }
}

/// Refuses text that an IA5String cannot hold.
pub(super) fn ia5(kind: &str, value: &str) -> Result<(), Error> {
    match value.is_ascii() {
        true => Ok(()),
        false => Err(Error::RequestParameters(format!(
            "{kind} {value:?} has characters outside ASCII; write internationalised names in \
             their ASCII form (xn--…)"
        ))),
    }
}

/// Writes a name that is an IA5String under a context tag.
pub(super) fn write_text(writer: yasna::DERWriter<'_>, tag: u64, value: &str) {
    writer.write_tagged_implicit(Tag::context(tag), |writer| writer.write_ia5_string(value));
}

/// 4 bytes for IPv4, also when written as IPv6; else 16.
fn octets(ip: IpAddr) -> Vec<u8> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// The text in `[0] EXPLICIT UTF8String`.
fn utf8_value(value: &[u8]) -> Option<String> {
    use x509_parser::asn1_rs::{Any, FromDer};

    let (rest, outer) = Any::from_der(value).ok()?;
    if !rest.is_empty() || outer.tag().0 != 0 {
        return None;
    }
    let (rest, inner) = Any::from_der(outer.data).ok()?;
    if !rest.is_empty() {
        return None;
    }
    Some(inner.utf8string().ok()?.string())
}
