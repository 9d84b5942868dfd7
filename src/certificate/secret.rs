//! What is known of a Secret that holds a key pair? Never the key itself.

use std::{borrow::Cow, collections::BTreeMap};

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use k8s_openapi::{
    ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use serde::{Deserialize, Deserializer, Serialize, de};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    api::names::{TRUE, annotation, label, secret_key},
    certificate::{
        details,
        keystores::Held,
        managed::{ManagedFields, intern},
        temporary,
    },
    cluster::{Facts, Meta, OwnerKey},
    pki::{
        PublicKeyHash,
        certificate::{CertificateFacts, renewal_id},
        hash_text,
        key::{KeyParameters, PrivateKey},
        names::Names,
        signed_by::{Fingerprint, SignedBy},
    },
};

/// What is kept of a Secret with a key pair, or with the key of an issuance under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SecretFacts {
    /// Name and versions.
    pub meta: Meta,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`, but for those that follow from the certificate ([`Details`]) and the
    /// one that kubectl keeps the whole object in.
    pub annotations: BTreeMap<String, String>,
    /// `metadata.ownerReferences`.
    pub owners: Vec<OwnerReference>,
    /// `type`.
    pub type_: String,
    /// Whether there is any data.
    pub has_data: bool,
    /// `tls.key`.
    pub key: Entry<KeyFacts>,
    /// The leaf in `tls.crt`.
    pub leaf: Entry<Leaf>,
    /// SHA-256 of `tls.crt` as it stands.
    pub chain: Option<ChainHash>,
    /// Which CA signed the leaf.
    pub signed_by: SignedBy,
    /// Whether `ca.crt` says something.
    pub has_ca: bool,
    /// The certificates in `ca.crt`, where they can be read.
    pub roots: Vec<Fingerprint>,
    /// Whether `key.der` says what `tls.key` says; `None` without one.
    pub der_fits: Option<bool>,
    /// Whether `tls-combined.pem` says what `tls.key` and `tls.crt` say; `None` without one.
    pub combined_fits: Option<bool>,
    /// The key stores beside the key pair.
    pub key_stores: Held,
    /// What follows from the certificate.
    pub details: Details,
    /// The fields that our field manager holds, or why they cannot be read.
    pub managed: Result<ManagedFields, String>,
}

/// One entry of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry<T> {
    /// There is none, or it is empty.
    Missing,
    /// It cannot be read, for this reason.
    Broken(String),
    /// What it says.
    Read(T),
}

impl<T> Entry<T> {
    /// What it says, if it can be read.
    pub fn read(&self) -> Option<&T> {
        match self {
            Self::Missing | Self::Broken(_) => None,
            Self::Read(value) => Some(value),
        }
    }

    fn of(bytes: &[u8], read: impl FnOnce(&[u8]) -> Result<T, crate::pki::Error>) -> Self {
        if bytes.is_empty() {
            return Self::Missing;
        }
        match read(bytes) {
            Ok(value) => Self::Read(value),
            Err(error) => Self::Broken(error.to_string()),
        }
    }
}

/// What is known of a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFacts {
    /// Its kind and size.
    pub parameters: KeyParameters,
    /// The hash of its public half.
    pub public_key: PublicKeyHash,
}

impl KeyFacts {
    /// What is known of `key`.
    ///
    /// # Errors
    /// When its public half cannot be encoded.
    pub fn of(key: &PrivateKey) -> Result<Self, crate::pki::Error> {
        Ok(Self {
            parameters: key.parameters(),
            public_key: key.public_key_hash()?,
        })
    }
}

/// What decisions need of the certificate in a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// The serial in lower-case hexadecimal.
    pub serial: String,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// The common name, empty without one.
    pub common_name: String,
    /// The subject alternative names.
    pub names: Names,
    /// The hash of its public key.
    pub public_key: PublicKeyHash,
    /// How the CA knows it when it is asked for renewal information (RFC 9773, 4.1).
    pub renewal_id: Option<Box<str>>,
    /// Whether it only stands in until the real one is there.
    pub is_temporary: bool,
}

impl From<&CertificateFacts> for Leaf {
    fn from(certificate: &CertificateFacts) -> Self {
        Self {
            serial: certificate.serial.clone(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            common_name: certificate.subject.common_name.clone(),
            names: certificate.names.clone(),
            public_key: certificate.public_key,
            renewal_id: renewal_id(certificate).map(String::into_boxed_str),
            is_temporary: certificate.issuer_common_name.as_deref() == Some(temporary::ISSUER),
        }
    }
}

/// SHA-256 of a chain in PEM, byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainHash(#[serde(with = "hash_text")] [u8; 32]);

impl ChainHash {
    /// The hash of `pem`.
    pub fn of(pem: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, pem).as_ref());
        Self(hash)
    }
}

/// The annotations that follow from the certificate in a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// Their keys.
    #[serde(deserialize_with = "our_keys")]
    pub keys: Vec<&'static str>,
    /// The first that the Secret has with another value: that value, and the one that would fit.
    pub mismatch: Option<(String, String)>,
}

impl Details {
    fn of(certificate: &CertificateFacts, stored: &BTreeMap<String, String>) -> Self {
        let wanted = details::annotations(certificate);
        let mismatch = wanted.iter().find_map(|(key, want)| {
            let stored = stored.get(*key).filter(|stored| *stored != want)?;
            Some((stored.clone(), want.clone()))
        });
        Self {
            keys: wanted.into_keys().collect(),
            mismatch,
        }
    }
}

fn our_keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<&'static str>, D::Error> {
    let keys = Vec::<String>::deserialize(deserializer)?;
    let ours = |key: String| match intern(&key) {
        Cow::Borrowed(ours) => Ok(ours),
        Cow::Owned(key) => Err(de::Error::custom(format!("{key} is none of ours"))),
    };
    keys.into_iter().map(ours).collect()
}

/// How Secrets are looked up besides by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretIndex {
    /// By the controller owner.
    Owner(OwnerKey),
    /// By the serial of the certificate that it holds.
    Serial(String),
}

impl Facts for SecretFacts {
    type Object = Secret;
    type Index = SecretIndex;

    fn reduce(secret: Secret) -> Self {
        let Secret {
            metadata,
            data,
            type_,
            ..
        } = secret;
        let meta = Meta::of(&metadata);
        let data = Data(data.unwrap_or_default());
        let key_pem = data.get(secret_key::PRIVATE_KEY);
        let chain_pem = data.get(secret_key::CERTIFICATE);
        let key = Entry::of(key_pem, |pem| KeyFacts::of(&PrivateKey::from_pem(pem)?));
        let certificate = Entry::of(chain_pem, |pem| CertificateFacts::from_pem(pem));

        let mut annotations = metadata.annotations.unwrap_or_default();
        let details = certificate
            .read()
            .map(|certificate| Details::of(certificate, &annotations))
            .unwrap_or_default();
        annotations.retain(|key, _| {
            key != annotation::LAST_APPLIED && !details.keys.contains(&key.as_str())
        });

        Self {
            meta,
            labels: metadata.labels.unwrap_or_default(),
            annotations,
            owners: metadata.owner_references.unwrap_or_default(),
            type_: type_.unwrap_or_default(),
            has_data: !data.0.is_empty(),
            key,
            leaf: match &certificate {
                Entry::Missing => Entry::Missing,
                Entry::Broken(why) => Entry::Broken(why.clone()),
                Entry::Read(certificate) => Entry::Read(Leaf::from(certificate)),
            },
            chain: (!chain_pem.is_empty()).then(|| ChainHash::of(chain_pem)),
            signed_by: certificate
                .read()
                .map(|leaf| SignedBy::of(leaf, chain_pem, data.get(secret_key::CA)))
                .unwrap_or_default(),
            has_ca: !data.get(secret_key::CA).is_empty(),
            roots: Fingerprint::all(data.get(secret_key::CA)),
            der_fits: data.fits(secret_key::DER, || der_of(key_pem)),
            combined_fits: data.fits(secret_key::COMBINED_PEM, || {
                Some(combined(key_pem, chain_pem))
            }),
            key_stores: Held::of(&data.0),
            details,
            managed: ManagedFields::read(&metadata.managed_fields.unwrap_or_default()),
        }
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn indexes(&self) -> Vec<SecretIndex> {
        let owner = self.meta.owner().map(SecretIndex::Owner);
        let leaf = self.leaf.read();
        let serial = leaf.map(|leaf| SecretIndex::Serial(leaf.serial.clone()));
        owner.into_iter().chain(serial).collect()
    }

    fn pack(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(self).ok()
    }

    fn unpack(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

impl SecretFacts {
    /// Whether it is there to hold the key of an issuance under way.
    pub fn is_next_key(&self) -> bool {
        self.labels
            .get(label::NEXT_PRIVATE_KEY)
            .is_some_and(|value| value == TRUE)
    }

    /// Whether it holds a key and a certificate that can be read.
    pub fn has_key_pair(&self) -> bool {
        self.key.read().is_some() && self.leaf.read().is_some()
    }

    /// The value of an annotation that does not follow from the certificate.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }
}

/// The bytes of the first PEM block of a key: what `key.der` holds.
pub fn der_of(key_pem: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    Some(Zeroizing::new(pem::parse(key_pem).ok()?.into_contents()))
}

/// Key and chain in one: what `tls-combined.pem` holds.
pub fn combined(key_pem: &[u8], chain_pem: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([key_pem, b"\n", chain_pem].concat())
}

/// The data of a Secret, overwritten when let go.
struct Data(BTreeMap<String, ByteString>);

impl Data {
    fn get(&self, key: &str) -> &[u8] {
        self.0.get(key).map_or(&[], |value| value.0.as_slice())
    }

    fn fits(&self, key: &str, wanted: impl FnOnce() -> Option<Zeroizing<Vec<u8>>>) -> Option<bool> {
        let stored = &self.0.get(key)?.0;
        Some(wanted().is_some_and(|wanted| *wanted == *stored))
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Overwrites the data of a Secret.
pub fn wipe(data: &mut BTreeMap<String, ByteString>) {
    for value in data.values_mut() {
        value.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;
    use crate::{
        api::{
            certificate::{CertificateSpec, Subject},
            names::label,
        },
        certificate::{
            facts,
            stories::{World, spec},
        },
        request::facts::RequestFacts,
    };

    /// What is packed, and the same facts once they were.
    fn packed<F: Facts + Debug>(facts: &F) -> Option<String> {
        let text = facts.pack()?;
        let again = F::unpack(&text).unwrap();
        assert_eq!(format!("{again:?}"), format!("{facts:?}"));
        Some(String::from_utf8(text).unwrap())
    }

    #[test]
    fn what_is_packed_comes_back_as_it_was() {
        let many = |text: &str| Some(vec![text.to_owned()]);
        let subject = Subject {
            organizations: many("Example, Inc."),
            serial_number: Some("7".into()),
            ..Subject::default()
        };
        let rich = CertificateSpec {
            common_name: Some("www.example.com".into()),
            duration: Some("2160h".into()),
            email_addresses: many("a@example.com"),
            ip_addresses: many("2001:db8::1"),
            is_ca: Some(true),
            subject: Some(subject),
            uris: many("spiffe://a/b"),
            ..spec()
        };
        for spec in [spec(), rich] {
            let mut world = World::new(spec.clone());
            world.settle();
            assert!(packed(&*world.facts()).is_some());
            for secret in world.secrets.values() {
                assert!(packed(&SecretFacts::reduce(secret.clone())).is_some());
            }
            for request in world.requests.values() {
                assert!(packed(&RequestFacts::reduce(request.clone())).is_some());
            }

            let mut world = World::issued(spec);
            let secret = world.secrets.get_mut("web-tls").unwrap();
            let labels = secret.metadata.labels.as_mut().unwrap();
            labels.insert("team".into(), "a".into());
            assert!(labels.contains_key(label::WATCHED_SECRET));
            let secret = packed(&world.target().unwrap()).unwrap();
            let request = RequestFacts::reduce(world.requests["web-1"].clone());
            let request = packed(&request).unwrap();
            let certificate: &facts::CertificateFacts = &world.facts();
            let certificate = packed(certificate).unwrap();
            for text in [secret, request, certificate] {
                assert!(text.contains("www.example.com"));
                assert!(!text.contains("BEGIN") && !text.contains("LS0t"), "{text}");
            }
        }
    }

    #[test]
    fn no_key_is_kept() {
        let world = World::issued(spec());
        let pem = world.entry("web-tls", secret_key::PRIVATE_KEY);
        let lines = std::str::from_utf8(pem).unwrap().lines();
        let secret_lines: Vec<&str> = lines.filter(|line| !line.starts_with('-')).collect();
        let told = format!("{:?}", world.target().unwrap());
        assert!(told.contains("www.example.com"));
        assert!(secret_lines.iter().all(|line| !told.contains(line)));
    }

    #[test]
    fn what_is_too_large_is_not_read() {
        let mut world = World::issued(spec());
        let secret = world.secrets.get_mut("web-tls").unwrap();
        let data = secret.data.as_mut().unwrap();
        for key in [secret_key::PRIVATE_KEY, secret_key::CERTIFICATE] {
            let padding = vec![b'\n'; 100_000];
            data.get_mut(key).unwrap().0.extend(padding);
        }
        let facts = world.target().unwrap();
        let too_large = |why: &str| why.contains("more than the limit of");
        assert!(matches!(&facts.key, Entry::Broken(why) if too_large(why)));
        assert!(matches!(&facts.leaf, Entry::Broken(why) if too_large(why)));
        assert_eq!(facts.details, Details::default());
    }

    #[test]
    fn annotations_that_follow_from_the_certificate_are_not_kept_twice() {
        let mut world = World::issued(spec());
        let secret = world.secrets.get_mut("web-tls").unwrap();
        let annotations = secret.metadata.annotations.as_mut().unwrap();
        annotations.insert(annotation::LAST_APPLIED.into(), "{}".into());
        annotations.insert("example.com/note".into(), "a".into());
        let facts = world.target().unwrap();
        let kept: Vec<&str> = facts.annotations.keys().map(String::as_str).collect();
        let want = [
            annotation::CERTIFICATE_NAME,
            annotation::ISSUER_GROUP,
            annotation::ISSUER_KIND,
            annotation::ISSUER_NAME,
            "example.com/note",
        ];
        assert_eq!(kept, want);
        assert_eq!(facts.details.mismatch, None);
    }
}
