//! Which certificate stands in a Secret until the real one is there?

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P521_SHA512, SanType, SubjectPublicKeyInfo,
};
use time::OffsetDateTime;

use crate::{
    api::{certificate::CertificateSpec, duration::DEFAULT_LIFETIME},
    certificate::request,
    pki::{key::PrivateKey, names::Names},
};

/// Common name of who issues temporary certificates.
pub const ISSUER: &str = "cert-manager.local";
/// serialNumber in the subject of temporary certificates.
const SERIAL_NUMBER: &str = "1234567890";

/// Why no temporary certificate can be made.
#[derive(Debug, thiserror::Error)]
pub enum TemporaryError {
    /// The spec cannot be put into a certificate.
    #[error("{0}")]
    Spec(String),
    /// The key cannot be used.
    #[error("{0}")]
    Key(#[from] crate::pki::Error),
    /// Signing failed.
    #[error("{0}")]
    Sign(#[from] rcgen::Error),
    /// The dates are out of range.
    #[error("its validity is out of range")]
    Validity,
}

/// A certificate for `spec` and `key`, valid from `now`, as PEM. Nobody trusts it: it is signed by
/// a CA that exists only here. Takes CPU time.
///
/// # Errors
/// When the names or the key cannot be put into a certificate.
pub fn sign(
    spec: &CertificateSpec,
    key: &PrivateKey,
    now: Timestamp,
) -> Result<String, TemporaryError> {
    let lifetime = spec
        .duration
        .as_ref()
        .and_then(|duration| duration.parse().ok())
        .filter(SignedDuration::is_positive)
        .unwrap_or(DEFAULT_LIFETIME);
    let until = now
        .checked_add(lifetime)
        .map_err(|_| TemporaryError::Validity)?;

    let ca_key = KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512)?;
    let mut ca = CertificateParams::default();
    ca.distinguished_name = named(ISSUER);
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];

    let parameters = request::parameters(spec).map_err(TemporaryError::Spec)?;
    let mut leaf = CertificateParams::default();
    leaf.distinguished_name = named(parameters.subject.common_name().unwrap_or_default());
    leaf.distinguished_name.push(
        DnType::CustomDnType(vec![2, 5, 4, 5]),
        SERIAL_NUMBER.to_owned(),
    );
    leaf.subject_alt_names = names(&parameters.names)?;
    leaf.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    leaf.not_before = date(now)?;
    leaf.not_after = date(until)?;

    let public_key = SubjectPublicKeyInfo::from_der(&key.public_key_der()?)?;
    let issuer = Issuer::new(ca, ca_key);
    Ok(leaf.signed_by(&public_key, &issuer)?.pem())
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if !common_name.is_empty() {
        name.push(DnType::CommonName, common_name);
    }
    name
}

fn names(names: &Names) -> Result<Vec<SanType>, rcgen::Error> {
    let Names {
        dns,
        emails,
        ips,
        uris,
        // Nobody is served by what these say on a certificate that nobody trusts.
        others: _,
        unrecognized: _,
    } = names;
    let mut all = Vec::new();
    for name in dns {
        all.push(SanType::DnsName(name.as_str().try_into()?));
    }
    for email in emails {
        all.push(SanType::Rfc822Name(email.as_str().try_into()?));
    }
    for uri in uris {
        all.push(SanType::URI(uri.as_str().try_into()?));
    }
    all.extend(ips.iter().copied().map(SanType::IpAddress));
    Ok(all)
}

fn date(at: Timestamp) -> Result<OffsetDateTime, TemporaryError> {
    OffsetDateTime::from_unix_timestamp(at.as_second()).map_err(|_| TemporaryError::Validity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{
        certificate::CertificateFacts,
        key::{KeyAlgorithm, KeyParameters},
    };

    #[test]
    fn it_fits_key_and_names_and_says_what_it_is() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let spec = CertificateSpec {
            common_name: Some("www.example.com".into()),
            dns_names: Some(vec!["www.example.com".into()]),
            ip_addresses: Some(vec!["192.0.2.1".into()]),
            uris: Some(vec!["spiffe://a/b".into()]),
            duration: Some("24h".into()),
            ..CertificateSpec::default()
        };
        for algorithm in [KeyAlgorithm::Ecdsa, KeyAlgorithm::Ed25519] {
            let key = PrivateKey::generate(KeyParameters::new(algorithm, None).unwrap()).unwrap();
            let pem = sign(&spec, &key, now).unwrap();
            let found = CertificateFacts::from_pem(&pem).unwrap();
            assert_eq!(found.public_key, key.public_key_hash().unwrap());
            assert_eq!(found.issuer_common_name.as_deref(), Some(ISSUER));
            assert_eq!(found.subject.common_name, "www.example.com");
            assert_eq!(found.subject.serial_number, SERIAL_NUMBER);
            assert_eq!(found.names.dns, ["www.example.com"]);
            assert_eq!(found.names.uris, ["spiffe://a/b"]);
            assert_eq!(found.names.ips.len(), 1);
            assert_eq!(found.not_before, now);
            assert_eq!(now.duration_until(found.not_after).as_hours(), 24);
            assert!(!found.is_ca());
        }
    }
}
