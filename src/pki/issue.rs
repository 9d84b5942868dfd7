//! How is a certificate (X.509, RFC 5280) made from a request?

use aws_lc_rs::digest;
use jiff::{Timestamp, tz};
use x509_parser::{
    certification_request::X509CertificationRequest,
    cri_attributes::ParsedCriAttribute,
    extensions::{ParsedExtension, X509Extension},
    prelude::FromDer,
};
use yasna::{DERWriter, Tag, models::ObjectIdentifier};

use super::{
    Error, PublicKeyHash,
    authority::Authority,
    csr::{CsrFacts, is_empty_sequence},
    extension::{Extension, NAME_CONSTRAINTS, SUBJECT_ALTERNATIVE_NAME},
    key::PrivateKey,
    names::{ia5, write_text},
    pem,
    signature::SignatureAlgorithm,
    usages::{Usage, UsageSet},
};

const SUBJECT_KEY_ID: &[u64] = &[2, 5, 29, 14];
const CRL_DISTRIBUTION_POINTS: &[u64] = &[2, 5, 29, 31];
const AUTHORITY_KEY_ID: &[u64] = &[2, 5, 29, 35];
const AUTHORITY_INFORMATION: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 1, 1];
const OCSP: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 1];
const CA_ISSUERS: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 2];

/// Years from this one on do not fit into a UTCTime (RFC 5280, 4.1.2.5).
const FIRST_GENERALIZED_YEAR: i16 = 2050;

/// What a certificate is to say, beside what its request says.
#[derive(Clone, Copy, Debug)]
pub struct Template<'a> {
    /// The request in DER.
    pub request: &'a [u8],
    /// What was read from it.
    pub facts: &'a CsrFacts,
    /// Whether the certificate is for a CA.
    pub is_ca: bool,
    /// The usages; none means [`Usage::DEFAULT`].
    pub usages: &'a [Usage],
    /// Whether a CA may sign certificates where `usages` do not say so.
    pub ca_may_sign: bool,
    /// The number of the certificate.
    pub serial: Serial,
    /// The start of its validity; parts of a second are cut off.
    pub not_before: Timestamp,
    /// The last moment of its validity; parts of a second are cut off.
    pub not_after: Timestamp,
    /// Where relying parties find more.
    pub urls: Urls<'a>,
}

/// URLs that are written into a certificate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Urls<'a> {
    /// Of revocation lists.
    pub crl: &'a [String],
    /// Of OCSP servers.
    pub ocsp: &'a [String],
    /// Of the certificate of the CA.
    pub issuing: &'a [String],
}

/// A serial number: positive, 16 bytes, 126 of their bits random.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Serial([u8; 16]);

impl Serial {
    /// From random bytes.
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        // The first bit would make it negative; without the second it could be shorter, or zero.
        bytes[0] = bytes[0] & 0x3f | 0x40;
        Self(bytes)
    }
}

/// A certificate that an authority signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signed {
    /// The certificate, then the intermediates up to the root, without it; PEM.
    pub chain_pem: String,
    /// The root, or the topmost certificate that is known; PEM.
    pub ca_pem: String,
    /// The last moment of the certificate's validity, where that is before the one asked for: the
    /// end of the authority's.
    pub shortened_to: Option<Timestamp>,
}

/// A certificate signed by `authority`. It ends with the authority at the latest.
///
/// # Errors
/// [`Error::Request`] if the request asks for something else than the template,
/// [`Error::RequestParameters`] if a value cannot be encoded, [`Error::Sign`] if the library fails.
pub fn sign(template: &Template<'_>, authority: &Authority) -> Result<Signed, Error> {
    let shortened_to = Some(authority.not_after()).filter(|end| *end < template.not_after);
    let template = Template {
        not_after: shortened_to.unwrap_or(template.not_after),
        ..*template
    };
    let issuer = Issuer {
        name: authority.subject_der(),
        key_id: authority.subject_key_id(),
    };
    let der = build(&template, issuer, authority.key())?;
    let mut chain_pem = pem::encode(pem::CERTIFICATE, &der);
    chain_pem.push_str(authority.intermediates_pem());
    Ok(Signed {
        chain_pem,
        ca_pem: authority.ca_pem().to_owned(),
        shortened_to,
    })
}

