//! Do certificates say what they should, to OpenSSL and to a TLS client as to ourselves?

use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::*;
use crate::pki::{
    certificate::CertificateFacts,
    chain::certificates,
    csr::{CertificateSigningRequest, RequestParameters},
    key::{KeyAlgorithm, KeyEncoding, KeyParameters},
    names::Names,
    openssl::openssl,
    subject::{Subject, SubjectName},
};

const DAY: Duration = Duration::from_secs(86_400);

fn now() -> Timestamp {
    "2026-01-01T00:00:00.9Z".parse().unwrap()
}

fn key_of(algorithm: KeyAlgorithm, size: i64) -> PrivateKey {
    PrivateKey::generate(KeyParameters::new(algorithm, Some(size)).unwrap()).unwrap()
}

fn key() -> PrivateKey {
    key_of(KeyAlgorithm::Ecdsa, 256)
}

/// A request for a server's certificate.
fn server() -> RequestParameters {
    RequestParameters {
        names: Names {
            dns: vec!["a.example".to_owned()],
            ..Names::default()
        },
        ..named("")
    }
}

fn named(common_name: &str) -> RequestParameters {
    RequestParameters {
        subject: SubjectName::Fields(Subject {
            common_name: common_name.to_owned(),
            ..Subject::default()
        }),
        ..RequestParameters::default()
    }
}

fn authority_request(common_name: &str) -> RequestParameters {
    RequestParameters {
        is_ca: true,
        ..named(common_name)
    }
}

