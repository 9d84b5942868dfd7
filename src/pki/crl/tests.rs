//! Do revocation lists say what they should, to OpenSSL and to a TLS client as to ourselves?

use std::{fs, time::Duration};

use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{
    ALL_VERIFICATION_ALGS, BorrowedCertRevocationList, CertRevocationList, EndEntityCert,
    ExpirationPolicy, KeyUsage, RevocationCheckDepth, RevocationOptionsBuilder,
    UnknownStatusPolicy, anchor_from_trusted_cert,
};

use super::*;
use crate::pki::{
    chain::certificates,
    csr::{CertificateSigningRequest, CsrFacts, RequestParameters},
    issue::{Serial, Template, Urls, sign_itself},
    key::{KeyAlgorithm, KeyEncoding, KeyParameters, PrivateKey},
    names::Names,
    openssl::openssl,
    subject::{Subject, SubjectName},
    usages::Usage,
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn ca(algorithm: KeyAlgorithm, size: i64, usages: &[Usage]) -> (String, Authority) {
    let key = PrivateKey::generate(KeyParameters::new(algorithm, Some(size)).unwrap()).unwrap();
    let parameters = RequestParameters {
        subject: SubjectName::Fields(Subject {
            common_name: "Root".to_owned(),
            ..Subject::default()
        }),
        is_ca: true,
        usages: usages.to_vec(),
        ..RequestParameters::default()
    };
    let pem = certificate(&parameters, &key, 0x41, |template| {
        sign_itself(template, &key).unwrap()
    });
    let key_pem = key.to_pem(KeyEncoding::Pkcs8).unwrap();
    let authority = Authority::from_pem(pem.as_bytes(), key_pem.as_bytes(), None).unwrap();
    (pem, authority)
}

fn certificate<T>(
    parameters: &RequestParameters,
    key: &PrivateKey,
    serial: u8,
    sign: impl FnOnce(&Template<'_>) -> T,
) -> T {
    let request = CertificateSigningRequest::build(parameters, key).unwrap();
    let facts = CsrFacts::from_der(request.der()).unwrap();
    sign(&Template {
        request: request.der(),
        facts: &facts,
        is_ca: parameters.is_ca,
        usages: &parameters.usages,
        ca_may_sign: true,
        serial: Serial::from_random([serial; 16]),
        not_before: at("2026-01-01T00:00:00Z"),
        not_after: at("2026-12-31T00:00:00Z"),
        urls: Urls::default(),
    })
}

fn leaf(authority: &Authority, serial: u8) -> String {
    let key = PrivateKey::generate(KeyParameters::new(KeyAlgorithm::Ecdsa, None).unwrap()).unwrap();
    let parameters = RequestParameters {
        names: Names {
            dns: vec!["a.example".to_owned()],
            ..Names::default()
        },
        ..RequestParameters::default()
    };
    certificate(&parameters, &key, serial, |template| {
        issue::sign(template, authority).unwrap().chain_pem
    })
}

const SIGNS: [Usage; 2] = [Usage::CertSign, Usage::CrlSign];

fn list(entries: &[(&str, &str, Reason)]) -> RevocationList {
    RevocationList {
        number: 300,
        this_update: at("2026-02-01T00:00:00Z"),
        next_update: at("2026-02-08T00:00:00Z"),
        entries: entries
            .iter()
            .map(|(serial, revoked, reason)| {
                let entry = Entry {
                    revoked: at(revoked),
                    reason: *reason,
                };
                (SerialNumber::from_hex(serial).unwrap(), entry)
            })
            .collect(),
    }
}

#[test]
fn what_is_signed_is_read_again() {
    let (_, authority) = ca(KeyAlgorithm::Ecdsa, 256, &SIGNS);
    let all: Vec<String> = (1..=Reason::ALL.len())
        .map(|n| format!("80{n:02x}"))
        .collect();
    let every: Vec<_> = all
        .iter()
        .zip(Reason::ALL)
        .map(|(serial, reason)| (serial.as_str(), "2026-01-31T12:00:00Z", reason))
        .collect();
    let longest = "7fffffffffffffffffffffffffffffffffffffff";
    for entries in [
        vec![],
        vec![("1", "2026-01-31T12:00:00Z", Reason::Unspecified)],
        vec![(longest, "2051-01-31T12:00:00Z", Reason::KeyCompromise)],
        every,
    ] {
        let list = list(&entries);
        let der = list.sign(&authority).unwrap();
        assert_eq!(RevocationList::from_der(&der).unwrap(), list);
    }
}

#[test]
fn openssl_reads_and_verifies_it() {
    let list = list(&[
        ("ab01", "2026-01-31T12:00:00Z", Reason::KeyCompromise),
        ("2", "2026-01-30T12:00:00Z", Reason::Unspecified),
    ]);
    for (algorithm, size) in [
        (KeyAlgorithm::Rsa, 2048),
        (KeyAlgorithm::Ecdsa, 384),
        (KeyAlgorithm::Ed25519, 0),
    ] {
        let (ca_pem, authority) = ca(algorithm, size, &SIGNS);
        let pem = to_pem(&list.sign(&authority).unwrap());
        let path = std::env::temp_dir().join(format!("crl-{}-{size}.pem", std::process::id()));
        fs::write(&path, ca_pem).unwrap();
        let arguments = ["crl", "-text", "-noout", "-CAfile", path.to_str().unwrap()];
        let text = openssl(&arguments, pem.as_bytes());
        fs::remove_file(&path).unwrap();
        let Some(text) = text else { return };
        let text = String::from_utf8(text).unwrap();
        for part in [
            "Version 2 (0x1)",
            "Issuer: CN = Root",
            "Last Update: Feb  1 00:00:00 2026 GMT",
            "Next Update: Feb  8 00:00:00 2026 GMT",
            "X509v3 CRL Number: \n                300",
            "X509v3 Authority Key Identifier",
            "Serial Number: AB01\n        Revocation Date: Jan 31 12:00:00 2026 GMT",
            "X509v3 CRL Reason Code: \n                Key Compromise",
            "Serial Number: 02\n        Revocation Date: Jan 30 12:00:00 2026 GMT\n    Serial",
        ] {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
    }
}

#[test]
fn a_client_refuses_what_is_revoked_and_nothing_else() {
    let (ca_pem, authority) = ca(KeyAlgorithm::Ecdsa, 256, &SIGNS);
    let revoked = "55".repeat(16);
    let list = list(&[(&revoked, "2026-01-31T12:00:00Z", Reason::Superseded)]);
    let der = list.sign(&authority).unwrap();
    let list = CertRevocationList::Borrowed(BorrowedCertRevocationList::from_der(&der).unwrap());
    let lists = [&list];
    let options = RevocationOptionsBuilder::new(&lists)
        .unwrap()
        .with_depth(RevocationCheckDepth::EndEntity)
        .with_status_policy(UnknownStatusPolicy::Deny)
        .with_expiration_policy(ExpirationPolicy::Enforce)
        .build();
    let root = CertificateDer::from(certificates(ca_pem.as_bytes()).unwrap().remove(0));
    let root = [anchor_from_trusted_cert(&root).unwrap()];
    let now = at("2026-02-02T00:00:00Z").as_second() as u64;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
    for (serial, want) in [(0x55, Err(webpki::Error::CertRevoked)), (0x56, Ok(()))] {
        let leaf = certificates(leaf(&authority, serial).as_bytes()).unwrap();
        let leaf = CertificateDer::from(leaf[0].clone());
        let leaf = EndEntityCert::try_from(&leaf).unwrap();
        let usage = KeyUsage::server_auth();
        let algorithms = ALL_VERIFICATION_ALGS;
        let found = leaf.verify_for_usage(algorithms, &root, &[], now, usage, Some(options), None);
        assert_eq!(found.map(drop), want, "{serial:x}");
    }
}

#[test]
fn a_ca_that_may_not_sign_lists_says_so() {
    let (_, authority) = ca(KeyAlgorithm::Ecdsa, 256, &[Usage::CertSign]);
    let error = list(&[]).sign(&authority).unwrap_err().to_string();
    assert!(error.contains("add \"crl sign\""), "{error}");
}

#[test]
fn garbage_is_no_list() {
    let (_, authority) = ca(KeyAlgorithm::Ecdsa, 256, &SIGNS);
    let der = list(&[("1", "2026-01-31T12:00:00Z", Reason::Superseded)])
        .sign(&authority)
        .unwrap();
    for end in 0..der.len() {
        assert!(RevocationList::from_der(&der[..end]).is_err(), "{end}");
    }
    let large = vec![0x30; MOST_BYTES + 1];
    assert!(matches!(
        RevocationList::from_der(&large),
        Err(Error::TooLarge { .. })
    ));
    for at in 0..der.len() {
        let mut der = der.clone();
        der[at] ^= 0xff;
        // It may be read, if what changed is the signature; it may not panic.
        drop(RevocationList::from_der(&der));
    }
}

#[test]
fn serial_numbers_are_numbers() {
    for (digits, want) in [
        ("1", Some("1")),
        ("0001", Some("1")),
        ("ab01", Some("ab01")),
        ("AB01", Some("ab01")),
        ("abc", Some("abc")),
        ("", None),
        ("0", None),
        ("-1", None),
        ("+1", None),
        ("xyz", None),
        ("äb", None),
        ("10000000000000000000000000000000000000000", None),
    ] {
        let found = SerialNumber::from_hex(digits).map(|serial| serial.to_string());
        assert_eq!(found.as_deref(), want, "{digits:?}");
    }
}

#[test]
fn who_signed_is_told_from_others() {
    let (_, authority) = ca(KeyAlgorithm::Ecdsa, 256, &SIGNS);
    let (_, other) = ca(KeyAlgorithm::Ecdsa, 256, &SIGNS);
    let (_, rsa) = ca(KeyAlgorithm::Rsa, 2048, &SIGNS);
    let der = list(&[]).sign(&authority).unwrap();
    assert!(is_signed_by(&der, &authority));
    assert!(!is_signed_by(&der, &other) && !is_signed_by(&der, &rsa));
    assert!(is_signed_by(&list(&[]).sign(&rsa).unwrap(), &rsa));
    // Whatever else is accepted says the same: how it is wrapped is not signed.
    for at in 0..der.len() {
        let mut changed = der.clone();
        changed[at] ^= 1;
        if is_signed_by(&changed, &authority) {
            let said = RevocationList::from_der(&changed).unwrap();
            assert_eq!(said, list(&[]), "byte {at}");
        }
    }
    let number = der.windows(2).position(|two| two == [0x01, 0x2c]).unwrap();
    let mut changed = der.clone();
    changed[number] ^= 1;
    assert!(!is_signed_by(&changed, &authority));
}