/// A certificate signed with the key that it is for, as PEM.
///
/// # Errors
/// As [`sign`].
pub fn sign_itself(template: &Template<'_>, key: &PrivateKey) -> Result<String, Error> {
    if key.public_key_hash()? != template.facts.public_key {
        return Err(Error::Request("it is for another key".to_owned()));
    }
    let issuer = Issuer {
        name: &template.facts.subject_der,
        key_id: None,
    };
    Ok(pem::encode(
        pem::CERTIFICATE,
        &build(template, issuer, key)?,
    ))
}

#[derive(Clone, Copy)]
struct Issuer<'a> {
    name: &'a [u8],
    key_id: Option<&'a [u8]>,
}

fn build(template: &Template<'_>, issuer: Issuer<'_>, key: &PrivateKey) -> Result<Vec<u8>, Error> {
    let malformed = || Error::Request("it is not a PKCS#10 request".to_owned());
    let (_, request) =
        X509CertificationRequest::from_der(template.request).map_err(|_| malformed())?;
    let info = &request.certification_request_info;
    let facts = template.facts;
    // The signature was checked when the facts were read.
    if PublicKeyHash::of(info.subject_pki.raw) != facts.public_key
        || info.subject.as_raw() != facts.subject_der
    {
        return Err(Error::Request("it is another one than was read".to_owned()));
    }
    let requested = info
        .iter_attributes()
        .find_map(|attribute| match attribute.parsed_attribute() {
            ParsedCriAttribute::ExtensionRequest(requested) => {
                Some(requested.extensions.as_slice())
            }
            _ => None,
        })
        .unwrap_or_default();
    let public_key = info.subject_pki.subject_public_key.data.as_ref();
    let extensions = extensions(template, issuer, requested, public_key)?;

    let algorithm = SignatureAlgorithm::default_for(key.parameters());
    let validity = [time(template.not_before)?, time(template.not_after)?];
    let body = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            // Version 3.
            writer
                .next()
                .write_tagged(Tag::context(0), |writer| writer.write_u8(2));
            writer.next().write_bigint_bytes(&template.serial.0, true);
            algorithm.write(writer.next());
            writer.next().write_der(issuer.name);
            writer.next().write_sequence(|writer| {
                for time in &validity {
                    writer.next().write_der(time);
                }
            });
            writer.next().write_der(&facts.subject_der);
            writer.next().write_der(info.subject_pki.raw);
            writer.next().write_tagged(Tag::context(3), |writer| {
                writer.write_sequence(|writer| {
                    for extension in &extensions {
                        extension.write(writer);
                    }
                });
            });
        });
    });
    let signature = key.sign(algorithm, &body)?;
    Ok(yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_der(&body);
            algorithm.write(writer.next());
            writer
                .next()
                .write_bitvec_bytes(&signature, signature.len() * 8);
        });
    }))
}

