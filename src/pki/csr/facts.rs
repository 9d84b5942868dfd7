//! What does a certificate request say?

use serde::{Deserialize, Serialize};
use x509_parser::{
    certification_request::X509CertificationRequest, cri_attributes::ParsedCriAttribute,
    prelude::FromDer,
};

use super::is_empty_sequence;
use crate::pki::{
    Error, PublicKeyHash,
    extension::Extensions,
    key::KeyParameters,
    names::Names,
    pem::{self, Limits},
    signature::{self, SignatureAlgorithm},
    subject::Subject,
    usages::UsageSet,
};

/// What a certificate request says, once its signature has been checked.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CsrFacts {
    /// The subject by fields.
    pub subject: Subject,
    /// The subject in DER.
    pub subject_der: Vec<u8>,
    /// The subject alternative names.
    pub names: Names,
    /// Key usage and extended key usage.
    pub usages: UsageSet,
    /// Whether BasicConstraints say CA; `None` if the request has none.
    pub basic_constraints: Option<bool>,
    /// The hash of the public key.
    pub public_key: PublicKeyHash,
    /// Algorithm and size of the public key; `None` if it is of a kind that we do not make.
    pub key: Option<KeyParameters>,
    /// What it is signed with.
    pub signature_algorithm: SignatureAlgorithm,
}

impl CsrFacts {
    /// Reads the first request in a PEM text of at most [`Limits::certificate`] bytes.
    ///
    /// # Errors
    /// [`Error::TooLarge`], or [`Error::Request`] saying what is wrong.
    pub fn from_pem(text: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::from_der(&request_der(text.as_ref())?)
    }

    /// Reads a request in DER and checks its signature.
    ///
    /// # Errors
    /// [`Error::Request`] saying what is wrong.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let malformed = || Error::Request("it is not a PKCS#10 request".to_owned());
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| malformed())?;
        if !rest.is_empty() {
            return Err(malformed());
        }

        let info = &request.certification_request_info;
        let signature_algorithm =
            SignatureAlgorithm::of(&request.signature_algorithm).ok_or_else(|| {
                Error::Request(format!(
                    "signature algorithm {} is not supported",
                    request.signature_algorithm.algorithm
                ))
            })?;
        if !signature::verify(
            &info.subject_pki,
            &request.signature_algorithm,
            &request.signature_value.data,
            info.raw,
        ) {
            return Err(Error::Request("its signature is wrong".to_owned()));
        }

        let mut requested =
            info.iter_attributes()
                .filter_map(|attribute| match attribute.parsed_attribute() {
                    ParsedCriAttribute::ExtensionRequest(requested) => Some(requested),
                    _ => None,
                });
        let extensions = match requested.next() {
            Some(requested) => Extensions::read(requested.extensions.iter()),
            None => Ok(Extensions::default()),
        }
        .map_err(Error::Request)?;
        if requested.next().is_some() {
            return Err(Error::Request("it asks for extensions twice".to_owned()));
        }
        let Extensions {
            names,
            usages,
            basic_constraints,
            authority_key_id: _,
            subject_key_id: _,
        } = extensions;

        Ok(Self {
            subject: Subject::of(&info.subject),
            subject_der: info.subject.as_raw().to_vec(),
            names,
            usages,
            basic_constraints,
            public_key: PublicKeyHash::of(info.subject_pki.raw),
            key: KeyParameters::of_public_key(&info.subject_pki),
            signature_algorithm,
        })
    }

    /// Whether the subject has no attribute.
    pub fn has_empty_subject(&self) -> bool {
        is_empty_sequence(&self.subject_der)
    }

    /// Whether the request asks for a CA certificate.
    pub fn is_ca(&self) -> bool {
        self.basic_constraints == Some(true)
    }
}

/// The DER of the first request in a PEM text, as RFC 8555 wants it in `finalize`.
///
/// # Errors
/// [`Error::TooLarge`], or [`Error::Request`] if there is none.
pub fn request_der(text: &[u8]) -> Result<Vec<u8>, Error> {
    let limit = Limits::current().certificate;
    let blocks = pem::blocks(text, "the certificate request", limit)?;
    blocks
        .into_iter()
        .find(|block| block.label.ends_with(pem::CERTIFICATE_REQUEST))
        .map(|block| block.der.to_vec())
        .ok_or_else(|| Error::Request("it is not PEM with a CERTIFICATE REQUEST".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::csr::{
        CertificateSigningRequest,
        tests::{full, key},
    };

    #[test]
    fn a_changed_request_is_refused() {
        let request = CertificateSigningRequest::build(&full(), &key()).unwrap();
        let at = request
            .der()
            .windows(3)
            .position(|window| window == b"app")
            .unwrap();
        let mut changed = request.der().to_vec();
        changed[at] = b'b';
        assert_eq!(
            CsrFacts::from_der(&changed),
            Err(Error::Request("its signature is wrong".to_owned()))
        );
    }

    /// Every truncation, and every byte changed: never a panic, and an error wherever the signature
    /// covers the byte.
    #[test]
    fn garbage_is_refused() {
        let request = CertificateSigningRequest::build(&full(), &key()).unwrap();
        let der = request.der();
        for end in 0..der.len() {
            assert!(CsrFacts::from_der(&der[..end]).is_err(), "{end}");
        }
        let (_, parsed) = X509CertificationRequest::from_der(der).unwrap();
        let signed = 4..4 + parsed.certification_request_info.raw.len();
        for at in 0..der.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = der.to_vec();
                changed[at] ^= flip;
                let result = CsrFacts::from_der(&changed);
                assert!(result.is_err() || !signed.contains(&at), "{at} {flip}");
            }
        }
        let mut longer = der.to_vec();
        longer.push(0);
        assert!(CsrFacts::from_der(&longer).is_err());
        assert!(CsrFacts::from_pem("").is_err());
        assert!(CsrFacts::from_pem(pem::encode("CERTIFICATE", der)).is_err());
        assert!(CsrFacts::from_pem(pem::encode("NEW CERTIFICATE REQUEST", der)).is_ok());
    }
}
