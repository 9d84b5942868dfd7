//! What does the Secret of a Certificate hold?

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::Resource;

use crate::{
    api::{
        certificate::{Certificate, OutputFormat, PrivateKeyEncoding},
        names::{TRUE, annotation, label, secret_key},
        reference::IssuerRef,
    },
    certificate::{
        details,
        facts::CertificateFacts,
        secret::{combined, der_of, wipe},
    },
    pki::{
        self,
        key::{KeyEncoding, PrivateKey},
    },
};

/// The type of a Secret that we make.
pub const TLS: &str = "kubernetes.io/tls";

/// The type of a Secret that holds the key of an issuance.
const OPAQUE: &str = "Opaque";

/// What a Secret is to hold.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// The private key, PEM, as it is to be stored.
    pub key_pem: &'a [u8],
    /// Leaf and intermediates, PEM.
    pub chain_pem: &'a [u8],
    /// The CA, PEM.
    pub ca_pem: Option<&'a [u8]>,
    /// The Certificate that it was issued for, if that is known.
    pub certificate_name: Option<&'a str>,
    /// Who issued it, if that is known, as the request names it.
    pub issuer: Option<Issuer<'a>>,
}

/// An issuer as the annotations of a Secret name it: kind and group may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issuer<'a> {
    /// Name.
    pub name: &'a str,
    /// Kind.
    pub kind: &'a str,
    /// API group.
    pub group: &'a str,
}

impl<'a> From<&'a IssuerRef> for Issuer<'a> {
    fn from(issuer: &'a IssuerRef) -> Self {
        Self {
            name: &issuer.name,
            kind: issuer.kind.as_deref().unwrap_or_default(),
            group: issuer.group.as_deref().unwrap_or_default(),
        }
    }
}

/// A Secret ready to be applied. Its data is overwritten when let go.
#[derive(Clone)]
pub struct Sensitive(pub Secret);

impl Drop for Sensitive {
    fn drop(&mut self) {
        if let Some(data) = &mut self.0.data {
            wipe(data);
        }
    }
}

/// The Secret of `certificate`, holding `content`, for server-side apply. `type_` is the type of
/// the Secret that stands, as it cannot change.
///
/// # Errors
/// When the certificate in it cannot be read.
pub fn build(
    certificate: &CertificateFacts,
    content: Content<'_>,
    type_: Option<&str>,
    owner_reference: bool,
) -> Result<Sensitive, pki::Error> {
    let facts = pki::certificate::CertificateFacts::from_pem(content.chain_pem)?;
    let template = certificate.spec.secret_template.clone().unwrap_or_default();

    let mut annotations = template.annotations.unwrap_or_default();
    for (key, value) in details::annotations(&facts) {
        annotations.insert(key.to_owned(), value);
    }
    if let Some(name) = content.certificate_name {
        annotations.insert(annotation::CERTIFICATE_NAME.to_owned(), name.to_owned());
    }
    if let Some(Issuer { name, kind, group }) = content.issuer {
        annotations.insert(annotation::ISSUER_NAME.to_owned(), name.to_owned());
        annotations.insert(annotation::ISSUER_KIND.to_owned(), kind.to_owned());
        annotations.insert(annotation::ISSUER_GROUP.to_owned(), group.to_owned());
    }
    let mut labels = template.labels.unwrap_or_default();
    labels.insert(label::WATCHED_SECRET.to_owned(), TRUE.to_owned());

    Ok(Sensitive(Secret {
        metadata: ObjectMeta {
            name: Some(certificate.spec.secret_name.clone()),
            namespace: Some(certificate.meta.key.namespace.to_string()),
            annotations: Some(annotations),
            labels: Some(labels),
            owner_references: owner_reference.then(|| vec![owner(certificate)]),
            ..ObjectMeta::default()
        },
        data: Some(data(certificate, content)),
        type_: Some(
            type_
                .filter(|type_| !type_.is_empty())
                .unwrap_or(TLS)
                .to_owned(),
        ),
        ..Secret::default()
    }))
}

