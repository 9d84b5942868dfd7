//! Who signs the test bed's own certificates?

use std::net::IpAddr;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

/// A CA for one run of the test bed.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its private key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate, in PEM.
    pub certificate: String,
    /// The key, in PKCS#8 PEM.
    pub key: String,
}

impl Authority {
    /// A new CA with that common name.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().context("generating a CA key")?;
        let pem = params
            .self_signed(&key)
            .context("signing a CA certificate")?
            .pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            pem,
        })
    }

    /// The CA certificate, in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its key, in PKCS#8 PEM.
    pub fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// For a server reached at these addresses and as `localhost`.
    pub fn server(&self, name: &str, addresses: &[IpAddr]) -> Result<Identity> {
        let mut params = params(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = addresses.iter().copied().map(SanType::IpAddress).collect();
        params
            .subject_alt_names
            .push(SanType::DnsName("localhost".try_into()?));
        self.sign(&params)
    }

    /// For a Kubernetes user in a group.
    pub fn user(&self, name: &str, group: &str) -> Result<Identity> {
        let mut params = params(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params
            .distinguished_name
            .push(DnType::OrganizationName, group);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Result<Identity> {
        let key = KeyPair::generate().context("generating a key")?;
        let signed = params
            .signed_by(&key, &self.issuer)
            .context("signing a certificate")?;
        Ok(Identity {
            certificate: signed.pem(),
            key: key.serialize_pem(),
        })
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    params
}
