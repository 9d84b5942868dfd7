//! Which key stores does a Certificate ask for, and does its Secret hold them?
//!
//! A store has new salts each time it is written, and its password stands elsewhere: nothing that is
//! kept of a Secret could tell whether it fits. So the stores are opened, once for each version of
//! what they depend on ([`passwords`](crate::certificate::passwords)); what opens and holds the
//! right things is left alone, whoever wrote it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize};

use crate::{
    api::{
        certificate::{CertificateSpec, Pkcs12Profile},
        names::secret_key,
        reason::certificate as reason,
        reference::{SecretKeySelector, named},
        secret_text::SecretText,
    },
    certificate::{managed::ManagedFields, policy::Violation, secret::SecretFacts},
    pki::{
        self,
        keystore::{Format, Material, Misfit, Password, Profile},
    },
};

/// The alias of the key in a Java key store.
const ALIAS: &str = "certificate";

/// A pair of stores that a Certificate asks for.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// How they are written.
    pub format: Format,
    /// Where the password stands.
    pub password: Source<'a>,
}

/// Where a password stands.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// In the Certificate.
    Text(&'a SecretText),
    /// In a Secret beside it.
    Secret(&'a SecretKeySelector),
}

/// How the stores in a Secret are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// As they should be; or none is asked for, or there is no key pair to put into any.
    #[default]
    Fine,
    /// To be written again.
    Outdated(Violation),
    /// They cannot be written until somebody changes something.
    Blocked(Violation),
}

/// Which stores a Secret holds; empty ones do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    jks: bool,
    jks_trust: bool,
    pkcs12: bool,
    pkcs12_trust: bool,
}

impl Held {
    /// The stores in `data`.
    pub fn of(data: &BTreeMap<String, ByteString>) -> Self {
        let has = |name| data.get(name).is_some_and(|value| !value.0.is_empty());
        Self {
            jks: has(secret_key::JKS_KEYSTORE),
            jks_trust: has(secret_key::JKS_TRUSTSTORE),
            pkcs12: has(secret_key::PKCS12_KEYSTORE),
            pkcs12_trust: has(secret_key::PKCS12_TRUSTSTORE),
        }
    }

    /// Key store and trust store of that format.
    fn pair(self, format: &Format) -> (bool, bool) {
        match format {
            Format::Jks { .. } => (self.jks, self.jks_trust),
            Format::Pkcs12(_) => (self.pkcs12, self.pkcs12_trust),
        }
    }
}

/// The stores that `spec` asks for.
pub fn wanted(spec: &CertificateSpec) -> Vec<Wanted<'_>> {
    let mut wanted = Vec::new();
    let Some(stores) = &spec.keystores else {
        return wanted;
    };
    if let Some(jks) = stores.jks.as_ref().filter(|jks| jks.create) {
        let alias = jks.alias.as_deref().unwrap_or(ALIAS).to_owned();
        wanted.push(Wanted {
            format: Format::Jks { alias },
            password: source(jks.password.as_ref(), jks.password_secret_ref.as_ref()),
        });
    }
    if let Some(pkcs12) = stores.pkcs12.as_ref().filter(|pkcs12| pkcs12.create) {
        let profile = match pkcs12.profile {
            None | Some(Pkcs12Profile::LegacyRc2) => Profile::LEGACY_RC2,
            Some(Pkcs12Profile::LegacyDes) => Profile::LEGACY_DES,
            Some(Pkcs12Profile::Modern2023) => Profile::MODERN_2023,
            Some(Pkcs12Profile::Modern2026) => Profile::MODERN_2026,
        };
        wanted.push(Wanted {
            format: Format::Pkcs12(profile),
            password: source(
                pkcs12.password.as_ref(),
                pkcs12.password_secret_ref.as_ref(),
            ),
        });
    }
    wanted
}

/// Admission holds that there is exactly one; without it, no password is an empty one.
fn source<'a>(text: Option<&'a SecretText>, secret: Option<&'a SecretKeySelector>) -> Source<'a> {
    const NONE: &SecretText = &SecretText::EMPTY;
    match named(secret) {
        Some(secret) => Source::Secret(secret),
        None => Source::Text(text.unwrap_or(NONE)),
    }
}

