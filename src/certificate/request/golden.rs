//! Is what is requested and issued, byte for byte, what cert-manager v1.21 requests and issues?
//!
//! `golden.json` holds what its library makes of these specs, with Ed25519 keys, whose signatures say
//! the same each time: the request, and the certificates of a CA issuer and of a self-signed one.

use base64::prelude::{BASE64_STANDARD, Engine};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::parameters;
use crate::{
    api::certificate::CertificateSpec,
    pki::{
        authority::Authority,
        csr::{CertificateSigningRequest, CsrFacts},
        issue::{Serial, Template, Urls, sign, sign_itself},
        key::{KeyEncoding, PrivateKey},
        pem,
        usages::Usage,
    },
};

#[derive(Deserialize)]
struct Golden {
    authority: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    what: String,
    /// Whether basic constraints are in the request.
    #[serde(default)]
    basic_constraints: bool,
    /// Whether the issuer has URLs.
    #[serde(default)]
    urls: bool,
    /// What is the same in all of them is left out.
    spec: Value,
    request: String,
    from_ca: String,
    itself: String,
}

/// The Ed25519 key of 32 times this byte.
fn key(byte: u8) -> PrivateKey {
    let mut der = vec![
        0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
    ];
    der.extend([byte; 32]);
    PrivateKey::from_pkcs8(&der).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn pem_of(base64: &str) -> String {
    pem::encode(pem::CERTIFICATE, &BASE64_STANDARD.decode(base64).unwrap())
}

#[test]
fn requests_and_certificates_are_those_of_cert_manager() {
    let golden: Golden = serde_json::from_str(include_str!("golden.json")).unwrap();
    let ca_key = key(2).to_pem(KeyEncoding::Pkcs8).unwrap();
    let ca_pem = pem_of(&golden.authority);
    let authority = Authority::from_pem(ca_pem.as_bytes(), ca_key.as_bytes(), None).unwrap();
    let urls = |name: &str, count: usize| -> Vec<String> {
        let all = (1..=count).map(|number| format!("http://{name}.example/{number}"));
        all.collect()
    };
    let (crl, ocsp, issuing) = (urls("crl", 2), urls("ocsp", 2), urls("ca", 1));

    for case in golden.cases {
        let Case {
            what,
            basic_constraints,
            urls,
            mut spec,
            request: wanted,
            from_ca,
            itself,
        } = case;
        spec["secretName"] = json!("tls");
        spec["issuerRef"] = json!({"name": "issuer"});
        let spec: CertificateSpec = serde_json::from_value(spec).unwrap();
        let mut asked = parameters(&spec).unwrap();
        asked.basic_constraints = basic_constraints;
        let request = CertificateSigningRequest::build(&asked, &key(1)).unwrap();
        assert_eq!(BASE64_STANDARD.encode(request.der()), wanted, "{what}");

        let facts = CsrFacts::from_der(request.der()).unwrap();
        let usages: Vec<Usage> = spec
            .usages
            .iter()
            .flatten()
            .copied()
            .map(Into::into)
            .collect();
        let template = Template {
            ca_may_sign: true,
            request: request.der(),
            facts: &facts,
            is_ca: spec.is_ca == Some(true),
            usages: &usages,
            serial: Serial::from_random([0x41, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]),
            not_before: at("2026-01-02T03:04:05Z"),
            not_after: at("2051-02-03T04:05:06Z"),
            urls: match urls {
                true => Urls {
                    crl: &crl,
                    ..Urls::default()
                },
                false => Urls::default(),
            },
        };
        let made = sign_itself(&template, &key(1)).unwrap();
        assert_eq!(made, pem_of(&itself), "{what}, by itself");
        let template = Template {
            ca_may_sign: true,
            urls: match urls {
                true => Urls {
                    crl: &crl,
                    ocsp: &ocsp,
                    issuing: &issuing,
                },
                false => Urls::default(),
            },
            ..template
        };
        let made = sign(&template, &authority).unwrap();
        assert_eq!(made.chain_pem, pem_of(&from_ca), "{what}, by the CA");
        assert_eq!(made.ca_pem, ca_pem, "{what}");
    }
}
