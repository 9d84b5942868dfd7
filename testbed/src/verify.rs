//! Is what was issued good, as a TLS client would see it?

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
};

use anyhow::{Context, Result, anyhow, ensure};
use k8s_openapi::ByteString;
use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    sign::CertifiedKey,
};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::{parse_x509_certificate, prelude::X509Certificate};

/// A certificate of a chain, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its subject, or its names when it has no subject.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// From and to.
    pub validity: String,
    /// In hex.
    pub serial: String,
}

impl Display for Link {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            subject,
            issuer,
            validity,
            serial,
        } = self;
        write!(
            f,
            "{subject}\n  signed by {issuer}\n  {validity}, serial {serial}"
        )
    }
}

/// Checks a `kubernetes.io/tls` Secret: the key fits, the certificate is for server use and for
/// each of `names` now, and its chain ends in one of `roots` (PEM). Returns the chain as stored,
/// leaf first.
pub fn secret(
    data: &BTreeMap<String, ByteString>,
    roots: &[String],
    names: &[String],
) -> Result<Vec<Link>> {
    let field = |name: &str| {
        data.get(name)
            .with_context(|| format!("the Secret has no {name}"))
    };
    let chain = certificates(&field("tls.crt")?.0).context("reading tls.crt")?;
    let key = PrivateKeyDer::from_pem_slice(&field("tls.key")?.0)
        .map_err(|error| anyhow!("reading tls.key: {error}"))?;
    CertifiedKey::from_der(chain.clone(), key, &aws_lc_rs::default_provider())
        .and_then(|pair| pair.keys_match())
        .context("tls.key is not the key of tls.crt")?;
    verify(&chain, roots, names)?;
    chain.iter().map(link).collect()
}

fn verify(chain: &[CertificateDer<'_>], roots: &[String], names: &[String]) -> Result<()> {
    let (leaf, intermediates) = chain.split_first().context("tls.crt is empty")?;
    let roots = roots
        .iter()
        .map(|pem| certificates(pem.as_bytes()))
        .collect::<Result<Vec<_>>>()
        .context("reading the roots")?
        .concat();
    let anchors = roots
        .iter()
        .map(anchor_from_trusted_cert)
        .collect::<Result<Vec<_>, _>>()?;
    let leaf = EndEntityCert::try_from(leaf).context("reading the leaf")?;
    leaf.verify_for_usage(
        ALL_VERIFICATION_ALGS,
        &anchors,
        intermediates,
        UnixTime::now(),
        KeyUsage::server_auth(),
        None,
        None,
    )
    .context("the chain does not end in a root of the CA")?;
    for name in names {
        // A wildcard is good for any name in its place.
        let host = name.replacen('*', "any", 1);
        let server = ServerName::try_from(host).with_context(|| format!("{name} is no name"))?;
        leaf.verify_is_valid_for_subject_name(&server)
            .with_context(|| format!("the certificate is not for {name}"))?;
    }
    Ok(())
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| anyhow!("{error}"))?;
    ensure!(!found.is_empty(), "no certificate in it");
    Ok(found)
}

fn link(der: &CertificateDer<'_>) -> Result<Link> {
    let (_, certificate) = parse_x509_certificate(der).context("reading a certificate")?;
    let subject = certificate.subject().to_string();
    Ok(Link {
        subject: if subject.is_empty() {
            alternative_names(&certificate)?
        } else {
            subject
        },
        issuer: certificate.issuer().to_string(),
        validity: format!(
            "valid from {} to {}",
            certificate.validity().not_before,
            certificate.validity().not_after
        ),
        serial: certificate
            .raw_serial()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    })
}

fn alternative_names(certificate: &X509Certificate<'_>) -> Result<String> {
    let extension = certificate
        .subject_alternative_name()
        .context("reading its names")?;
    let names = extension.map(|extension| &extension.value.general_names);
    let names: Vec<_> = names
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    Ok(names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::Authority;

    fn data(certificate: String, key: String) -> BTreeMap<String, ByteString> {
        BTreeMap::from([
            ("tls.crt".to_owned(), ByteString(certificate.into_bytes())),
            ("tls.key".to_owned(), ByteString(key.into_bytes())),
        ])
    }

    #[test]
    fn only_the_right_chain_key_and_names_pass() {
        let authority = Authority::new("root").unwrap();
        let other = Authority::new("other root").unwrap();
        let good = authority.server("leaf", &[]).unwrap();
        let strange = other.server("leaf", &[]).unwrap();
        let roots = [authority.pem().to_owned()];
        let names = ["localhost".to_owned()];

        let stored = data(good.certificate.clone(), good.key.clone());
        let chain = secret(&stored, &roots, &names).unwrap();
        assert_eq!(chain.len(), 1);
        assert_eq!(chain[0].subject, "CN=leaf");
        assert_eq!(chain[0].issuer, "CN=root");

        let said = |data, roots: &[String], names: &[String]| {
            format!("{:#}", secret(&data, roots, names).unwrap_err())
        };
        let error = said(stored.clone(), &[other.pem().to_owned()], &names);
        assert!(error.contains("does not end in a root"), "{error}");
        let error = said(stored, &roots, &["example.com".to_owned()]);
        assert!(error.contains("not for example.com"), "{error}");
        let error = said(data(good.certificate, strange.key), &roots, &names);
        assert!(error.contains("not the key"), "{error}");
        let error = said(BTreeMap::new(), &roots, &names);
        assert!(error.contains("no tls.crt"), "{error}");
    }
}
