//! What must hold for keys, certificates, requests and names of any shape?

use x509_parser::{
    extensions::{GeneralName, SubjectAlternativeName},
    prelude::FromDer,
    x509::X509Name,
};

use super::{
    certificate::{CertificateFacts, leaf_der},
    chain::{self, Chain},
    crl::RevocationList,
    csr::{CsrFacts, request_der},
    key::{KeyEncoding, PrivateKey},
    names::{Names, OtherName},
    pem::{self, Limits},
    signature::SignatureAlgorithm,
    subject::{DistinguishedName, Subject},
    usages::Usage,
};

/// PEM texts: every block is written again as it was read, with and without care for secrets.
pub fn pem(data: &[u8]) {
    let limit = Limits::current().bundle;
    let Ok(blocks) = pem::blocks(data, "the text", limit) else {
        assert!(data.len() > limit);
        return;
    };
    for block in blocks {
        let text = pem::encode(pem::CERTIFICATE, &block.der);
        assert_eq!(text, *pem::encode_secret(pem::CERTIFICATE, &block.der));
        let again = pem::blocks(text.as_bytes(), "the text", text.len());
        let again = again.unwrap_or_default();
        assert_eq!(again.len(), 1);
        assert!(again.iter().all(|one| one.der == block.der));
    }
}

/// Certificates, PEM or DER: what is read does not depend on how it is wrapped.
pub fn certificate(data: &[u8]) {
    if let Ok(der) = leaf_der(data) {
        assert_eq!(
            CertificateFacts::from_pem(data),
            CertificateFacts::from_der(&der)
        );
    }
    let Ok(facts) = CertificateFacts::from_der(data) else {
        return;
    };
    let text = pem::encode(pem::CERTIFICATE, data);
    if text.len() <= Limits::current().chain {
        assert_eq!(CertificateFacts::from_pem(&text), Ok(facts.clone()));
    }
    assert!(!facts.serial.is_empty());
    assert!(facts.usages.known().len() <= Usage::ALL.len());
    let (known, unknown) = (facts.usages.known_extended(), facts.usages.unknown());
    assert_eq!(known.len() + unknown.count(), facts.usages.extended().len());
}

/// Bundles: the chain that one forms is the chain that its own certificates form.
pub fn chain(data: &[u8]) {
    let _ = chain::topmost_issuer_common_name(data);
    let found = Chain::from_pem(data);
    let Ok(Chain { chain_pem, ca_pem }) = &found else {
        return;
    };
    let all = chain_pem.clone() + ca_pem.as_deref().unwrap_or_default();
    assert_eq!(Chain::from_pem(all), found);
    assert!(leaf_der(chain_pem.as_bytes()).is_ok());
}

/// Certificate requests, PEM or DER.
pub fn request(data: &[u8]) {
    if let Ok(der) = request_der(data) {
        assert_eq!(CsrFacts::from_pem(data), CsrFacts::from_der(&der));
    }
    let Ok(facts) = CsrFacts::from_der(data) else {
        return;
    };
    let text = pem::encode(pem::CERTIFICATE_REQUEST, data);
    if text.len() <= Limits::current().certificate {
        assert_eq!(CsrFacts::from_pem(&text), Ok(facts));
    }
}

/// Revocation lists: what is read fits into what was read.
pub fn revocation_list(data: &[u8]) {
    if let Ok(list) = RevocationList::from_der(data) {
        assert!(list.entries.len() <= data.len());
    }
}

/// Private keys, PEM or the DER of each encoding: one that is read is written, and read again, in
/// both, and signs.
pub fn key(data: &[u8]) {
    let texts = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"]
        .map(|label| PrivateKey::from_pem(pem::encode(label, data)).ok());
    let read = PrivateKey::from_pem(data).ok();
    for key in texts.into_iter().flatten().chain(read) {
        for encoding in [KeyEncoding::Pkcs1, KeyEncoding::Pkcs8] {
            let text = key.to_pem(encoding);
            let again = text.and_then(|text| PrivateKey::from_pem(text.as_bytes()));
            let hash = again.as_ref().ok().map(PrivateKey::public_key_hash);
            assert_eq!(hash, Some(key.public_key_hash()));
            assert!(again.is_ok_and(|again| again.matches(key.parameters())));
        }
        let algorithm = SignatureAlgorithm::default_for(key.parameters());
        assert!(key.sign(algorithm, b"message").is_ok());
    }
}

/// Literal subjects: one that is read is a name that others can read.
pub fn subject(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(name) = DistinguishedName::parse(text) else {
        return;
    };
    let der = name.to_der();
    let read = X509Name::from_der(&der).ok();
    assert!(read.is_some(), "{text:?} gives a name that cannot be read");
    let Some((rest, read)) = read else { return };
    assert!(rest.is_empty());
    let fields = Subject::of(&read);
    assert_eq!(name.common_name().is_some(), has_common_name(&read));
    // A set of several has the order of its DER.
    if text.contains('+') {
        return;
    }
    assert_eq!(name.common_name().unwrap_or_default(), fields.common_name);
}

fn has_common_name(name: &X509Name<'_>) -> bool {
    name.iter_common_name().next().is_some()
}

/// Subject alternative names, a line each, its first byte for the kind: those that can be written
/// are read again as they were.
pub fn names(data: &[u8]) {
    if let Ok((_, read)) = SubjectAlternativeName::from_der(data) {
        let _ = Names::of(&read.general_names);
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut names = Names::default();
    for line in text.lines() {
        let mut chars = line.chars();
        let (kind, value) = (chars.next(), chars.as_str());
        match kind {
            Some('e') => names.emails.push(value.to_owned()),
            Some('i') => names
                .ips
                .extend(value.parse().map(|ip: std::net::IpAddr| ip.to_canonical())),
            Some('u') => names.uris.push(value.to_owned()),
            Some('o') => {
                let (oid, utf8_value) = value.split_once(' ').unwrap_or((value, ""));
                names.others.push(OtherName {
                    oid: oid.to_owned(),
                    utf8_value: utf8_value.to_owned(),
                });
            }
            _ => names.dns.push(value.to_owned()),
        }
    }
    let Ok(der) = names.to_der() else {
        return;
    };
    let read = SubjectAlternativeName::from_der(&der);
    let read: Option<Vec<GeneralName<'_>>> = read.ok().map(|(_, read)| read.general_names);
    let mut read = read.map(|read| Names::of(&read));
    // 007 is 7.
    for names in [Some(&mut names), read.as_mut()].into_iter().flatten() {
        for other in &mut names.others {
            other.oid = plain_oid(&other.oid);
        }
    }
    assert_eq!(read, Some(names));
}

fn plain_oid(oid: &str) -> String {
    let arcs = oid.split('.').map(|arc| match arc.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    });
    arcs.collect::<Vec<_>>().join(".")
}
