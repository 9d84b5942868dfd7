//! Does each field of a Certificate end up in what is issued, as OpenSSL reads it?

use std::{
    collections::BTreeMap,
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use certwright::{
    api::{certificate::Certificate, request::CertificateRequest},
    pki::{certificate::CertificateFacts, csr::CsrFacts},
};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use serde_json::{Value, json};
use testbed::{Bed, namespace::Namespace, verify};

const SOON: Duration = Duration::from_secs(90);

/// A Certificate: its name, its spec beside what all have, and what OpenSSL shows of it, in this
/// order.
type Odd = (&'static str, Value, &'static [&'static str]);

/// Odd Certificates of one CA, all at once.
pub(crate) async fn odd_certificates_are_what_was_asked_for(bed: &Bed) -> Result<()> {
    let namespace = bed.namespace("odd").await?;
    let all = [names(), subjects(), usages(), keys()].concat();
    let mut objects = authority();
    objects.extend(all.iter().map(|(name, spec, _)| certificate(name, spec)));
    namespace.apply_all(&objects).await?;
    for (name, spec, wanted) in all {
        namespace.ready(name, SOON).await?;
        check(&namespace, name, &spec, wanted).await.context(name)?;
    }
    Ok(())
}

/// A root that signs itself, and its issuer, which says where to find more.
fn authority() -> Vec<Value> {
    let issuer = |name: &str, spec: Value| {
        json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Issuer",
            "metadata": {"name": name}, "spec": spec,
        })
    };
    let root = json!({
        "isCA": true, "commonName": "Root", "secretName": "root", "duration": "87600h",
        "privateKey": {"algorithm": "ECDSA", "size": 384}, "issuerRef": {"name": "itself"},
    });
    vec![
        issuer("itself", json!({"selfSigned": {}})),
        issuer(
            "ca",
            json!({"ca": {
                "secretName": "root", "crlDistributionPoints": ["http://ca.example/crl"],
                "ocspServers": ["http://ca.example/ocsp"],
                "issuingCertificateURLs": ["http://ca.example/ca"],
            }}),
        ),
        certificate("root", &root),
    ]
}

fn certificate(name: &str, more: &Value) -> Value {
    let mut spec = json!({
        "secretName": name, "issuerRef": {"name": "ca"}, "privateKey": {"algorithm": "ECDSA"},
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        spec[field] = value.clone();
    }
    json!({
        "apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": name},
        "spec": spec,
    })
}

fn names() -> Vec<Odd> {
    vec![
        (
            "names-only",
            json!({"dnsNames": ["*.example.com", "example.com"]}),
            &[
                "Issuer: CN=Root Validity",
                "Subject: Subject Public Key Info:",
                "X509v3 extensions: X509v3 Key Usage: critical Digital Signature, Key Encipherment \
                 X509v3 Basic Constraints: critical CA:FALSE X509v3 Authority Key Identifier:",
                "Authority Information Access: OCSP - URI:http://ca.example/ocsp CA Issuers - \
                 URI:http://ca.example/ca X509v3 CRL Distribution Points: Full Name: \
                 URI:http://ca.example/crl",
                "X509v3 Subject Alternative Name: critical DNS:*.example.com, DNS:example.com \
                 Signature Algorithm: ecdsa-with-SHA384",
            ],
        ),
        (
            "names-all",
            json!({
                "commonName": "all", "dnsNames": ["all.example"],
                "emailAddresses": ["ops@example.com"], "uris": ["spiffe://example.com/app"],
                "ipAddresses": ["2001:db8::1", "192.0.2.1", "::ffff:192.0.2.2"],
                "otherNames": [{"oid": "1.3.6.1.4.1.311.20.2.3", "utf8Value": "ada@example.com"}],
            }),
            &[
                "Subject: CN=all",
                "X509v3 Subject Alternative Name: DNS:all.example, email:ops@example.com, IP \
                 Address:2001:DB8:0:0:0:0:0:1, IP Address:192.0.2.1, IP Address:192.0.2.2, \
                 URI:spiffe://example.com/app, othername: UPN::ada@example.com",
            ],
        ),
        (
            "names-address",
            json!({"ipAddresses": ["192.0.2.7"]}),
            &["X509v3 Subject Alternative Name: critical IP Address:192.0.2.7 Signature"],
        ),
        (
            "names-email",
            json!({"emailAddresses": ["ops@example.com"], "usages": ["s/mime"]}),
            &[
                "X509v3 Extended Key Usage: E-mail Protection X509v3",
                "X509v3 Subject Alternative Name: critical email:ops@example.com Signature",
            ],
        ),
        (
            "names-uri",
            json!({"uris": ["spiffe://example.com/ns/a/sa/b"], "literalSubject": "O=SPIRE"}),
            &[
                "Subject: O=SPIRE",
                "X509v3 Subject Alternative Name: URI:spiffe://example.com/ns/a/sa/b Signature",
            ],
        ),
        (
            "names-other",
            json!({"otherNames": [{"oid": "1.2.3.4", "utf8Value": "x"}]}),
            &["X509v3 Subject Alternative Name: critical othername: 1.2.3.4::x"],
        ),
    ]
}

fn subjects() -> Vec<Odd> {
    vec![
        (
            "subject-fields",
            json!({"commonName": "app", "subject": {
                "countries": ["DE"], "organizations": ["Zeta", "Be"],
                "organizationalUnits": ["Edge"], "localities": ["Köln"], "provinces": ["NRW"],
                "streetAddresses": ["Weg 1"], "postalCodes": ["50667"], "serialNumber": "17",
            }}),
            &[
                r"Subject: serialNumber=17,CN=app,OU=Edge,O=Zeta+O=Be,postalCode=50667,street=Weg 1,L=K\C3\B6ln,ST=NRW,C=DE",
            ],
        ),
        (
            "subject-odd",
            json!({"commonName": "what?", "subject": {"organizations": ["a&b, \"c\" <d>"]}}),
            &[r#"Subject: CN=what?,O=a&b\, \"c\" \<d\>"#],
        ),
        (
            "subject-literal",
            json!({"literalSubject": r"CN=app+UID=7,OU=b;O=Acme\, Inc.,L=K\C3\B6ln,DC=example,DC=com"}),
            &[r"Subject: UID=7+CN=app,OU=b,O=Acme\, Inc.,L=K\C3\B6ln,DC=example,DC=com"],
        ),
        (
            "subject-by-oid",
            json!({"literalSubject": "2.5.4.12=Dr,2.5.4.42=Ada,CN=#0c03616461"}),
            &["Subject: title=Dr,GN=Ada,CN=ada"],
        ),
        (
            "subject-empty",
            json!({"dnsNames": ["a.example"], "subject": {"organizations": []}}),
            &["X509v3 Subject Alternative Name: critical DNS:a.example"],
        ),
    ]
}

fn usages() -> Vec<Odd> {
    let named = |more: Value| {
        let mut spec = more;
        spec["commonName"] = json!("usage");
        spec
    };
    let constraints = json!({
        "critical": true,
        "permitted": {"dnsDomains": ["example.com"], "ipRanges": ["10.1.2.3/8"]},
        "excluded": {"emailAddresses": ["bad@example.com"], "uriDomains": [".example.org"]},
    });
    vec![
        (
            "usages-extended",
            named(json!({"usages": ["client auth", "server auth"], "dnsNames": ["eku.example"]})),
            &[
                "extensions: X509v3 Extended Key Usage: TLS Web Client Authentication, TLS Web \
                 Server Authentication X509v3 Basic Constraints: critical CA:FALSE",
            ],
        ),
        (
            "usages-bits",
            named(json!({"usages": [
                "decipher only", "encipher only", "key agreement", "content commitment",
                "data encipherment", "crl sign",
            ]})),
            &[
                "extensions: X509v3 Key Usage: critical Non Repudiation, Data Encipherment, Key \
                 Agreement, CRL Sign, Encipher Only, Decipher Only X509v3 Basic",
            ],
        ),
        (
            "usages-rest",
            named(json!({"usages": [
                "signing", "any", "code signing", "timestamping", "ocsp signing", "ipsec user",
                "ipsec tunnel", "ipsec end system", "microsoft sgc", "netscape sgc",
            ]})),
            &[
                "X509v3 Key Usage: critical Digital Signature X509v3 Extended Key Usage: Any \
                 Extended Key Usage, Code Signing, Time Stamping, OCSP Signing, IPSec User, IPSec \
                 Tunnel, IPSec End System, Microsoft Server Gated Crypto, Netscape Server Gated \
                 Crypto X509v3 Basic",
            ],
        ),
        (
            "usages-unsaid",
            named(json!({"usages": ["client auth"], "encodeUsagesInRequest": false})),
            &["extensions: X509v3 Extended Key Usage: TLS Web Client Authentication X509v3 Basic"],
        ),
        (
            "authority",
            named(json!({"isCA": true, "usages": ["crl sign"]})),
            &[
                "X509v3 Key Usage: critical Certificate Sign, CRL Sign X509v3 Basic Constraints: \
                 critical CA:TRUE X509v3 Subject Key Identifier:",
                "X509v3 Authority Key Identifier:",
            ],
        ),
        (
            "constrained",
            named(json!({"isCA": true, "nameConstraints": constraints})),
            &[
                "X509v3 Basic Constraints: critical CA:TRUE",
                "CA Issuers - URI:http://ca.example/ca X509v3 Name Constraints: critical \
                 Permitted: DNS:example.com IP:10.0.0.0/255.0.0.0 Excluded: email:bad@example.com \
                 URI:.example.org X509v3 CRL Distribution Points:",
            ],
        ),
        (
            "constrained-a-little",
            named(json!({"isCA": true, "nameConstraints": {"excluded": {"dnsDomains": ["a"]}}})),
            &["X509v3 Name Constraints: Excluded: DNS:a X509v3 CRL"],
        ),
    ]
}

fn keys() -> Vec<Odd> {
    let key = |key: Value| json!({"dnsNames": ["key.example"], "privateKey": key});
    vec![
        ("key-default", key(json!({})), &["Public-Key: (2048 bit)"]),
        (
            "key-rsa",
            key(json!({"algorithm": "RSA", "size": 3072, "encoding": "PKCS8"})),
            &["Public-Key: (3072 bit)"],
        ),
        (
            "key-ec",
            key(json!({"algorithm": "ECDSA", "encoding": "PKCS1"})),
            &["NIST CURVE: P-256"],
        ),
        (
            "key-ec-384",
            key(json!({"algorithm": "ECDSA", "size": 384, "encoding": "PKCS8"})),
            &["NIST CURVE: P-384"],
        ),
        (
            "key-ec-521",
            key(json!({"algorithm": "ECDSA", "size": 521})),
            &["NIST CURVE: P-521"],
        ),
        (
            "key-ed25519",
            key(json!({"algorithm": "Ed25519", "encoding": "PKCS1"})),
            &["Public Key Algorithm: ED25519"],
        ),
        (
            "key-hash",
            json!({"dnsNames": ["key.example"], "signatureAlgorithm": "ECDSAWithSHA512"}),
            &["NIST CURVE: P-256"],
        ),
        (
            "time-short",
            json!({"dnsNames": ["key.example"], "duration": "1h", "renewBefore": "5m"}),
            &["Signature Algorithm: ecdsa-with-SHA384"],
        ),
        (
            "time-percentage",
            json!({"dnsNames": ["key.example"], "duration": "100h", "renewBeforePercentage": 25}),
            &["Signature Algorithm: ecdsa-with-SHA384"],
        ),
        (
            "time-never",
            json!({"dnsNames": ["key.example"], "renewal": {"policy": "Disabled"}}),
            &["Signature Algorithm: ecdsa-with-SHA384"],
        ),
    ]
}

async fn check(namespace: &Namespace, name: &str, spec: &Value, wanted: &[&str]) -> Result<()> {
    let secret: Secret = namespace.api().get(name).await?;
    let data = secret.data.context("no data")?;
    let entry = |key: &str| data.get(key).map_or(&[][..], |bytes| &bytes.0);
    let root: Secret = namespace.api().get("root").await?;
    let root = root.data.context("no root")?;
    ensure!(entry("ca.crt") == root["tls.crt"].0, "another CA");

    let arguments = ["x509", "-noout", "-text", "-nameopt", "RFC2253"];
    if let Some(text) = openssl(&arguments, entry("tls.crt"))? {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut rest = text.as_str();
        for part in wanted {
            let (_, after) = rest
                .split_once(part)
                .with_context(|| format!("{part}\nis not, in this place, in\n{text}"))?;
            rest = after;
        }
    }
    key_is_written_as_asked(spec, entry("tls.key"))?;
    dates_are_as_asked(namespace, name, spec, entry("tls.crt")).await?;
    if spec["signatureAlgorithm"] != Value::Null {
        let request: CertificateRequest = namespace.api().get(&format!("{name}-1")).await?;
        let signed_by = CsrFacts::from_pem(&request.spec.request.0)?.signature_algorithm;
        ensure!(spec["signatureAlgorithm"] == signed_by.as_str());
    }
    // A client believes what is for servers.
    let names: Vec<String> = spec["dnsNames"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|name| Some(name.as_str()?.replace('*', "any")))
        .collect();
    if !names.is_empty() {
        believed(&data, &root, &names)?;
    }
    Ok(())
}

fn believed(
    data: &BTreeMap<String, ByteString>,
    root: &BTreeMap<String, ByteString>,
    names: &[String],
) -> Result<()> {
    let root = String::from_utf8(root["tls.crt"].0.clone())?;
    verify::secret(data, &[root], names)?;
    Ok(())
}

fn key_is_written_as_asked(spec: &Value, key: &[u8]) -> Result<()> {
    let asked = &spec["privateKey"];
    let is_ed25519 = asked["algorithm"] == "Ed25519";
    let label = match asked["algorithm"].as_str() {
        _ if asked["encoding"] == "PKCS8" || is_ed25519 => "PRIVATE KEY",
        Some("ECDSA") => "EC PRIVATE KEY",
        Some(_) => "RSA PRIVATE KEY",
        // Not said: what all have here, or the default where another is named.
        None if asked.is_null() => "EC PRIVATE KEY",
        None => "RSA PRIVATE KEY",
    };
    ensure!(
        key.starts_with(format!("-----BEGIN {label}-----\n").as_bytes()),
        "the key is no {label}"
    );
    openssl(&["pkey", "-noout", "-check"], key)?;
    Ok(())
}

async fn dates_are_as_asked(
    namespace: &Namespace,
    name: &str,
    spec: &Value,
    pem: &[u8],
) -> Result<()> {
    let leaf = CertificateFacts::from_pem(pem)?;
    let certificate: Certificate = namespace.api().get(name).await?;
    let status = certificate.status.context("no status")?;
    let time = |time: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| {
        time.map(|time| time.0)
    };
    ensure!(time(status.not_before) == Some(leaf.not_before));
    ensure!(time(status.not_after) == Some(leaf.not_after));
    let (hours, before) = match name {
        "time-short" => (1, Some(5 * 60)),
        "time-percentage" => (100, Some(25 * 3600)),
        "time-never" => (2160, None),
        _ => (2160, Some(720 * 3600)),
    };
    ensure!(
        leaf.not_before.duration_until(leaf.not_after).as_secs() == hours * 3600,
        "{spec}"
    );
    let renewal = time(status.renewal_time);
    let ahead = renewal.map(|at| at.duration_until(leaf.not_after).as_secs());
    ensure!(ahead == before, "renewed {ahead:?} seconds before its end");
    Ok(())
}

/// What OpenSSL prints; `None`, and a note, where it is not installed.
fn openssl(arguments: &[&str], input: &[u8]) -> Result<Option<String>> {
    let child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("openssl is not installed: its part of the story is skipped");
        return Ok(None);
    };
    child.stdin.take().context("no input")?.write_all(input)?;
    let output = child.wait_with_output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "openssl {arguments:?}: {errors}");
    Ok(Some(String::from_utf8(output.stdout)?))
}
