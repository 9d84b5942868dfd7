//! Which CA signed a certificate, as far as the certificates beside it tell?

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::{
    certificate::{CertificateFacts, parse},
    chain, hash_text, hex, pem,
};

/// More certificates than this beside a leaf are not looked at.
pub const MOST: usize = 16;

/// SHA-256 of a certificate in DER.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fingerprint(#[serde(with = "hash_text")] [u8; 32]);

impl Fingerprint {
    /// Of a certificate in DER.
    pub fn of(der: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, der).as_ref());
        Self(hash)
    }

    /// Of each certificate in a PEM text, in order; of none where it cannot be read.
    pub fn all(pem: &[u8]) -> Vec<Self> {
        beside(pem).iter().map(|der| Self::of(der)).collect()
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// What is known of the CA that signed a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedBy {
    /// Its key, as the certificate names it (the authority key identifier), in hexadecimal.
    pub key_id: Option<Box<str>>,
    /// Its certificate, where that stands beside.
    pub certificate: Option<Fingerprint>,
}

impl SignedBy {
    /// Who signed `leaf`, the first of `chain`, which `roots` goes with; both PEM.
    pub fn of(leaf: &CertificateFacts, chain: &[u8], roots: &[u8]) -> Self {
        let is_issuer = |der: &Vec<u8>| {
            parse(der).is_ok_and(|found| found.tbs_certificate.subject.as_raw() == leaf.issuer_der)
        };
        // Below a root the chain holds nothing but the leaf; one that signed itself is in both.
        let certificate = beside(chain)
            .into_iter()
            .skip(1)
            .chain(beside(roots))
            .find(is_issuer);
        Self {
            key_id: leaf.authority_key_id.as_deref().map(key_id),
            certificate: certificate.map(|der| Fingerprint::of(&der)),
        }
    }
}

/// The first certificate of a PEM text alone, as PEM.
pub fn first(text: &[u8]) -> Option<Vec<u8>> {
    let first = beside(text).into_iter().next()?;
    Some(pem::encode(pem::CERTIFICATE, &first).into_bytes())
}

/// A key identifier as [`SignedBy`] has it.
pub fn key_id(bytes: &[u8]) -> Box<str> {
    hex(bytes).into_boxed_str()
}

fn beside(pem: &[u8]) -> Vec<Vec<u8>> {
    let mut found = chain::certificates(pem).unwrap_or_default();
    found.truncate(MOST);
    found
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    };

    use super::*;

    fn parameters(name: &str, is_ca: bool) -> CertificateParams {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.use_authority_key_identifier_extension = true;
        if is_ca {
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        parameters
    }

    #[test]
    fn the_ca_is_found_in_the_chain_or_among_the_roots() {
        let key = || KeyPair::generate().unwrap();
        let root_key = key();
        let root = parameters("root", true).self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(parameters("root", true), root_key);
        let middle_key = key();
        let middle = parameters("middle", true)
            .signed_by(&middle_key, &root_issuer)
            .unwrap();
        let middle_issuer = Issuer::new(parameters("middle", true), middle_key);
        let sign = |by: &Issuer<'_, KeyPair>| {
            let leaf = parameters("leaf", false).signed_by(&key(), by).unwrap();
            leaf.pem()
        };
        let (below_root, below_middle) = (sign(&root_issuer), sign(&middle_issuer));
        let other = parameters("other", true).self_signed(&key()).unwrap().pem();
        let [root_pem, middle_pem] = [root.pem(), middle.pem()];
        let [root, middle] = [root.der(), middle.der()].map(|der| Some(Fingerprint::of(der)));

        let cases = [
            (below_root.clone(), root_pem.clone(), root),
            (below_root.clone(), other.clone() + &root_pem, root),
            (below_root.clone(), String::new(), None),
            (below_root.clone(), other.clone(), None),
            (below_root.clone(), "garbage".to_owned(), None),
            (below_middle.clone() + &middle_pem, root_pem.clone(), middle),
            (below_middle.clone(), root_pem.clone(), None),
            // One that signed itself.
            (root_pem.clone(), root_pem.clone(), root),
        ];
        for (chain, roots, want) in cases {
            let leaf = CertificateFacts::from_pem(&chain).unwrap();
            let found = SignedBy::of(&leaf, chain.as_bytes(), roots.as_bytes());
            assert_eq!(found.certificate, want, "{chain}{roots}");
            let key_id = leaf.authority_key_id.as_deref().map(key_id);
            assert_eq!(found.key_id, key_id);
        }
        let both = Fingerprint::all((other.clone() + &root_pem).as_bytes());
        assert_eq!((both.len(), both[1]), (2, root.unwrap()));
        let first = first((root_pem.clone() + &other).as_bytes()).unwrap();
        assert_eq!(Fingerprint::all(&first), [root.unwrap()]);
        assert!(Fingerprint::all(b"garbage").is_empty());
    }
}
