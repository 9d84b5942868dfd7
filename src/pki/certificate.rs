//! What does a certificate say?

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
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

/// The identifier of a certificate in renewal information (RFC 9773, 4.1); `None` if the certificate
/// does not say which key it was signed with.
pub fn renewal_id(certificate: &CertificateFacts) -> Option<String> {
    let authority = certificate.authority_key_id.as_deref()?;
    let base64 = |bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let serial = base64(certificate.serial_der.as_slice());
    Some(format!("{}.{serial}", base64(authority)))
}

/// The DER of the first certificate in a PEM text of at most [`Limits::chain`] bytes.
///
/// # Errors
/// [`Error::TooLarge`], or [`Error::Certificate`] if there is none.
pub fn leaf_der(text: &[u8]) -> Result<Vec<u8>, Error> {
    let blocks = pem::blocks(text, "the certificate", Limits::current().chain)?;
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

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose,
        IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
    };

    use super::*;
    use crate::pki::{openssl::openssl, usages::Usage};

    /// A leaf and its CA, both in DER.
    fn leaf() -> (Vec<u8>, Vec<u8>) {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "Test CA");
        let ca_der = ca.self_signed(&ca_key).unwrap().der().to_vec();

        let mut leaf = CertificateParams::default();
        leaf.serial_number = Some(SerialNumber::from_slice(&[0x00, 0x9a, 0x0b]));
        leaf.not_before = rcgen::date_time_ymd(2026, 1, 2);
        leaf.not_after = rcgen::date_time_ymd(2051, 3, 4);
        leaf.distinguished_name = rcgen::DistinguishedName::new();
        leaf.distinguished_name
            .push(DnType::CommonName, "a.example");
        leaf.distinguished_name.push(DnType::CountryName, "DE");
        leaf.subject_alt_names = vec![
            SanType::DnsName("a.example".try_into().unwrap()),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
            SanType::URI("spiffe://a".try_into().unwrap()),
            SanType::Rfc822Name("a@example".try_into().unwrap()),
        ];
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::Any,
        ];
        leaf.use_authority_key_identifier_extension = true;
        // Precertificate poison: an extension nobody here needs.
        leaf.custom_extensions = vec![CustomExtension::from_oid_content(
            &[1, 3, 6, 1, 4, 1, 11_129, 2, 4, 3],
            vec![5, 0],
        )];
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let issuer = Issuer::new(ca, ca_key);
        let der = leaf.signed_by(&key, &issuer).unwrap().der().to_vec();
        (der, ca_der)
    }

    #[test]
    fn a_certificate_is_read() {
        let (der, ca) = leaf();
        let facts = CertificateFacts::from_der(&der).unwrap();
        let ca = CertificateFacts::from_der(&ca).unwrap();
        assert_eq!(facts.serial, "9a0b");
        assert_eq!(facts.serial_der, [0x00, 0x9a, 0x0b]);
        assert_eq!(facts.not_before.to_string(), "2026-01-02T00:00:00Z");
        assert_eq!(facts.not_after.to_string(), "2051-03-04T00:00:00Z");
        assert_eq!(facts.subject.common_name, "a.example");
        assert_eq!(facts.subject.countries, ["DE"]);
        assert_eq!(facts.issuer_common_name.as_deref(), Some("Test CA"));
        assert_eq!(facts.issuer_der, ca.subject_der);
        assert_eq!(facts.names.dns, ["a.example"]);
        assert_eq!(facts.names.ips[0].to_string(), "2001:db8::1");
        assert_eq!(facts.names.uris, ["spiffe://a"]);
        assert_eq!(facts.names.emails, ["a@example"]);
        assert_eq!(
            facts.usages.known(),
            [Usage::DigitalSignature, Usage::ServerAuth, Usage::Any]
        );
        assert_eq!(facts.key.unwrap().to_string(), "ECDSA 384");
        assert!(!facts.is_ca());
        assert!(ca.is_ca());
        assert!(facts.authority_key_id.is_some());
        assert_eq!(facts.authority_key_id, ca.subject_key_id);
    }

    #[test]
    fn openssl_reads_it_alike() {
        let (der, _) = leaf();
        let facts = CertificateFacts::from_der(&der).unwrap();
        let pem = pem::encode(pem::CERTIFICATE, &der);
        let arguments = [
            "x509", "-noout", "-serial", "-dates", "-dateopt", "iso_8601",
        ];
        let Some(text) = openssl(&arguments, pem.as_bytes()) else {
            return;
        };
        let want = format!(
            "serial={}\nnotBefore={}\nnotAfter={}\n",
            facts.serial.to_uppercase(),
            facts.not_before.to_string().replace('T', " "),
            facts.not_after.to_string().replace('T', " "),
        );
        assert_eq!(String::from_utf8(text).unwrap(), want);
        let public = openssl(&["x509", "-noout", "-pubkey"], pem.as_bytes()).unwrap();
        let public = pem::blocks(&public, "test", 10_000).unwrap();
        assert_eq!(PublicKeyHash::of(&public[0].der), facts.public_key);
    }

    #[test]
    fn the_leaf_is_the_first_certificate() {
        let (der, ca) = leaf();
        let text = pem::encode("PRIVATE KEY", b"x")
            + &pem::encode(pem::CERTIFICATE, &der)
            + &pem::encode(pem::CERTIFICATE, &ca);
        assert_eq!(
            CertificateFacts::from_pem(&text),
            CertificateFacts::from_der(&der)
        );
    }

    #[test]
    fn garbage_is_refused() {
        let (der, _) = leaf();
        for end in 0..der.len() {
            assert!(CertificateFacts::from_der(&der[..end]).is_err(), "{end}");
        }
        for at in 0..der.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = der.clone();
                changed[at] ^= flip;
                // Signatures of leaves are for those to check who trust the CA.
                drop(CertificateFacts::from_der(&changed));
            }
        }
        for text in [
            "",
            "x",
            "-----BEGIN CERTIFICATE-----",
            &pem::encode("X", &der),
        ] {
            assert_eq!(
                CertificateFacts::from_pem(text),
                Err(Error::Certificate(
                    "it is not PEM with a CERTIFICATE".to_owned()
                ))
            );
        }
        assert_eq!(
            CertificateFacts::from_pem(vec![b' '; 95_001]).unwrap_err(),
            Error::TooLarge {
                what: "the certificate",
                size: 95_001,
                limit: 95_000
            }
        );
    }
}