/// The entries of a Secret with the key store and the trust store of that format.
pub fn entries(format: &Format) -> [&'static str; 2] {
    match format {
        Format::Jks { .. } => [secret_key::JKS_KEYSTORE, secret_key::JKS_TRUSTSTORE],
        Format::Pkcs12(_) => [secret_key::PKCS12_KEYSTORE, secret_key::PKCS12_TRUSTSTORE],
    }
}

/// Whether all stores are there, whatever they hold.
pub fn is_complete(spec: &CertificateSpec, secret: &SecretFacts) -> bool {
    wanted(spec).iter().all(|wanted| {
        let (key, trust) = secret.key_stores.pair(&wanted.format);
        key && (trust || !secret.has_ca)
    })
}

/// Why the Secret is to be written again, as far as it shows: a store lacks, or is too many.
pub fn violation(
    spec: &CertificateSpec,
    secret: &SecretFacts,
    managed: &ManagedFields,
) -> Option<Violation> {
    if !is_complete(spec, secret) {
        return Some(mismatch("Keystore key does not contain data".to_owned()));
    }
    let wanted = wanted(spec);
    let wants = |name: &str| {
        wanted.iter().any(|wanted| {
            let [key, trust] = entries(&wanted.format);
            name == key || name == trust && secret.has_ca
        })
    };
    let extra = [
        secret_key::JKS_KEYSTORE,
        secret_key::JKS_TRUSTSTORE,
        secret_key::PKCS12_KEYSTORE,
        secret_key::PKCS12_TRUSTSTORE,
    ]
    .into_iter()
    .any(|name| managed.data.contains(name) && !wants(name));
    extra.then(|| mismatch("Keystore is not defined".to_owned()))
}

/// The stores that go beside the key pair in `data`, by their entries.
///
/// # Errors
/// When key, certificates or CA cannot be read.
pub fn make(
    stores: &[(Format, Password)],
    data: Option<&BTreeMap<String, ByteString>>,
    now: Timestamp,
) -> Result<Vec<(&'static str, Vec<u8>)>, pki::Error> {
    let material = material(data)?;
    let mut made = Vec::new();
    for (format, password) in stores {
        let [key, trust] = entries(format);
        made.push((key, format.keystore(&material, password, now)?));
        let truststore = format.truststore(&material, password, now)?;
        made.extend(truststore.map(|store| (trust, store)));
    }
    Ok(made)
}

/// How the stores in `data` are.
pub fn standing(
    stores: &[(Format, Password)],
    data: Option<&BTreeMap<String, ByteString>>,
) -> Standing {
    let material = match material(data) {
        Ok(material) => material,
        Err(error) => {
            return Standing::Blocked(mismatch(error.to_string()));
        }
    };
    let has_ca = !entry(data, secret_key::CA).is_empty();
    let misfit = |(format, password): &(Format, Password)| {
        let [key, trust] = entries(format);
        let told = |name, is: fn(&Format, &[u8], &Material, &Password) -> Result<(), Misfit>| {
            let found = match entry(data, name) {
                [] => Some("is missing".to_owned()),
                store => is(format, store, &material, password)
                    .err()
                    .map(|misfit| misfit.to_string()),
            };
            found.map(|found| mismatch(format!("{name} {found}")))
        };
        told(key, Format::is_keystore)
            .or_else(|| told(trust, Format::is_truststore).filter(|_| has_ca))
    };
    stores
        .iter()
        .find_map(misfit)
        .map_or(Standing::Fine, Standing::Outdated)
}

fn material(data: Option<&BTreeMap<String, ByteString>>) -> Result<Material, pki::Error> {
    Material::from_pem(
        entry(data, secret_key::PRIVATE_KEY),
        entry(data, secret_key::CERTIFICATE),
        entry(data, secret_key::CA),
    )
}

fn entry<'a>(data: Option<&'a BTreeMap<String, ByteString>>, name: &str) -> &'a [u8] {
    data.and_then(|data| data.get(name))
        .map_or(&[], |value| value.0.as_slice())
}

fn mismatch(message: String) -> Violation {
    Violation::new(reason::SECRET_MISMATCH, message)
}

#[cfg(test)]
mod tests;
