//! How does cert-manager write names, references, conditions and signing requests?

use anyhow::Result;
use aws_lc_rs::digest::{SHA256, digest};
use certwright::pki::key::{KeyAlgorithm, KeyParameters, PrivateKey};
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};

use crate::x509::{literal_subject, strings, subject, validity};

/// When conditions came about: before the stories.
pub(crate) const SINCE: &str = "2026-01-02T03:04:05Z";

/// The request of a Certificate for a revision; long names are cut.
pub(crate) fn request_name(certificate: &str, revision: i64) -> String {
    if certificate.len() <= 233 {
        return format!("{certificate}-{revision}");
    }
    let hash = digest(&SHA256, certificate.as_bytes());
    let hex: String = hash
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{}-{hex}-{revision}", &certificate[..168])
}

/// The reference to the controller of an object.
pub(crate) fn owner(version: &str, kind: &str, name: &str, uid: &str) -> Value {
    json!({
        "apiVersion": version, "kind": kind, "name": name, "uid": uid,
        "controller": true, "blockOwnerDeletion": true,
    })
}

/// A condition of a CertificateRequest.
pub(crate) fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": type_, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": SINCE,
    })
}

/// A condition of a Certificate that was never changed.
pub(crate) fn observed(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    let mut condition = condition(type_, status, reason, message);
    condition["observedGeneration"] = json!(1);
    condition
}

/// The Ready condition of an issuer that was never changed; no message is no field.
pub(crate) fn issuer_is_ready(reason: &str, message: Option<&str>) -> Value {
    let mut condition = json!({
        "type": "Ready", "status": "True", "reason": reason, "observedGeneration": 1,
        "lastTransitionTime": SINCE,
    });
    if let Some(message) = message {
        condition["message"] = json!(message);
    }
    condition
}

/// The dates in the status of a Certificate of `spec` that has `chain`.
pub(crate) fn dates(spec: &Value, chain: &str) -> Result<Value> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(chain.as_bytes())?;
    let (from, to) = validity(&pem.parse_x509()?)?;
    let renewal = renewal_time(spec, from, to)?;
    Ok(json!({"notBefore": from, "notAfter": to, "renewalTime": renewal}))
}

/// When a certificate of `spec` is renewed.
pub(crate) fn renewal_time(
    spec: &Value,
    from: Timestamp,
    to: Timestamp,
) -> Result<Option<Timestamp>> {
    if spec["renewal"]["policy"] == "Disabled" {
        return Ok(None);
    }
    let lifetime = from.duration_until(to);
    let fixed =
        span(&spec["renewBefore"]).filter(|before| before.is_positive() && *before < lifetime);
    let before = match (fixed, spec["renewBeforePercentage"].as_i64()) {
        (Some(fixed), _) => fixed,
        (None, Some(part)) => SignedDuration::from_secs(lifetime.as_secs() * part / 100),
        (None, None) => lifetime / 3,
    };
    let exact = to.checked_sub(before)?;
    Ok(Some(Timestamp::from_second(exact.as_second())?))
}

/// A duration as specs have them.
pub(crate) fn span(text: &Value) -> Option<SignedDuration> {
    text.as_str()?.parse().ok()
}

/// A new key as `spec` asks for it.
pub(crate) fn key(spec: &Value) -> Result<PrivateKey> {
    let algorithm = match spec["privateKey"]["algorithm"].as_str() {
        Some("ECDSA") => KeyAlgorithm::Ecdsa,
        _ => KeyAlgorithm::Rsa,
    };
    let size = spec["privateKey"]["size"].as_i64();
    if size == Some(2560) {
        // We make none of that size.
        let odd = include_bytes!("../../src/certificate/stories/rsa2560.pem");
        return Ok(PrivateKey::from_pem(odd)?);
    }
    Ok(PrivateKey::generate(KeyParameters::new(algorithm, size)?)?)
}

/// The same key, for who signs with it here.
pub(crate) fn pair(key: &PrivateKey) -> Result<KeyPair> {
    let pkcs8 = PrivatePkcs8KeyDer::from(key.to_pkcs8_der()?.to_vec());
    Ok(KeyPair::try_from(&pkcs8)?)
}

/// What `spec` asks to be signed.
pub(crate) fn params(spec: &Value) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    let attributes = match spec["literalSubject"].as_str() {
        Some(literal) => literal_subject(literal)?,
        None => subject(spec),
    };
    for (oid, value) in attributes {
        let oid = oid
            .split('.')
            .map(str::parse)
            .collect::<Result<Vec<u64>, _>>()?;
        // As Go does, where the letters allow it.
        let value = DnValue::PrintableString(value.as_str().try_into()?);
        name.push(DnType::from_oid(&oid), value);
    }
    params.distinguished_name = name;
    for text in strings(&spec["dnsNames"]) {
        params
            .subject_alt_names
            .push(SanType::DnsName(text.try_into()?));
    }
    for text in strings(&spec["emailAddresses"]) {
        params
            .subject_alt_names
            .push(SanType::Rfc822Name(text.try_into()?));
    }
    for text in strings(&spec["ipAddresses"]) {
        params
            .subject_alt_names
            .push(SanType::IpAddress(text.parse()?));
    }
    for text in strings(&spec["uris"]) {
        params
            .subject_alt_names
            .push(SanType::URI(text.try_into()?));
    }
    let usages = strings(&spec["usages"]);
    if usages.is_empty() {
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
    }
    for usage in usages {
        match usage.as_str() {
            "digital signature" => params.key_usages.push(KeyUsagePurpose::DigitalSignature),
            "server auth" => params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth),
            "client auth" => params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ClientAuth),
            other => return Err(anyhow::anyhow!("the stories do not use {other:?}")),
        }
    }
    if spec["isCA"] == true {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    Ok(params)
}