fn data(certificate: &CertificateFacts, content: Content<'_>) -> BTreeMap<String, ByteString> {
    let Content {
        key_pem,
        chain_pem,
        ca_pem,
        certificate_name: _,
        issuer: _,
    } = content;
    let mut data = BTreeMap::new();
    let mut put = |key: &str, value: &[u8]| {
        data.insert(key.to_owned(), ByteString(value.to_vec()));
    };
    put(secret_key::PRIVATE_KEY, key_pem);
    put(secret_key::CERTIFICATE, chain_pem);
    if let Some(ca) = ca_pem.filter(|ca| !ca.is_empty()) {
        put(secret_key::CA, ca);
    }
    for format in certificate.spec.additional_output_formats.iter().flatten() {
        match format.type_ {
            OutputFormat::Der => {
                if let Some(der) = der_of(key_pem) {
                    put(secret_key::DER, &der);
                }
            }
            OutputFormat::CombinedPem => {
                put(secret_key::COMBINED_PEM, &combined(key_pem, chain_pem));
            }
        }
    }
    data
}

/// The Secret `name` with the key of the next issuance of `certificate`: always PKCS#8, however it
/// is written in the end.
///
/// # Errors
/// When the key cannot be encoded.
pub fn next_key(
    certificate: &CertificateFacts,
    name: &str,
    key: &PrivateKey,
) -> Result<Sensitive, pki::Error> {
    let pem = key.to_pem(KeyEncoding::Pkcs8)?;
    let labels = [label::NEXT_PRIVATE_KEY, label::WATCHED_SECRET]
        .map(|label| (label.to_owned(), TRUE.to_owned()));
    let data = (
        secret_key::PRIVATE_KEY.to_owned(),
        ByteString(pem.as_bytes().to_vec()),
    );
    Ok(Sensitive(Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(certificate.meta.key.namespace.to_string()),
            labels: Some(BTreeMap::from(labels)),
            owner_references: Some(vec![owner(certificate)]),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([data])),
        type_: Some(OPAQUE.to_owned()),
        ..Secret::default()
    }))
}

/// The reference that makes `certificate` the controller of an object.
pub fn owner(certificate: &CertificateFacts) -> OwnerReference {
    OwnerReference {
        api_version: Certificate::api_version(&()).into_owned(),
        block_owner_deletion: Some(true),
        controller: Some(true),
        kind: Certificate::kind(&()).into_owned(),
        name: certificate.meta.key.name.to_string(),
        uid: certificate.meta.uid.clone(),
    }
}

