//! How is a certificate request (PKCS#10, RFC 2986) built?

mod facts;

use yasna::{Tag, models::ObjectIdentifier};

use super::{
    Error,
    extension::Extension,
    key::PrivateKey,
    names::Names,
    pem,
    signature::SignatureAlgorithm,
    subject::SubjectName,
    usages::{Usage, UsageSet},
};

pub use self::facts::{CsrFacts, request_der};
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

/// Whether a name in DER has no attribute.
pub(super) fn is_empty_sequence(der: &[u8]) -> bool {
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

#[cfg(test)]
mod properties;

#[cfg(test)]
pub(in crate::pki) mod tests {
    use x509_parser::{
        certification_request::X509CertificationRequest, cri_attributes::ParsedCriAttribute,
        prelude::FromDer,
    };

    use super::*;
    use crate::pki::{
        key::{KeyAlgorithm, KeyParameters},
        names::OtherName,
        openssl::openssl,
        subject::{DistinguishedName, Subject},
    };

    pub(super) fn key() -> PrivateKey {
        PrivateKey::generate(KeyParameters::new(KeyAlgorithm::Ecdsa, None).unwrap()).unwrap()
    }

    pub(in crate::pki) fn full() -> RequestParameters {
        RequestParameters {
            subject: SubjectName::Fields(Subject {
                common_name: "app.example.com".to_owned(),
                organizations: vec!["Exämple".to_owned()],
                ..Subject::default()
            }),
            names: Names {
                dns: vec!["app.example.com".to_owned(), "*.example.com".to_owned()],
                emails: vec!["ops@example.com".to_owned()],
                ips: ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.2"]
                    .map(|ip| ip.parse().unwrap())
                    .to_vec(),
                uris: vec!["spiffe://example.com/app".to_owned()],
                others: vec![OtherName {
                    oid: "1.3.6.1.4.1.311.20.2.3".to_owned(),
                    utf8_value: "üser@example.com".to_owned(),
                }],
                unrecognized: Vec::new(),
            },
            is_ca: true,
            usages: vec![Usage::ClientAuth, Usage::Signing, Usage::ServerAuth],
            omit_usages: false,
            basic_constraints: true,
            name_constraints: Some(NameConstraints {
                critical: true,
                permitted: Subtrees {
                    dns_domains: vec!["example.com".to_owned()],
                    email_addresses: vec!["example.com".to_owned()],
                    ip_ranges: vec!["10.0.0.0/8".to_owned()],
                    uri_domains: vec![".example.com".to_owned()],
                },
                excluded: Subtrees {
                    ip_ranges: vec!["2001:db8::/32".to_owned()],
                    ..Subtrees::default()
                },
            }),
            signature_algorithm: None,
        }
    }

    #[test]
    fn a_full_request_is_read_as_it_was_built() {
        let key = key();
        let parameters = full();
        let request = CertificateSigningRequest::build(&parameters, &key).unwrap();
        let facts = CsrFacts::from_pem(request.to_pem()).unwrap();

        let mut names = parameters.names.clone();
        names.ips[2] = "192.0.2.2".parse().unwrap();
        assert_eq!(facts.names, names);
        assert_eq!(
            SubjectName::Fields(facts.subject.clone()),
            parameters.subject
        );
        assert_eq!(facts.subject_der, parameters.subject.to_der());
        assert_eq!(facts.usages, UsageSet::of(&parameters.usages, true));
        assert_eq!(facts.usages.extended().len(), 2);
        assert!(facts.is_ca());
        assert_eq!(facts.public_key, key.public_key_hash().unwrap());
        assert_eq!(facts.key, Some(key.parameters()));
        assert_eq!(facts.signature_algorithm, SignatureAlgorithm::EcdsaSha256);
    }

    #[test]
    fn openssl_reads_a_full_request_alike() {
        let request = CertificateSigningRequest::build(&full(), &key()).unwrap();
        let arguments = ["req", "-noout", "-text", "-verify", "-nameopt", "RFC2253"];
        let Some(text) = openssl(&arguments, request.to_pem().as_bytes()) else {
            return;
        };
        let text = String::from_utf8(text).unwrap();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            r"Version: 1 (0x0) Subject: CN=app.example.com,O=Ex\C3\A4mple",
            "X509v3 Subject Alternative Name: DNS:app.example.com, DNS:*.example.com, \
             email:ops@example.com, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1, \
             IP Address:192.0.2.2, URI:spiffe://example.com/app, othername:",
            "X509v3 Key Usage: critical Digital Signature, Certificate Sign",
            "X509v3 Extended Key Usage: TLS Web Client Authentication, TLS Web Server \
             Authentication",
            "X509v3 Basic Constraints: critical CA:TRUE",
            "X509v3 Name Constraints: critical Permitted: DNS:example.com IP:10.0.0.0/255.0.0.0 \
             email:example.com URI:.example.com Excluded: IP:2001:DB8:0:0:0:0:0:0/FFFF:FFFF:0:",
            "Signature Algorithm: ecdsa-with-SHA256",
        ] {
            assert!(text.contains(part), "{part}\nis not in\n{text}");
        }
    }

    #[test]
    fn names_are_critical_only_without_a_subject() {
        let critical = |subject: SubjectName| {
            let parameters = RequestParameters {
                subject,
                names: Names {
                    dns: vec!["a.example".to_owned()],
                    ..Names::default()
                },
                ..RequestParameters::default()
            };
            let request = CertificateSigningRequest::build(&parameters, &key()).unwrap();
            let (_, parsed) = X509CertificationRequest::from_der(request.der()).unwrap();
            let attribute = parsed.certification_request_info.iter_attributes().next();
            let ParsedCriAttribute::ExtensionRequest(requested) =
                attribute.unwrap().parsed_attribute()
            else {
                panic!("an extension request");
            };
            requested.extensions[0].critical
        };
        let literal = DistinguishedName::parse("CN=a,O=b").unwrap();
        let named = Subject {
            common_name: "a".to_owned(),
            ..Subject::default()
        };
        assert!(critical(SubjectName::default()));
        assert!(!critical(SubjectName::Fields(named)));
        assert!(!critical(SubjectName::Literal(literal)));
    }

    #[test]
    fn usages_by_parameters() {
        let usages = |usages: &[Usage], is_ca, omit_usages| {
            let parameters = RequestParameters {
                usages: usages.to_vec(),
                is_ca,
                omit_usages,
                ..RequestParameters::default()
            };
            let request = CertificateSigningRequest::build(&parameters, &key()).unwrap();
            CsrFacts::from_der(request.der()).unwrap().usages
        };
        for usage in Usage::ALL {
            let got = usages(&[usage], false, false);
            assert_eq!(got, UsageSet::of(&[usage], false), "{usage}");
        }
        assert_eq!(usages(&[], true, false), UsageSet::of(&[], true));
        assert!(usages(&[Usage::Any], true, true).is_empty());
        assert_eq!(
            usages(&Usage::ALL, true, false),
            UsageSet::of(&Usage::ALL, true)
        );
    }

    #[test]
    fn what_cannot_be_encoded_is_named() {
        let names = |change: fn(&mut Names)| {
            let mut names = Names::default();
            change(&mut names);
            let parameters = RequestParameters {
                names,
                ..RequestParameters::default()
            };
            let result = CertificateSigningRequest::build(&parameters, &key());
            result.unwrap_err().to_string()
        };
        let error = names(|names| names.dns.push("bücher.example".to_owned()));
        assert_eq!(
            error,
            "cannot build the certificate request: DNS name \"bücher.example\" has characters \
             outside ASCII; write internationalised names in their ASCII form (xn--…)"
        );
        for oid in [
            "",
            "1",
            "3.1",
            "1.40",
            "1.2.x",
            "1..2",
            "+1.2",
            "1.2.99999999999999999999",
        ] {
            let other = OtherName {
                oid: oid.to_owned(),
                utf8_value: "x".to_owned(),
            };
            let parameters = RequestParameters {
                names: Names {
                    others: vec![other],
                    ..Names::default()
                },
                ..RequestParameters::default()
            };
            let error = CertificateSigningRequest::build(&parameters, &key()).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "cannot build the certificate request: {oid:?} is not an object identifier"
                )
            );
        }
    }
}
