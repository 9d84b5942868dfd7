//! Which chain do the certificates of a bundle form, and where does it end?

use std::collections::BTreeSet;

use x509_parser::certificate::X509Certificate;

use super::{
    Error,
    certificate::{CertificateFacts, parse},
    pem::{self, Limits},
    signature,
};

/// More certificates than this are not looked at: finding the chain is quadratic.
const MAX_CERTIFICATES: usize = 1000;

/// A chain from a bundle of certificates in any order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Chain {
    /// The leaf, then each issuer; without the root, unless it is all there is.
    pub chain_pem: String,
    /// The root; without one, the topmost certificate, unless it is the leaf.
    pub ca_pem: Option<String>,
}

impl Chain {
    /// Orders the certificates of a PEM text of at most [`Limits::bundle`] bytes, drops
    /// duplicates and splits the self-signed root off.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Certificate`] for one that does not parse, [`Error::Chain`]
    /// if there are none, more than 1000, or they do not form one chain.
    pub fn from_pem(text: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::from_pem_within(text, Limits::default().bundle)
    }

    /// As [`Chain::from_pem`] with another limit on the size of the text, in bytes.
    ///
    /// # Errors
    /// As [`Chain::from_pem`].
    pub fn from_pem_within(text: impl AsRef<[u8]>, limit: usize) -> Result<Self, Error> {
        let ders = certificates_within(text.as_ref(), limit)?;
        let unique = ders.iter().collect::<BTreeSet<_>>();
        if unique.len() > MAX_CERTIFICATES {
            return Err(Error::Chain(format!(
                "{} certificates are more than {MAX_CERTIFICATES}",
                unique.len()
            )));
        }
        let certificates = unique
            .into_iter()
            .map(|der| parse(der))
            .collect::<Result<Vec<_>, _>>()?;

        let ordered = order(&certificates)?;
        let (Some(leaf), Some(top)) = (ordered.first(), ordered.last()) else {
            return Err(Error::Chain("there is no certificate".to_owned()));
        };
        let self_signed = is_issued_by(top, top);
        if ordered.len() == 1 {
            let pem = to_pem(leaf);
            return Ok(Self {
                ca_pem: self_signed.then(|| pem.clone()),
                chain_pem: pem,
            });
        }
        let in_chain = ordered.len() - usize::from(self_signed);
        Ok(Self {
            chain_pem: ordered
                .iter()
                .take(in_chain)
                .map(|one| to_pem(one))
                .collect(),
            ca_pem: Some(to_pem(top)),
        })
    }
}

/// The certificates of a PEM text of at most [`Limits::bundle`] bytes in DER, as they come.
///
/// # Errors
/// [`Error::TooLarge`], or [`Error::Chain`] if there is none.
pub fn certificates(text: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    certificates_within(text, Limits::default().bundle)
}

/// The common name of who issued the last certificate of a chain as a CA sent it: what ACME's
/// preferred chain is compared with.
///
/// # Errors
/// [`Error::TooLarge`], [`Error::Chain`] if there is no certificate, [`Error::Certificate`] if the
/// last one does not parse.
pub fn topmost_issuer_common_name(text: &[u8]) -> Result<Option<String>, Error> {
    let ders = certificates_within(text, Limits::default().bundle)?;
    let last = ders
        .last()
        .ok_or_else(|| Error::Chain("there is no certificate".to_owned()))?;
    Ok(CertificateFacts::from_der(last)?.issuer_common_name)
}

fn certificates_within(text: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, Error> {
    let ders = pem::blocks(text, "the certificate bundle", limit)?
        .into_iter()
        .filter(|block| block.label == pem::CERTIFICATE)
        .map(|block| block.der.to_vec())
        .collect::<Vec<_>>();
    match ders.is_empty() {
        true => Err(Error::Chain("there is no certificate".to_owned())),
        false => Ok(ders),
    }
}

/// Orders certificates so that each is issued by the next.
fn order<'a, 'der>(
    certificates: &'a [X509Certificate<'der>],
) -> Result<Vec<&'a X509Certificate<'der>>, Error> {
    let broken = || Error::Chain("the certificates do not form a single chain".to_owned());
    // The leaf is the one that issued none of the others.
    let mut leaves = certificates.iter().enumerate().filter(|(at, leaf)| {
        !certificates
            .iter()
            .enumerate()
            .any(|(other, child)| other != *at && is_issued_by(child, leaf))
    });
    let (leaf, _) = leaves.next().ok_or_else(broken)?;
    if leaves.next().is_some() {
        return Err(broken());
    }

    let mut left = (0..certificates.len())
        .filter(|at| *at != leaf)
        .collect::<Vec<_>>();
    let mut ordered = vec![&certificates[leaf]];
    while !left.is_empty() {
        let child = ordered[ordered.len() - 1];
        let next = left
            .iter()
            .position(|at| is_issued_by(child, &certificates[*at]))
            .ok_or_else(broken)?;
        ordered.push(&certificates[left.swap_remove(next)]);
    }
    Ok(ordered)
}

/// Whether `issuer` is a CA that signed `child`.
fn is_issued_by(child: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    if child.issuer().as_raw() != issuer.subject().as_raw() {
        return false;
    }
    let is_ca = matches!(issuer.basic_constraints(), Ok(Some(constraints)) if constraints.value.ca);
    let may_sign = match issuer.key_usage() {
        Ok(Some(usage)) => usage.value.key_cert_sign(),
        Ok(None) => true,
        Err(_) => false,
    };
    is_ca
        && may_sign
        && signature::verify(
            issuer.public_key(),
            &child.signature_algorithm,
            &child.signature_value.data,
            child.tbs_certificate.as_ref(),
        )
}

fn to_pem(certificate: &X509Certificate<'_>) -> String {
    pem::encode(pem::CERTIFICATE, certificate.as_raw())
}
