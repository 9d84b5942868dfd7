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
    pki::{self, key::KeyEncoding},
};

/// The type of a Secret that we make.
pub const TLS: &str = "kubernetes.io/tls";

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