/// How the Secret of `certificate` writes the private key.
pub fn encoding(certificate: &CertificateFacts) -> KeyEncoding {
    let encoding = certificate
        .spec
        .private_key
        .as_ref()
        .and_then(|key| key.encoding);
    match encoding {
        None | Some(PrivateKeyEncoding::Pkcs1) => KeyEncoding::Pkcs1,
        Some(PrivateKeyEncoding::Pkcs8) => KeyEncoding::Pkcs8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::certificate::{AdditionalOutputFormat, SecretTemplate},
        certificate::stories::{World, spec},
    };

    fn map(pairs: &[(&str, &str)]) -> Option<BTreeMap<String, String>> {
        let pairs = pairs.iter();
        Some(
            pairs
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn the_secret_says_what_was_issued_and_by_whom() {
        let mut spec = spec();
        spec.common_name = Some("www.example.com".into());
        spec.ip_addresses = Some(vec!["192.0.2.1".into(), "2001:db8::1".into()]);
        spec.issuer_ref.kind = Some("ClusterIssuer".into());
        spec.secret_template = Some(SecretTemplate {
            annotations: map(&[
                (annotation::ALT_NAMES, "not ours to say"),
                (annotation::ALLOW_DIRECT_INJECTION, "true"),
                ("example.com/note", "a"),
            ]),
            labels: map(&[("team", "a"), (label::WATCHED_SECRET, "false")]),
        });
        let world = World::issued(spec);
        let secret = &world.secrets["web-tls"];
        assert_eq!(
            secret.metadata.annotations,
            map(&[
                (annotation::ALLOW_DIRECT_INJECTION, "true"),
                (annotation::ALT_NAMES, "www.example.com"),
                (annotation::CERTIFICATE_NAME, "web"),
                (annotation::COMMON_NAME, "www.example.com"),
                (annotation::IP_SANS, "192.0.2.1,2001:db8::1"),
                (annotation::ISSUER_GROUP, ""),
                (annotation::ISSUER_KIND, "ClusterIssuer"),
                (annotation::ISSUER_NAME, "ca"),
                (annotation::URI_SANS, ""),
                ("example.com/note", "a"),
            ])
        );
        let labels = map(&[("team", "a"), (label::WATCHED_SECRET, "true")]);
        assert_eq!(secret.metadata.labels, labels);
        assert_eq!(secret.type_.as_deref(), Some(TLS));
        assert_eq!(secret.metadata.owner_references, None);
        let keys: Vec<&String> = secret.data.as_ref().unwrap().keys().collect();
        assert_eq!(keys, ["ca.crt", "tls.crt", "tls.key"]);
    }

    #[test]
    fn formats_and_encodings() {
        for (encoding, header) in [
            (None, "-----BEGIN EC PRIVATE KEY-----"),
            (
                Some(PrivateKeyEncoding::Pkcs1),
                "-----BEGIN EC PRIVATE KEY-----",
            ),
            (
                Some(PrivateKeyEncoding::Pkcs8),
                "-----BEGIN PRIVATE KEY-----",
            ),
        ] {
            let mut spec = spec();
            spec.private_key.as_mut().unwrap().encoding = encoding;
            let formats = [OutputFormat::CombinedPem, OutputFormat::Der]
                .map(|type_| AdditionalOutputFormat { type_ });
            spec.additional_output_formats = Some(formats.into());
            let world = World::issued(spec);
            let entry = |key| world.entry("web-tls", key);
            let key = entry(secret_key::PRIVATE_KEY);
            assert!(key.starts_with(header.as_bytes()), "{encoding:?}");
            let combined = [key, b"\n", entry(secret_key::CERTIFICATE)].concat();
            assert_eq!(entry(secret_key::COMBINED_PEM), combined);
            assert_eq!(entry(secret_key::DER), pem::parse(key).unwrap().contents());
            let facts = world.target().unwrap();
            assert_eq!(
                (facts.der_fits, facts.combined_fits),
                (Some(true), Some(true))
            );
        }
    }

    #[test]
    fn the_type_that_stands_is_kept_and_the_owner_is_asked_for() {
        let world = World::issued(spec());
        let content = Content {
            key_pem: world.entry("web-tls", secret_key::PRIVATE_KEY),
            chain_pem: world.entry("web-tls", secret_key::CERTIFICATE),
            ca_pem: None,
            certificate_name: None,
            issuer: None,
        };
        for (type_, want) in [(None, TLS), (Some(""), TLS), (Some("Opaque"), "Opaque")] {
            let built = build(&world.facts(), content, type_, true).unwrap();
            assert_eq!(built.0.type_.as_deref(), Some(want));
            let owner = &built.0.metadata.owner_references.as_ref().unwrap()[0];
            assert_eq!(
                (&*owner.uid, owner.block_owner_deletion),
                ("uid-web", Some(true))
            );
            let annotations = built.0.metadata.annotations.as_ref().unwrap();
            assert!(!annotations.contains_key(annotation::ISSUER_NAME));
            assert!(!annotations.contains_key(annotation::CERTIFICATE_NAME));
        }
        let broken = Content {
            chain_pem: b"x",
            ..content
        };
        assert!(build(&world.facts(), broken, None, false).is_err());
    }

    #[test]
    fn the_next_key_is_always_pkcs8() {
        let mut world = World::new(spec());
        world.settle();
        let name = world.status().next_private_key_secret_name.unwrap();
        let pem = world.entry(&name, secret_key::PRIVATE_KEY);
        assert!(pem.starts_with(b"-----BEGIN PRIVATE KEY-----"));
        assert!(PrivateKey::from_pem(pem).is_ok());
    }
}
