//! Does any order of the certificates of a chain give that chain, and any hole none?

use std::sync::LazyLock;

use proptest::{prelude::*, sample::subsequence};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};

use super::*;

/// How many certificates there are below the root.
const LENGTH: usize = 5;

/// A chain from the leaf to the root, each PEM.
static CHAIN: LazyLock<Vec<String>> = LazyLock::new(|| {
    let parameters = |at: usize| {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = DistinguishedName::new();
        let name = format!("certificate {at}");
        parameters.distinguished_name.push(DnType::CommonName, name);
        if at < LENGTH {
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        parameters
    };
    let key = KeyPair::generate().unwrap();
    let mut all = vec![pem::encode(
        "CERTIFICATE",
        parameters(0).self_signed(&key).unwrap().der(),
    )];
    let mut issuer = Issuer::new(parameters(0), key);
    for at in 1..=LENGTH {
        let key = KeyPair::generate().unwrap();
        let certificate = parameters(at).signed_by(&key, &issuer).unwrap();
        all.push(pem::encode("CERTIFICATE", certificate.der()));
        issuer = Issuer::new(parameters(at), key);
    }
    all.reverse();
    all
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_order_and_what_is_there_twice_do_not_matter(
        (first, last) in (0..=LENGTH, 0..=LENGTH),
        twice in subsequence((0..=LENGTH).collect::<Vec<_>>(), 0..=LENGTH + 1),
        order in Just((0..2 * LENGTH + 2).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let (first, last) = (first.min(last), first.max(last));
        let mut places: Vec<usize> = (first..=last).collect();
        places.extend(twice.iter().filter(|at| (first..=last).contains(at)));
        let mut bundle: Vec<_> = places.iter().zip(order).collect();
        bundle.sort_by_key(|(_, order)| *order);
        let text: String = bundle.iter().map(|(at, _)| CHAIN[**at].as_str()).collect();

        let alone = first == last;
        let rooted = last == LENGTH;
        let end = if rooted && !alone { last } else { last + 1 };
        let want = Chain {
            chain_pem: CHAIN[first..end].concat(),
            ca_pem: (rooted || !alone).then(|| CHAIN[last].clone()),
        };
        prop_assert_eq!(Chain::from_pem(text), Ok(want));
    }

    #[test]
    fn a_hole_is_no_chain(
        some in subsequence((0..=LENGTH).collect::<Vec<_>>(), 2..=LENGTH).prop_shuffle(),
    ) {
        let text: String = some.iter().map(|at| CHAIN[*at].as_str()).collect();
        let (least, most) = (some.iter().min().unwrap(), some.iter().max().unwrap());
        let whole = most - least + 1 == some.len();
        prop_assert_eq!(Chain::from_pem(text).is_ok(), whole);
    }
}
