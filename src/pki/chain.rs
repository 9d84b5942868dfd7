//! Which chain do the certificates of a bundle form, and where does it end?

use std::collections::BTreeSet;

use x509_parser::certificate::X509Certificate;

use super::{
    Error,
    certificate::{CertificateFacts, parse},
    pem::{self, Limits},
    signature,
};

/// More certificates than this are not looked at: names are compared in pairs.
const MAX_CERTIFICATES: usize = 1000;
/// Signatures that are checked at most: a chain needs one per certificate, unless many of them
/// share a name.
const MAX_SIGNATURE_CHECKS: usize = 2 * MAX_CERTIFICATES;

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
        Self::from_pem_within(text, Limits::current().bundle)
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
    certificates_within(text, Limits::current().bundle)
}

/// The common name of who issued the last certificate of a chain as a CA sent it: what ACME's
/// preferred chain is compared with.
///
/// # Errors
/// [`Error::TooLarge`], [`Error::Chain`] if there is no certificate, [`Error::Certificate`] if the
/// last one does not parse.
pub fn topmost_issuer_common_name(text: &[u8]) -> Result<Option<String>, Error> {
    let ders = certificates_within(text, Limits::current().bundle)?;
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
    // For each certificate, those that it issued and those that issued it.
    let mut links = Vec::new();
    let mut checks = 0;
    for (child, one) in certificates.iter().enumerate() {
        for (issuer, other) in certificates.iter().enumerate() {
            if child == issuer || !is_named_as_issuer(one, other) {
                continue;
            }
            checks += 1;
            if checks > MAX_SIGNATURE_CHECKS {
                return Err(Error::Chain(
                    "too many certificates share a name".to_owned(),
                ));
            }
            if is_issued_by(one, other) {
                links.push((child, issuer));
            }
        }
    }

    // The leaf is the one that issued none of the others.
    let mut leaves =
        (0..certificates.len()).filter(|at| links.iter().all(|(_, issuer)| issuer != at));
    let mut at = leaves.next().ok_or_else(broken)?;
    if leaves.next().is_some() {
        return Err(broken());
    }
    let mut path = vec![at];
    while path.len() < certificates.len() {
        let next = links
            .iter()
            .find(|(child, issuer)| *child == at && !path.contains(issuer));
        (_, at) = *next.ok_or_else(broken)?;
        path.push(at);
    }
    Ok(path.into_iter().map(|at| &certificates[at]).collect())
}

fn is_named_as_issuer(child: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    child.issuer().as_raw() == issuer.subject().as_raw()
}

/// Whether `issuer` is a CA that signed `child`.
fn is_issued_by(child: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    if !is_named_as_issuer(child, issuer) {
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

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    };

    use super::*;

    struct Made {
        pem: String,
        issuer: Issuer<'static, KeyPair>,
    }

    fn parameters(name: &str, is_ca: bool) -> CertificateParams {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name);
        if is_ca {
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        parameters
    }

    fn root(name: &str, is_ca: bool) -> Made {
        let key = KeyPair::generate().unwrap();
        let parameters = parameters(name, is_ca);
        Made {
            pem: pem::encode("CERTIFICATE", parameters.self_signed(&key).unwrap().der()),
            issuer: Issuer::new(parameters, key),
        }
    }

    fn issue(by: &Made, name: &str, is_ca: bool) -> Made {
        let key = KeyPair::generate().unwrap();
        let parameters = parameters(name, is_ca);
        let certificate = parameters.signed_by(&key, &by.issuer).unwrap();
        Made {
            pem: pem::encode("CERTIFICATE", certificate.der()),
            issuer: Issuer::new(parameters, key),
        }
    }

    #[test]
    fn chains() {
        let alone = root("alone", false);
        let root = root("root", true);
        let upper = issue(&root, "upper", true);
        let lower = issue(&upper, "lower", true);
        let leaf = issue(&lower, "leaf", false);

        let [r, u, l, f] = [&root, &upper, &lower, &leaf].map(|made| made.pem.as_str());
        let cases = [
            ("in order", vec![f, l, u, r], Some((vec![f, l, u], Some(r)))),
            ("reversed", vec![r, u, l, f], Some((vec![f, l, u], Some(r)))),
            (
                "mixed, twice",
                vec![u, f, r, f, l, u],
                Some((vec![f, l, u], Some(r))),
            ),
            ("no root", vec![l, f, u], Some((vec![f, l, u], Some(u)))),
            ("two", vec![f, l], Some((vec![f, l], Some(l)))),
            ("leaf only", vec![f], Some((vec![f], None))),
            ("root only", vec![r], Some((vec![r], Some(r)))),
            (
                "self-signed leaf",
                vec![&alone.pem],
                Some((vec![&alone.pem], None)),
            ),
            ("hole", vec![f, u], None),
            ("stranger", vec![f, l, &alone.pem], None),
            ("nothing", vec![], None),
        ];
        for (name, bundle, want) in cases {
            let got = Chain::from_pem(bundle.concat()).ok();
            let want = want.map(|(chain, ca)| Chain {
                chain_pem: chain.concat(),
                ca_pem: ca.map(str::to_owned),
            });
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn two_leaves_or_a_branch_are_no_chain() {
        let root = root("root", true);
        let one = issue(&root, "one", false);
        let two = issue(&root, "two", false);
        let error = Chain::from_pem(one.pem.clone() + &two.pem + &root.pem).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot build a certificate chain: the certificates do not form a single chain"
        );
    }

    #[test]
    fn a_root_with_the_right_name_and_another_key_is_a_stranger() {
        let leaf = issue(&root("root", true), "leaf", false);
        assert!(Chain::from_pem(leaf.pem + &root("root", true).pem).is_err());
    }

    #[test]
    fn one_that_is_no_ca_has_issued_nothing() {
        let fake = root("fake", false);
        let leaf = issue(&fake, "leaf", false);
        assert!(Chain::from_pem(leaf.pem + &fake.pem).is_err());
    }

    #[test]
    fn work_is_bounded() {
        let root = root("same", true);
        let many = (0..60).map(|_| issue(&root, "same", true).pem);
        let error = Chain::from_pem(many.collect::<String>()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot build a certificate chain: too many certificates share a name"
        );
        let error = Chain::from_pem_within(&root.pem, root.pem.len() - 1).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }

    #[test]
    fn the_topmost_issuer_is_that_of_the_last_certificate() {
        let root = root("root", true);
        let lower = issue(&root, "lower", true);
        let leaf = issue(&lower, "leaf", false);
        let cases = [
            (vec![&leaf, &lower], "root"),
            (vec![&leaf], "lower"),
            (vec![&lower, &leaf], "lower"),
        ];
        for (chain, want) in cases {
            let pem = chain.iter().map(|made| made.pem.as_str());
            let pem = pem.collect::<String>();
            let got = topmost_issuer_common_name(pem.as_bytes()).unwrap();
            assert_eq!(got.as_deref(), Some(want));
        }
        assert!(topmost_issuer_common_name(b"").is_err());
    }
}
