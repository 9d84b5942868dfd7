//! How is a list of revoked certificates (CRL, RFC 5280, 5) made, and what does one say?

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use x509_parser::{
    extensions::ParsedExtension, prelude::FromDer, revocation_list::CertificateRevocationList,
    x509::SubjectPublicKeyInfo,
};
use yasna::Tag;

use super::{
    Error,
    authority::Authority,
    extension::Extension,
    hex, issue, pem,
    signature::{self, SignatureAlgorithm},
};

/// The most bytes of a list that is read: above a hundred thousand entries.
const MOST_BYTES: usize = 4 << 20;

const AUTHORITY_KEY_ID: &[u64] = &[2, 5, 29, 35];
const CRL_NUMBER: &[u64] = &[2, 5, 29, 20];
const REASON_CODE: &[u64] = &[2, 5, 29, 21];

/// Why a certificate is revoked (RFC 5280, 5.3.1); those that a subscriber may give.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Reason {
    /// None is given; the list has no entry for it.
    #[default]
    Unspecified,
    /// Somebody else has the key.
    KeyCompromise,
    /// The subject is another now.
    AffiliationChanged,
    /// Another certificate took its place.
    Superseded,
    /// It is not needed any more.
    CessationOfOperation,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
    ];

    /// The number in RFC 5280.
    pub fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
        }
    }
}

/// A certificate that is revoked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Entry {
    /// When it was.
    pub revoked: Timestamp,
    /// Why.
    pub reason: Reason,
}

/// The number of a certificate, as in DER: big-endian, positive, without leading zeros beyond the
/// one of the sign.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SerialNumber(Vec<u8>);

impl SerialNumber {
    /// The longest that RFC 5280 allows.
    const MOST_BYTES: usize = 20;

    /// From the digits that [`super::certificate::CertificateFacts::serial`] has.
    pub fn from_hex(digits: &str) -> Option<Self> {
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() || digits.len() > 2 * Self::MOST_BYTES || !digits.is_ascii() {
            return None;
        }
        let padded = match digits.len() % 2 {
            0 => digits.to_owned(),
            _ => format!("0{digits}"),
        };
        let mut bytes = Vec::with_capacity(Self::MOST_BYTES);
        for pair in padded.as_bytes().chunks_exact(2) {
            let pair = str::from_utf8(pair).ok()?;
            if !pair.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(pair, 16).ok()?);
        }
        Some(Self(bytes))
    }

    fn of_der(content: &[u8]) -> Self {
        let zeros = content.iter().take_while(|byte| **byte == 0).count();
        Self(content.get(zeros..).unwrap_or_default().to_vec())
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(hex(&self.0).trim_start_matches('0'))
    }
}

/// What a list says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RevocationList {
    /// It rises with each list of a CA.
    pub number: u64,
    /// When it was made; parts of a second are cut off.
    pub this_update: Timestamp,
    /// When the next one is there at the latest; parts of a second are cut off.
    pub next_update: Timestamp,
    /// The certificates.
    pub entries: BTreeMap<SerialNumber, Entry>,
}

