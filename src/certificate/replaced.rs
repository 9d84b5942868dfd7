//! Which certificate does the one that a request asks for take the place of (RFC 9773, 5)?

use crate::{
    api::names::annotation,
    certificate::{
        facts::{CertificateFacts, CertificateIndex},
        policy,
        secret::{Leaf, SecretFacts},
    },
    cluster::Cache,
    request::facts::RequestFacts,
};

/// The identifier, as renewal information has it, of the certificate that stands in the Secret of
/// the Certificate behind `request`, if its issuer made it for some of the same names.
pub fn replaced(
    certificates: &Cache<CertificateFacts>,
    secrets: &Cache<SecretFacts>,
    request: &RequestFacts,
) -> Option<String> {
    let owner = request.meta.controller.clone()?;
    let certificate = certificates.find(&CertificateIndex::Uid(owner)).pop()?;
    // It cannot own what is elsewhere: somebody says so.
    if certificate.meta.key.namespace != request.meta.key.namespace {
        return None;
    }
    let secret = secrets.get(&certificate.secret())?;
    of_secret(&certificate, &secret, request).map(str::to_owned)
}

fn of_secret<'a>(
    certificate: &CertificateFacts,
    secret: &'a SecretFacts,
    request: &RequestFacts,
) -> Option<&'a str> {
    let leaf = secret.leaf.read()?;
    let is_next = request.revision() == Some(certificate.next_revision());
    let is_ours = secret.annotation(annotation::CERTIFICATE_NAME)
        == Some(&*certificate.meta.key.name)
        && policy::incorrect_issuer(&request.issuer_ref, secret).is_none();
    let replaces = is_next && is_ours && !leaf.is_temporary && shares_a_name(leaf, request);
    leaf.renewal_id.as_deref().filter(|_| replaces)
}

/// A CA refuses to replace a certificate by one that has none of its names.
fn shares_a_name(leaf: &Leaf, request: &RequestFacts) -> bool {
    let Ok(csr) = &request.csr else { return false };
    csr.names
        .dns
        .iter()
        .any(|name| leaf.names.dns.contains(name))
        || csr.names.ips.iter().any(|ip| leaf.names.ips.contains(ip))
}
