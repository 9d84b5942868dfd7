//! What does a certificate say?

use jiff::Timestamp;
use x509_parser::{certificate::X509Certificate, prelude::FromDer, time::ASN1Time};

use super::{
    Error, PublicKeyHash,
    extension::Extensions,
    hex,
    key::KeyParameters,
    names::Names,
    pem::{self, Limits},
    subject::Subject,
    usages::UsageSet,
};

/// What a certificate says, as far as decisions need it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CertificateFacts {
    /// The serial in lower-case hexadecimal, without leading zeros.
    pub serial: String,
    /// The serial as DER has it (the contents of the INTEGER).
    pub serial_der: Vec<u8>,
    /// The start of its validity.
    pub not_before: Timestamp,
    /// The last moment of its validity.
    pub not_after: Timestamp,
    /// The subject by fields.
    pub subject: Subject,
    /// The subject in DER.
    pub subject_der: Vec<u8>,
    /// The issuer's common name, if it has one.
    pub issuer_common_name: Option<String>,
    /// The issuer in DER.
    pub issuer_der: Vec<u8>,
    /// The subject alternative names.
    pub names: Names,
    /// Key usage and extended key usage.
    pub usages: UsageSet,
    /// Whether BasicConstraints say CA; `None` if it has none.
    pub basic_constraints: Option<bool>,
    /// The hash of the public key.
    pub public_key: PublicKeyHash,
    /// Algorithm and size of the public key; `None` if it is of a kind that we do not make.
    pub key: Option<KeyParameters>,
    /// The authority key identifier.
    pub authority_key_id: Option<Vec<u8>>,
    /// The subject key identifier.
    pub subject_key_id: Option<Vec<u8>>,
}

impl CertificateFacts {
    /// Reads the first certificate in a PEM text of at most [`Limits::chain`] bytes: the leaf,
    /// where it is followed by its chain.
    ///
    /// # Errors
    /// [`Error::TooLarge`], or [`Error::Certificate`] saying what is wrong.
    pub fn from_pem(text: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::from_der(&leaf_der(text.as_ref())?)
    }

    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// [`Error::Certificate`] saying what is wrong.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let certificate = parse(der)?;
        let tbs = &certificate.tbs_certificate;
        let Extensions {
            names,
            usages,
            basic_constraints,
            authority_key_id,
            subject_key_id,
        } = Extensions::read(tbs.extensions().iter()).map_err(Error::Certificate)?;

        let serial = hex(tbs.raw_serial());
        let serial = match serial.trim_start_matches('0') {
            "" => "0",
            digits => digits,
        };
        Ok(Self {
            serial: serial.to_owned(),
            serial_der: tbs.raw_serial().to_vec(),
            not_before: timestamp(tbs.validity.not_before)?,
            not_after: timestamp(tbs.validity.not_after)?,
            subject: Subject::of(&tbs.subject),
            subject_der: tbs.subject.as_raw().to_vec(),
            issuer_common_name: Some(Subject::of(&tbs.issuer).common_name)
                .filter(|name| !name.is_empty()),
            issuer_der: tbs.issuer.as_raw().to_vec(),
            names,
            usages,
            basic_constraints,
            public_key: PublicKeyHash::of(tbs.subject_pki.raw),
            key: KeyParameters::of_public_key(&tbs.subject_pki),
            authority_key_id,
            subject_key_id,
        })
    }

    /// Whether it is a CA's certificate.
    pub fn is_ca(&self) -> bool {
        self.basic_constraints == Some(true)
    }
}

/// The DER of the first certificate in a PEM text of at most [`Limits::chain`] bytes.
///
/// # Errors
/// [`Error::TooLarge`], or [`Error::Certificate`] if there is none.
pub fn leaf_der(text: &[u8]) -> Result<Vec<u8>, Error> {
    let blocks = pem::blocks(text, "the certificate", Limits::default().chain)?;
    blocks
        .into_iter()
        .find(|block| block.label == pem::CERTIFICATE)
        .map(|block| block.der.to_vec())
        .ok_or_else(|| Error::Certificate("it is not PEM with a CERTIFICATE".to_owned()))
}

pub(super) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Error> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(Error::Certificate(
            "there is something behind its end".to_owned(),
        )),
        Err(_) => Err(Error::Certificate(
            "it is not an X.509 certificate".to_owned(),
        )),
    }
}

fn timestamp(time: ASN1Time) -> Result<Timestamp, Error> {
    Timestamp::from_second(time.timestamp())
        .map_err(|_| Error::Certificate("its validity is out of range".to_owned()))
}