/// A request, and a template for it that says the same.
fn with<T>(
    parameters: &RequestParameters,
    key: &PrivateKey,
    change: impl FnOnce(&mut Template<'_>),
    use_it: impl FnOnce(&Template<'_>) -> T,
) -> T {
    let request = CertificateSigningRequest::build(parameters, key).unwrap();
    let facts = CsrFacts::from_der(request.der()).unwrap();
    let mut template = Template {
        request: request.der(),
        facts: &facts,
        is_ca: parameters.is_ca,
        usages: &parameters.usages,
        ca_may_sign: true,
        serial: Serial::from_random([0xff; 16]),
        not_before: now(),
        not_after: now() + 90 * DAY,
        urls: Urls::default(),
    };
    change(&mut template);
    use_it(&template)
}

fn pem_of(key: &PrivateKey) -> String {
    key.to_pem(KeyEncoding::Pkcs8).unwrap().to_string()
}

fn root(key: &PrivateKey, end: Timestamp) -> String {
    let until = |template: &mut Template<'_>| template.not_after = end;
    with(&authority_request("Root"), key, until, |template| {
        sign_itself(template, key).unwrap()
    })
}

/// A root that lives for a year.
fn root_authority(key: &PrivateKey) -> Authority {
    let pem = root(key, now() + 365 * DAY);
    Authority::from_pem(pem.as_bytes(), pem_of(key).as_bytes(), None).unwrap()
}

fn issued(parameters: &RequestParameters, key: &PrivateKey, authority: &Authority) -> Signed {
    with(parameters, key, |_| {}, |t| sign(t, authority).unwrap())
}

fn believed(signed: &Signed, name: &str) {
    let chain: Vec<CertificateDer<'_>> = certificates(signed.chain_pem.as_bytes())
        .unwrap()
        .into_iter()
        .map(CertificateDer::from)
        .collect();
    let root = CertificateDer::from(certificates(signed.ca_pem.as_bytes()).unwrap().remove(0));
    let leaf = EndEntityCert::try_from(&chain[0]).unwrap();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(now().as_second() as u64 + 60));
    leaf.verify_for_usage(
        ALL_VERIFICATION_ALGS,
        &[anchor_from_trusted_cert(&root).unwrap()],
        &chain[1..],
        at,
        KeyUsage::server_auth(),
        None,
        None,
    )
    .unwrap();
    leaf.verify_is_valid_for_subject_name(&ServerName::try_from(name).unwrap())
        .unwrap();
}

#[test]
fn clients_believe_what_every_kind_of_ca_signs() {
    let kinds = [
        (KeyAlgorithm::Rsa, 2048, SignatureAlgorithm::RsaSha256),
        (KeyAlgorithm::Rsa, 3072, SignatureAlgorithm::RsaSha384),
        (KeyAlgorithm::Ecdsa, 256, SignatureAlgorithm::EcdsaSha256),
        (KeyAlgorithm::Ecdsa, 384, SignatureAlgorithm::EcdsaSha384),
        (KeyAlgorithm::Ecdsa, 521, SignatureAlgorithm::EcdsaSha512),
        (KeyAlgorithm::Ed25519, 0, SignatureAlgorithm::Ed25519),
    ];
    for (algorithm, size, wanted) in kinds {
        let ca_key = key_of(algorithm, size);
        let signed = issued(&server(), &key(), &root_authority(&ca_key));
        believed(&signed, "a.example");
        let der = certificates(signed.chain_pem.as_bytes()).unwrap();
        assert_eq!(der.len(), 1, "the root is not sent along");
        let (_, parsed) = x509_parser::parse_x509_certificate(&der[0]).unwrap();
        let found = SignatureAlgorithm::of(&parsed.signature_algorithm);
        assert_eq!(found, Some(wanted));
    }
}

#[test]
fn intermediates_go_with_the_leaf_and_the_top_is_the_ca() {
    let (root_key, middle_key) = (key(), key());
    let root_pem = root(&root_key, now() + 365 * DAY);
    let root_key = pem_of(&root_key);
    let top = Authority::from_pem(root_pem.as_bytes(), root_key.as_bytes(), None).unwrap();
    let middle = issued(&authority_request("Middle"), &middle_key, &top);
    assert_eq!(middle.ca_pem, root_pem);
    let middle_pem = middle.chain_pem;
    let both = middle_pem.clone() + &root_pem;
    // (tls.crt, ca.crt, the CA of what it signs)
    let table = [
        (&both, None, &root_pem),
        (&both, Some(&root_pem), &root_pem),
        (&middle_pem, Some(&root_pem), &root_pem),
        (&middle_pem, None, &middle_pem),
    ];
    for (chain, ca, top) in table {
        let ca = ca.map(String::as_bytes);
        let key_pem = pem_of(&middle_key);
        let authority = Authority::from_pem(chain.as_bytes(), key_pem.as_bytes(), ca).unwrap();
        let signed = issued(&server(), &key(), &authority);
        assert!(signed.chain_pem.ends_with(&middle_pem));
        assert_eq!(certificates(signed.chain_pem.as_bytes()).unwrap().len(), 2);
        assert_eq!(&signed.ca_pem, top);
        believed(&signed, "a.example");
    }
}

#[test]
fn what_cannot_sign_is_refused() {
    let (ca_key, other) = (key(), key());
    let pem = root(&ca_key, now() + 365 * DAY);
    let leaf = issued(&server(), &other, &root_authority(&ca_key)).chain_pem;
    let unrelated = root(&other, now() + 365 * DAY);
    let table = [
        (&leaf, &other, None, "certificate is not a CA"),
        (
            &pem,
            &other,
            None,
            "the private key does not belong to the certificate",
        ),
        (
            &pem,
            &ca_key,
            Some(&unrelated),
            "do not form a single chain",
        ),
        (
            &(unrelated.clone() + &pem),
            &other,
            None,
            "do not form a single chain",
        ),
        (&"x".to_owned(), &ca_key, None, "not PEM"),
    ];
    for (chain, key, ca, why) in table {
        let ca = ca.map(|pem: &String| pem.as_bytes());
        let error = Authority::from_pem(chain.as_bytes(), pem_of(key).as_bytes(), ca).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }

    let authority = root_authority(&ca_key);
    let end: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(authority.not_after(), end);
    assert_eq!(authority.check_validity(now()), Ok(()));
    assert_eq!(authority.next_change(now()), Some(end));
    let early = authority.check_validity(now() - DAY).unwrap_err();
    assert!(early.to_string().contains("not valid before 2026-01-01"));
    let late = authority.check_validity(end).unwrap_err();
    assert!(late.to_string().contains("expired at 2027-01-01T00:00:00Z"));
    assert_eq!(authority.next_change(end), None);
}

#[test]
fn no_leaf_outlives_its_ca() {
    let ca_key = key();
    let pem = root(&ca_key, now() + 30 * DAY);
    let key_pem = pem_of(&ca_key);
    let authority = Authority::from_pem(pem.as_bytes(), key_pem.as_bytes(), None).unwrap();
    for (days, shortened) in [(29, false), (30, false), (31, true)] {
        let until = |template: &mut Template<'_>| template.not_after = now() + days * DAY;
        let signed = with(&server(), &key(), until, |t| sign(t, &authority).unwrap());
        let facts = CertificateFacts::from_pem(&signed.chain_pem).unwrap();
        assert!(facts.not_after <= authority.not_after());
        assert_eq!(facts.not_before.to_string(), "2026-01-01T00:00:00Z");
        // The CA ends at the full second, which is before what was asked for by a part of one.
        let expected = Some(authority.not_after()).filter(|_| shortened);
        let told = signed.shortened_to.filter(|_| days != 30);
        assert_eq!(told, expected, "{days}");
    }
}

#[test]
fn a_request_that_says_otherwise_is_refused() {
    let authority = root_authority(&key());
    let usages = RequestParameters {
        usages: vec![Usage::ServerAuth],
        ..server()
    };
    let constraints = RequestParameters {
        basic_constraints: true,
        ..server()
    };
    type Change = fn(&mut Template<'_>);
    let table: [(&RequestParameters, Change, Option<&str>); 6] = [
        (&usages, |_| {}, None),
        (
            &usages,
            |template| template.usages = &[Usage::ClientAuth],
            Some("its usages are [server auth], and those asked for are [client auth]"),
        ),
        (
            &usages,
            |template| template.usages = &[],
            Some("its usages are [server auth], and those asked for are [digital signature, key"),
        ),
        (&constraints, |_| {}, None),
        (
            &constraints,
            |template| template.is_ca = true,
            Some("its basic constraints say CA false, and isCA is true"),
        ),
        (
            &server(),
            |template| template.request = &[0x30, 0x00],
            Some("not a PKCS#10"),
        ),
    ];
    for (parameters, change, why) in table {
        let result = with(parameters, &key(), change, |template| {
            sign(template, &authority)
        });
        match why {
            None => drop(result.unwrap()),
            Some(why) => {
                let error = result.unwrap_err().to_string();
                assert!(error.contains(why), "{error}");
            }
        }
    }
    let silent = RequestParameters {
        omit_usages: true,
        ..server()
    };
    let asked = |template: &mut Template<'_>| template.usages = &[Usage::ServerAuth];
    let signed = with(&silent, &key(), asked, |t| sign(t, &authority).unwrap());
    let facts = CertificateFacts::from_pem(&signed.chain_pem).unwrap();
    assert_eq!(facts.usages.known(), [Usage::ServerAuth]);
    let other = with(&server(), &key(), |_| {}, |t| sign_itself(t, &key()));
    assert!(other.unwrap_err().to_string().contains("another key"));
}

#[test]
fn openssl_reads_all_of_it_in_the_order_of_cert_manager() {
    let urls = |name: &str| {
        [
            format!("http://{name}.example/1"),
            format!("http://{name}.example/2"),
        ]
    };
    let (crl, ocsp, issuing) = (urls("crl"), urls("ocsp"), urls("ca"));
    let parameters = RequestParameters {
        basic_constraints: true,
        ..crate::pki::csr::tests::full()
    };
    let (ca_key, leaf_key) = (key(), key());
    let request = CertificateSigningRequest::build(&parameters, &leaf_key).unwrap();
    let facts = CsrFacts::from_der(request.der()).unwrap();
    let template = Template {
        request: request.der(),
        facts: &facts,
        is_ca: true,
        usages: &parameters.usages,
        ca_may_sign: true,
        serial: Serial::from_random([0; 16]),
        not_before: now(),
        not_after: "2050-02-03T04:05:06Z".parse().unwrap(),
        urls: Urls {
            crl: &crl,
            ocsp: &ocsp,
            issuing: &issuing,
        },
    };
    let pem = root(&ca_key, "2051-01-01T00:00:00Z".parse().unwrap());
    let authority = Authority::from_pem(pem.as_bytes(), pem_of(&ca_key).as_bytes(), None).unwrap();
    let signed = sign(&template, &authority).unwrap();
    let found = CertificateFacts::from_pem(&signed.chain_pem).unwrap();
    assert_eq!(found.subject_der, facts.subject_der);
    assert_eq!(found.names, facts.names);
    assert_eq!(found.usages, facts.usages);
    assert_eq!(found.serial, "40000000000000000000000000000000");

    let arguments = ["x509", "-noout", "-text", "-nameopt", "RFC2253"];
    let Some(text) = openssl(&arguments, signed.chain_pem.as_bytes()) else {
        return;
    };
    let text = String::from_utf8(text).unwrap();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rest = text.as_str();
    for part in [
        "Version: 3 (0x2) Serial Number: 40:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00",
        "Signature Algorithm: ecdsa-with-SHA256 Issuer: CN=Root Validity Not Before: Jan 1 00:00:00 \
         2026 GMT Not After : Feb 3 04:05:06 2050 GMT",
        r"Subject: CN=app.example.com,O=Ex\C3\A4mple",
        "X509v3 extensions: X509v3 Key Usage: critical Digital Signature, Certificate Sign X509v3 \
         Extended Key Usage: TLS Web Client Authentication, TLS Web Server Authentication X509v3 \
         Basic Constraints: critical CA:TRUE X509v3 Subject Key Identifier:",
        "X509v3 Authority Key Identifier:",
        "Authority Information Access: OCSP - URI:http://ocsp.example/1 OCSP - \
         URI:http://ocsp.example/2 CA Issuers - URI:http://ca.example/1 CA Issuers - \
         URI:http://ca.example/2 X509v3 Name Constraints: critical Permitted: DNS:example.com",
        "X509v3 CRL Distribution Points: Full Name: URI:http://crl.example/1",
        "Full Name: URI:http://crl.example/2",
        "X509v3 Subject Alternative Name: DNS:app.example.com, DNS:*.example.com, \
         email:ops@example.com,",
    ] {
        let Some((_, after)) = rest.split_once(part) else {
            panic!("{part}\nis not, in this place, in\n{text}");
        };
        rest = after;
    }
}

#[test]
fn names_without_a_subject_are_critical_and_a_leaf_has_no_key_identifier() {
    let authority = root_authority(&key());
    for (parameters, critical) in [
        (server(), true),
        (
            RequestParameters {
                names: server().names,
                ..named("a")
            },
            false,
        ),
    ] {
        let signed = issued(&parameters, &key(), &authority);
        let der = certificates(signed.chain_pem.as_bytes()).unwrap().remove(0);
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        let shown: Vec<(String, bool)> = parsed
            .extensions()
            .iter()
            .map(|extension| (extension.oid.to_id_string(), extension.critical))
            .collect();
        let wanted = [
            ("2.5.29.15", true),
            ("2.5.29.19", true),
            ("2.5.29.35", false),
            ("2.5.29.17", critical),
        ];
        assert_eq!(
            shown,
            wanted.map(|(oid, critical)| (oid.to_owned(), critical))
        );
    }
}

#[test]
fn serials_are_positive_and_never_short() {
    for first in 0..=255 {
        let Serial(bytes) = Serial::from_random([first; 16]);
        assert!((0x40..0x80).contains(&bytes[0]), "{first}");
        assert_eq!(bytes[1..], [first; 15]);
    }
}

#[test]
fn a_ca_may_sign_only_if_that_is_allowed() {
    let key = key();
    let parameters = RequestParameters {
        omit_usages: true,
        ..authority_request("CA")
    };
    for (ca_may_sign, usages, signs) in [
        (true, &[][..], true),
        (false, &[], false),
        (false, &[Usage::CertSign], true),
    ] {
        let change = |template: &mut Template<'_>| template.ca_may_sign = ca_may_sign;
        let parameters = RequestParameters {
            usages: usages.to_vec(),
            ..parameters.clone()
        };
        let pem = with(&parameters, &key, change, |t| sign_itself(t, &key).unwrap());
        let found = CertificateFacts::from_pem(&pem).unwrap();
        assert_eq!(found.usages, UsageSet::of(usages, signs));
        assert!(found.is_ca(), "{ca_may_sign}");
    }
}