impl RevocationList {
    /// The list as DER, signed by `authority`.
    ///
    /// # Errors
    /// [`Error::Authority`] if the authority may not sign lists, [`Error::RequestParameters`] if a
    /// time cannot be written, [`Error::Sign`] if the library fails.
    pub fn sign(&self, authority: &Authority) -> Result<Vec<u8>, Error> {
        if !authority.signs_lists() {
            return Err(Error::Authority(
                "the key usage of the certificate does not allow revocation lists: add \
                 \"crl sign\""
                    .to_owned(),
            ));
        }
        let algorithm = SignatureAlgorithm::default_for(authority.key().parameters());
        let updates = [
            issue::time(self.this_update)?,
            issue::time(self.next_update)?,
        ];
        let mut entries = Vec::with_capacity(self.entries.len());
        for (serial, entry) in &self.entries {
            entries.push((serial, issue::time(entry.revoked)?, entry.reason));
        }
        let extensions = self.extensions(authority);
        let body = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                // Version 2.
                writer.next().write_u8(1);
                algorithm.write(writer.next());
                writer.next().write_der(authority.subject_der());
                for update in &updates {
                    writer.next().write_der(update);
                }
                // A list without entries has no place for them (5.1.2.6).
                if !entries.is_empty() {
                    writer.next().write_sequence(|writer| {
                        for (serial, revoked, reason) in &entries {
                            writer.next().write_sequence(|writer| {
                                writer.next().write_bigint_bytes(&serial.0, true);
                                writer.next().write_der(revoked);
                                if let Some(extension) = reason_code(*reason) {
                                    writer
                                        .next()
                                        .write_sequence(|writer| extension.write(writer));
                                }
                            });
                        }
                    });
                }
                writer.next().write_tagged(Tag::context(0), |writer| {
                    writer.write_sequence(|writer| {
                        for extension in &extensions {
                            extension.write(writer);
                        }
                    });
                });
            });
        });
        let signature = authority.key().sign(algorithm, &body)?;
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

    /// Reads a list in DER of at most 4 MiB. Its signature is not checked.
    ///
    /// # Errors
    /// [`Error::TooLarge`], or [`Error::RevocationList`] if it cannot be read.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        if der.len() > MOST_BYTES {
            return Err(Error::TooLarge {
                what: "the revocation list",
                size: der.len(),
                limit: MOST_BYTES,
            });
        }
        let malformed = |what: &str| Error::RevocationList(what.to_owned());
        let Ok(([], list)) = CertificateRevocationList::from_der(der) else {
            return Err(malformed("it is not a list as of RFC 5280"));
        };
        let time = |at: x509_parser::time::ASN1Time| {
            Timestamp::from_second(at.timestamp()).map_err(|_| malformed("a time is out of range"))
        };
        let number = list
            .crl_number()
            .and_then(|number| u64::try_from(number.clone()).ok())
            .ok_or_else(|| malformed("it has no number"))?;
        let mut entries = BTreeMap::new();
        for one in list.iter_revoked_certificates() {
            let code =
                one.extensions()
                    .iter()
                    .find_map(|extension| match extension.parsed_extension() {
                        ParsedExtension::ReasonCode(code) => Some(code.0),
                        _ => None,
                    });
            let entry = Entry {
                revoked: time(one.revocation_date)?,
                reason: Reason::ALL
                    .into_iter()
                    .find(|reason| Some(reason.code()) == code)
                    .unwrap_or_default(),
            };
            entries.insert(SerialNumber::of_der(one.raw_serial()), entry);
        }
        Ok(Self {
            number,
            this_update: time(list.last_update())?,
            next_update: time(
                list.next_update()
                    .ok_or_else(|| malformed("it does not say when the next one comes"))?,
            )?,
            entries,
        })
    }

    fn extensions(&self, authority: &Authority) -> Vec<Extension> {
        let key_id = authority.subject_key_id().map(|id| {
            let value = yasna::construct_der(|writer| {
                writer.write_sequence(|writer| {
                    writer
                        .next()
                        .write_tagged_implicit(Tag::context(0), |writer| writer.write_bytes(id));
                });
            });
            Extension::copy(AUTHORITY_KEY_ID, false, &value)
        });
        let number = yasna::construct_der(|writer| writer.write_u64(self.number));
        key_id
            .into_iter()
            .chain([Extension::copy(CRL_NUMBER, false, &number)])
            .collect()
    }
}

/// Whether the list in DER was signed by `authority`, under its present name and key identifier.
pub fn is_signed_by(der: &[u8], authority: &Authority) -> bool {
    let Ok(([], list)) = CertificateRevocationList::from_der(der) else {
        return false;
    };
    let Ok(public_key) = authority.key().public_key_der() else {
        return false;
    };
    let Ok(([], public_key)) = SubjectPublicKeyInfo::from_der(&public_key) else {
        return false;
    };
    let key_id = list.extensions().iter().find_map(|extension| {
        let ParsedExtension::AuthorityKeyIdentifier(id) = extension.parsed_extension() else {
            return None;
        };
        id.key_identifier.as_ref().map(|id| id.0)
    });
    list.issuer().as_raw() == authority.subject_der()
        && key_id == authority.subject_key_id()
        && list.signature_algorithm == list.tbs_cert_list.signature
        && list.signature_value.unused_bits == 0
        && signature::verify(
            &public_key,
            &list.signature_algorithm,
            &list.signature_value.data,
            list.tbs_cert_list.as_ref(),
        )
}

/// A list in DER as PEM.
pub fn to_pem(der: &[u8]) -> String {
    pem::encode(pem::REVOCATION_LIST, der)
}

/// It is absent rather than unspecified (5.3.1).
fn reason_code(reason: Reason) -> Option<Extension> {
    if reason == Reason::Unspecified {
        return None;
    }
    let value = yasna::construct_der(|writer| writer.write_enum(reason.code().into()));
    Some(Extension::copy(REASON_CODE, false, &value))
}

#[cfg(test)]
mod tests;
