//! How is a certificate request (PKCS#10, RFC 2986) built, and what does one say?

use x509_parser::{
    certification_request::X509CertificationRequest, cri_attributes::ParsedCriAttribute,
    prelude::FromDer,
};
use yasna::{Tag, models::ObjectIdentifier};

use super::{
    Error, PublicKeyHash,
    extension::{Extension, Extensions},
    key::{KeyParameters, PrivateKey},
    names::Names,
    pem::{self, Limits},
    signature::{self, SignatureAlgorithm},
    subject::{Subject, SubjectName},
    usages::{Usage, UsageSet},
};

pub use super::extension::{NameConstraints, Subtrees};

const EXTENSION_REQUEST: &[u64] = &[1, 2, 840, 113_549, 1, 9, 14];

/// What a certificate is asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RequestParameters {
    /// The subject; may be empty, then the names are marked critical.
    pub subject: SubjectName,
    /// The subject alternative names.
    pub names: Names,
    /// Whether the certificate is for a CA: adds the usage `cert sign`.
    pub is_ca: bool,
    /// The usages; none means [`Usage::DEFAULT`].
    pub usages: Vec<Usage>,
    /// Leaves the usages out of the request, for CAs that refuse requests with them.
    pub omit_usages: bool,
    /// Whether the request has BasicConstraints.
    pub basic_constraints: bool,
    /// Name constraints for a CA.
    pub name_constraints: Option<NameConstraints>,
    /// `None`: [`SignatureAlgorithm::default_for`] the key.
    pub signature_algorithm: Option<SignatureAlgorithm>,
}

/// A certificate request in DER, as it is sent to a CA.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateSigningRequest {
    der: Vec<u8>,
}

impl CertificateSigningRequest {
    /// Builds a request and signs it with `key`.
    ///
    /// # Errors
    /// [`Error::RequestParameters`] if a name cannot be encoded, [`Error::Sign`] if the signature
    /// algorithm does not go with the key.
    pub fn build(parameters: &RequestParameters, key: &PrivateKey) -> Result<Self, Error> {
        let RequestParameters {
            subject,
            names,
            is_ca,
            usages,
            omit_usages,
            basic_constraints,
            name_constraints,
            signature_algorithm,
        } = parameters;
        let algorithm = signature_algorithm
            .unwrap_or_else(|| SignatureAlgorithm::default_for(key.parameters()));
        let subject = subject.to_der();
        let public_key = key.public_key_der()?;

        let mut extensions = Vec::new();
        if !names.is_empty() {
            extensions.push(Extension::names(names, is_empty_sequence(&subject))?);
        }
        if !omit_usages {
            extensions.extend(Extension::usages(&UsageSet::of(usages, *is_ca))?);
        }
        if *basic_constraints {
            extensions.push(Extension::basic_constraints(*is_ca));
        }
        if let Some(constraints) = name_constraints {
            extensions.extend(Extension::name_constraints(constraints)?);
        }

        let info = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_u8(0);
                writer.next().write_der(&subject);
                writer.next().write_der(&public_key);
                writer
                    .next()
                    .write_tagged_implicit(Tag::context(0), |writer| {
                        writer.write_set_of(|writer| {
                            if !extensions.is_empty() {
                                write_extension_request(writer.next(), &extensions);
                            }
                        });
                    });
            });
        });
        let signature = key.sign(algorithm, &info)?;
        let der = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_der(&info);
                algorithm.write(writer.next());
                writer
                    .next()
                    .write_bitvec_bytes(&signature, signature.len() * 8);
            });
        });
        Ok(Self { der })
    }

    /// The request in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The request as PEM.
    pub fn to_pem(&self) -> String {
        pem::encode(pem::CERTIFICATE_REQUEST, &self.der)
    }
}

/// What a certificate request says, once its signature has been checked.
#[derive(Clone, Debug, Eq, PartialEq)]
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
    let limit = Limits::default().certificate;
    let blocks = pem::blocks(text, "the certificate request", limit)?;
    blocks
        .into_iter()
        .find(|block| block.label.ends_with(pem::CERTIFICATE_REQUEST))
        .map(|block| block.der.to_vec())
        .ok_or_else(|| Error::Request("it is not PEM with a CERTIFICATE REQUEST".to_owned()))
}

/// Whether a name in DER has no attribute.
fn is_empty_sequence(der: &[u8]) -> bool {
    der == [0x30, 0x00]
}

fn write_extension_request(writer: yasna::DERWriter<'_>, extensions: &[Extension]) {
    writer.write_sequence(|writer| {
        writer
            .next()
            .write_oid(&ObjectIdentifier::from_slice(EXTENSION_REQUEST));
        writer.next().write_set(|writer| {
            writer.next().write_sequence(|writer| {
                for extension in extensions {
                    extension.write(writer);
                }
            });
        });
    });
}