/// What users of cert-manager find in their certificates, in the same order. What the request asks
/// for beyond that is left out.
fn extensions(
    template: &Template<'_>,
    issuer: Issuer<'_>,
    requested: &[X509Extension<'_>],
    public_key: &[u8],
) -> Result<Vec<Extension>, Error> {
    let Template {
        facts, is_ca, urls, ..
    } = *template;
    check_constraints(facts, is_ca)?;
    let usages = usages(facts, template.usages, is_ca && template.ca_may_sign)?;

    let mut extensions = Extension::usages(&usages)?;
    extensions.push(Extension::basic_constraints(is_ca));
    if is_ca {
        let id = subject_key_id(public_key);
        extensions.push(octets(SUBJECT_KEY_ID, |writer| writer.write_bytes(&id)));
    }
    if let Some(id) = issuer.key_id.filter(|_| issuer.name != facts.subject_der) {
        extensions.push(octets(AUTHORITY_KEY_ID, |writer| {
            writer.write_sequence(|writer| {
                writer
                    .next()
                    .write_tagged_implicit(Tag::context(0), |writer| writer.write_bytes(id));
            });
        }));
    }
    extensions.extend(authority_information(urls)?);
    for one in requested {
        match one.parsed_extension() {
            ParsedExtension::NameConstraints(_) => {
                extensions.push(Extension::copy(NAME_CONSTRAINTS, one.critical, one.value));
            }
            ParsedExtension::ParseError { .. } if one.oid.to_id_string() == "2.5.29.30" => {
                return Err(Error::Request(
                    "extension 2.5.29.30 is malformed".to_owned(),
                ));
            }
            _ => {}
        }
    }
    extensions.extend(crl_distribution_points(urls.crl)?);
    for one in requested {
        if let ParsedExtension::SubjectAlternativeName(_) = one.parsed_extension() {
            // The only name there is must be understood.
            let critical = is_empty_sequence(&facts.subject_der);
            extensions.push(Extension::copy(
                SUBJECT_ALTERNATIVE_NAME,
                critical,
                one.value,
            ));
        }
    }
    Ok(extensions)
}

/// A request that speaks of a CA must mean the same as the template.
fn check_constraints(facts: &CsrFacts, is_ca: bool) -> Result<(), Error> {
    match facts.basic_constraints {
        Some(asked) if asked != is_ca => Err(Error::Request(format!(
            "its basic constraints say CA {asked}, and isCA is {is_ca}"
        ))),
        Some(_) | None => Ok(()),
    }
}

/// The usages of the template; a request that has some must have the same. Identifiers that have no
/// name here come from the request.
fn usages(facts: &CsrFacts, wanted: &[Usage], signs: bool) -> Result<UsageSet, Error> {
    let wanted = UsageSet::of(wanted, signs);
    if facts.usages.is_empty() {
        return Ok(wanted);
    }
    let asked = UsageSet::from_parts(facts.usages.bits(), facts.usages.known_extended());
    if asked != wanted {
        let list = |set: &UsageSet| {
            let names: Vec<&str> = set.known().into_iter().map(Usage::as_str).collect();
            names.join(", ")
        };
        return Err(Error::Request(format!(
            "its usages are [{}], and those asked for are [{}]",
            list(&asked),
            list(&wanted),
        )));
    }
    let mut extended = wanted.extended().to_vec();
    extended.extend(facts.usages.unknown().map(str::to_owned));
    Ok(UsageSet::from_parts(wanted.bits(), extended))
}

/// The first 160 bits of the SHA-256 of the key (RFC 7093, 2, method 1).
fn subject_key_id(public_key: &[u8]) -> Vec<u8> {
    let hash = digest::digest(&digest::SHA256, public_key);
    hash.as_ref().iter().copied().take(20).collect()
}

fn authority_information(urls: Urls<'_>) -> Result<Option<Extension>, Error> {
    let Urls {
        crl: _,
        ocsp,
        issuing,
    } = urls;
    let ocsp = ocsp.iter().map(|url| (OCSP, url));
    let all: Vec<_> = ocsp
        .chain(issuing.iter().map(|url| (CA_ISSUERS, url)))
        .collect();
    if all.is_empty() {
        return Ok(None);
    }
    for (_, url) in &all {
        ia5("URL", url)?;
    }
    Ok(Some(octets(AUTHORITY_INFORMATION, |writer| {
        writer.write_sequence(|writer| {
            for (method, url) in &all {
                writer.next().write_sequence(|writer| {
                    writer
                        .next()
                        .write_oid(&ObjectIdentifier::from_slice(method));
                    write_text(writer.next(), 6, url);
                });
            }
        });
    })))
}

/// One distribution point for each URL (RFC 5280, 4.2.1.13).
fn crl_distribution_points(urls: &[String]) -> Result<Option<Extension>, Error> {
    if urls.is_empty() {
        return Ok(None);
    }
    for url in urls {
        ia5("URL", url)?;
    }
    Ok(Some(octets(CRL_DISTRIBUTION_POINTS, |writer| {
        writer.write_sequence(|writer| {
            for url in urls {
                writer.next().write_sequence(|writer| {
                    writer.next().write_tagged(Tag::context(0), |writer| {
                        writer.write_tagged_implicit(Tag::context(0), |writer| {
                            writer.write_sequence(|writer| write_text(writer.next(), 6, url));
                        });
                    });
                });
            }
        });
    })))
}

/// An extension that need not be understood.
fn octets(oid: &'static [u64], value: impl FnOnce(DERWriter<'_>)) -> Extension {
    Extension::copy(oid, false, &yasna::construct_der(value))
}

/// A UTCTime up to 2049, then a GeneralizedTime.
pub(super) fn time(at: Timestamp) -> Result<Vec<u8>, Error> {
    let year = at.to_zoned(tz::TimeZone::UTC).year();
    if !(1950..=9999).contains(&year) {
        return Err(Error::RequestParameters(format!(
            "{at} cannot be written into a certificate"
        )));
    }
    let (tag, format) = match year {
        ..FIRST_GENERALIZED_YEAR => (0x17, "%y%m%d%H%M%SZ"),
        FIRST_GENERALIZED_YEAR.. => (0x18, "%Y%m%d%H%M%SZ"),
    };
    let text = at.strftime(format).to_string();
    let mut der = vec![tag, text.len() as u8];
    der.extend(text.bytes());
    Ok(der)
}

#[cfg(test)]
mod tests;
