//! Does a request say what it was built from, and the certificate made from it too?

use std::{net::IpAddr, sync::LazyLock};

use jiff::Timestamp;
use proptest::{collection::vec, prelude::*, sample::subsequence};

use super::*;
use crate::pki::{
    certificate::CertificateFacts,
    issue::{Serial, Template, Urls, sign_itself},
    key::{KeyAlgorithm, KeyParameters},
    names::OtherName,
    subject::Subject,
};

static KEY: LazyLock<PrivateKey> = LazyLock::new(|| {
    PrivateKey::generate(KeyParameters::new(KeyAlgorithm::Ecdsa, None).unwrap()).unwrap()
});

fn oid() -> impl Strategy<Value = String> {
    let root = prop_oneof![
        (0..2_u64, 0..40_u64),
        (Just(2_u64), 0..0xffff_u64),
        Just((2, 999)),
    ];
    (root, vec(any::<u64>(), 0..4)).prop_map(|((root, second), rest)| {
        let rest = rest.into_iter().map(|arc| format!(".{arc}"));
        format!("{root}.{second}{}", rest.collect::<String>())
    })
}

fn names() -> impl Strategy<Value = Names> {
    let other =
        (oid(), any::<String>()).prop_map(|(oid, utf8_value)| OtherName { oid, utf8_value });
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        // As everywhere, one that is mapped into IPv6 is IPv4.
        any::<[u8; 16]>().prop_map(|bytes| IpAddr::from(bytes).to_canonical()),
    ];
    (
        vec("(\\*\\.)?[a-z0-9-]{1,20}(\\.[a-z0-9-]{1,20}){0,3}", 0..4),
        vec("[ -~]{0,30}", 0..3),
        vec(ip, 0..3),
        vec("[a-z]{1,6}://[ -~]{0,30}", 0..3),
        vec(other, 0..3),
    )
        .prop_map(|(dns, emails, ips, uris, others)| Names {
            dns,
            emails,
            ips,
            uris,
            others,
            unrecognized: Vec::new(),
        })
}

prop_compose! {
    fn parameters()(
        common_name in "[ -~äß]{0,30}",
        organizations in vec("[ -~]{1,10}", 0..2),
        names in names(),
        is_ca in any::<bool>(),
        usages in subsequence(Usage::ALL.to_vec(), 0..Usage::ALL.len()).prop_shuffle(),
        omit_usages in any::<bool>(),
        basic_constraints in any::<bool>(),
    ) -> RequestParameters {
        let subject = Subject { common_name, organizations, ..Subject::default() };
        RequestParameters {
            subject: SubjectName::Fields(subject),
            names,
            is_ca,
            usages,
            omit_usages,
            basic_constraints,
            ..RequestParameters::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]

    #[test]
    fn it_says_what_it_was_built_from(parameters in parameters()) {
        let request = CertificateSigningRequest::build(&parameters, &KEY).unwrap();
        let facts = CsrFacts::from_pem(request.to_pem()).unwrap();
        prop_assert_eq!(&facts, &CsrFacts::from_der(request.der()).unwrap());
        prop_assert_eq!(&facts.names, &parameters.names);
        prop_assert_eq!(SubjectName::Fields(facts.subject.clone()), parameters.subject.clone());
        prop_assert_eq!(&facts.subject_der, &parameters.subject.to_der());
        prop_assert_eq!(Ok(facts.public_key), KEY.public_key_hash());
        let usages = match parameters.omit_usages {
            true => UsageSet::default(),
            false => UsageSet::of(&parameters.usages, parameters.is_ca),
        };
        prop_assert_eq!(&facts.usages, &usages);
        let constraints = parameters.basic_constraints.then_some(parameters.is_ca);
        prop_assert_eq!(facts.basic_constraints, constraints);

        let at = |second| Timestamp::from_second(second).unwrap();
        let template = Template {
            ca_may_sign: true,
            request: request.der(),
            facts: &facts,
            is_ca: parameters.is_ca,
            usages: &parameters.usages,
            serial: Serial::from_random([7; 16]),
            not_before: at(1_800_000_000),
            not_after: at(2_600_000_000),
            urls: Urls::default(),
        };
        let issued = CertificateFacts::from_pem(sign_itself(&template, &KEY).unwrap()).unwrap();
        prop_assert_eq!(issued.names, parameters.names);
        prop_assert_eq!(&issued.subject_der, &facts.subject_der);
        prop_assert_eq!(issued.usages, UsageSet::of(&parameters.usages, parameters.is_ca));
        prop_assert_eq!(issued.basic_constraints, Some(parameters.is_ca));
        prop_assert_eq!(issued.public_key, facts.public_key);
        prop_assert_eq!((issued.not_before, issued.not_after), (template.not_before, template.not_after));
    }
}
