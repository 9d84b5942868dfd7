//! How are a key pair and its CA put into key stores, and does a store hold what it should?
//!
//! Both formats are written as cert-manager writes them, with the same algorithms and names. Read is
//! only what such a store may be; everything else, and garbage, is unreadable, after bounded work.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod jks;
mod mac;
mod name;
mod password;
mod pbe;
mod pkcs12;

use jiff::Timestamp;
use zeroize::Zeroizing;

pub use self::{password::Password, pkcs12::Profile};
use super::{Error, chain, key::PrivateKey};

/// A Secret cannot be larger.
const LARGEST: usize = 1 << 20;

/// What goes into the stores of a key pair.
pub struct Material {
    key: PrivateKey,
    chain: Vec<Vec<u8>>,
    ca: Vec<Vec<u8>>,
}

/// How a store is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// A Java key store, with the key under this alias.
    Jks {
        /// The alias.
        alias: String,
    },
    /// PKCS#12.
    Pkcs12(Profile),
}

/// Why a store is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// It is no store of the format.
    #[error("cannot be read")]
    Unreadable,
    /// It is not opened by its password.
    #[error("does not open with the password")]
    Password,
    /// It is protected by other algorithms than the profile has.
    #[error("is of another profile")]
    Profile,
    /// The key has another alias.
    #[error("has its key under another alias")]
    Alias,
    /// The key is another, or there is none.
    #[error("does not hold the private key of tls.key")]
    Key,
    /// The certificates are others.
    #[error("does not hold the certificates of tls.crt and ca.crt")]
    Certificates,
}

/// What a store holds.
#[derive(Default)]
struct Contents {
    /// PKCS#8.
    key: Option<Zeroizing<Vec<u8>>>,
    /// Certificates that are not marked as trusted; PKCS#12 does not tell them apart.
    chain: Vec<Vec<u8>>,
    /// Certificates to trust.
    trusted: Vec<Vec<u8>>,
}

/// Why a store cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unreadable {
    Format,
    Password,
}

impl From<Unreadable> for Misfit {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Format => Self::Unreadable,
            Unreadable::Password => Self::Password,
        }
    }
}

impl Material {
    /// Reads `tls.key`, `tls.crt` and `ca.crt`; the last may be empty.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn from_pem(key: &[u8], chain: &[u8], ca: &[u8]) -> Result<Self, Error> {
        Ok(Self {
            key: PrivateKey::from_pem(key)?,
            chain: chain::certificates(chain)?,
            ca: match ca {
                [] => Vec::new(),
                ca => chain::certificates(ca)
                    .map_err(|error| Error::KeyStore(format!("ca.crt: {error}")))?,
            },
        })
    }

    /// Leaf, intermediates and CA.
    fn certificates(&self) -> Vec<&[u8]> {
        self.chain
            .iter()
            .chain(&self.ca)
            .map(Vec::as_slice)
            .collect()
    }
}

impl Format {
    /// A store with the key, its chain and the CA.
    ///
    /// # Errors
    /// When the key cannot be encoded, or an alias is too long.
    pub fn keystore(
        &self,
        material: &Material,
        password: &Password,
        now: Timestamp,
    ) -> Result<Vec<u8>, Error> {
        let key = material.key.to_pkcs8_der()?;
        let written = match self {
            Self::Jks { alias } => {
                let alias = alias.to_lowercase();
                let mut entries = trusted(&material.ca, &alias);
                entries.insert(0, (alias, jks::Entry::Key(&key, &material.chain)));
                jks::write(&entries, password, now)
            }
            Self::Pkcs12(profile) => {
                pkcs12::keystore(*profile, &key, &material.certificates(), password)
            }
        };
        written.map_err(|pbe::Failed| Error::KeyStore("it cannot be encoded".to_owned()))
    }

    /// A store with the CA alone; `None` without one.
    ///
    /// # Errors
    /// When a certificate of the CA cannot be read.
    pub fn truststore(
        &self,
        material: &Material,
        password: &Password,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>, Error> {
        if material.ca.is_empty() {
            return Ok(None);
        }
        let written = match self {
            Self::Jks { .. } => jks::write(&trusted(&material.ca, ""), password, now),
            Self::Pkcs12(profile) => {
                let mut named = Vec::with_capacity(material.ca.len());
                for der in &material.ca {
                    named.push((der.as_slice(), name::of_subject(der)?));
                }
                pkcs12::truststore(*profile, &named, password)
            }
        };
        let written =
            written.map_err(|pbe::Failed| Error::KeyStore("it cannot be encoded".to_owned()))?;
        Ok(Some(written))
    }

    /// Whether `store` is what [`Format::keystore`] would write, whatever its salts.
    ///
    /// # Errors
    /// Says why not.
    pub fn is_keystore(
        &self,
        store: &[u8],
        material: &Material,
        password: &Password,
    ) -> Result<(), Misfit> {
        let contents = match self {
            Self::Jks { alias } => {
                let (found, contents) = jks::open(bounded(store)?, password)?;
                if found.is_some_and(|found| found != alias.to_lowercase()) {
                    return Err(Misfit::Alias);
                }
                let fits =
                    contents.chain == material.chain && same(&contents.trusted, &material.ca);
                contents.fitting(fits)?
            }
            Self::Pkcs12(profile) => {
                let contents = open(store, *profile, password)?;
                let fits = contents.chain == material.certificates();
                contents.fitting(fits)?
            }
        };
        let found = contents
            .key
            .and_then(|key| PrivateKey::from_pkcs8(&key).ok()?.public_key_hash().ok());
        match found.is_some() && found == material.key.public_key_hash().ok() {
            true => Ok(()),
            false => Err(Misfit::Key),
        }
    }

    /// Whether `store` is what [`Format::truststore`] would write, whatever its salts.
    ///
    /// # Errors
    /// Says why not.
    pub fn is_truststore(
        &self,
        store: &[u8],
        material: &Material,
        password: &Password,
    ) -> Result<(), Misfit> {
        let (key, found) = match self {
            Self::Jks { .. } => {
                let (_, contents) = jks::open(bounded(store)?, password)?;
                (contents.key, contents.trusted)
            }
            Self::Pkcs12(profile) => {
                let contents = open(store, *profile, password)?;
                (contents.key, contents.chain)
            }
        };
        match key.is_none() && same(&found, &material.ca) {
            true => Ok(()),
            false => Err(Misfit::Certificates),
        }
    }
}

impl Contents {
    fn fitting(self, fits: bool) -> Result<Self, Misfit> {
        match fits {
            true => Ok(self),
            false => Err(Misfit::Certificates),
        }
    }
}

fn open(store: &[u8], profile: Profile, password: &Password) -> Result<Contents, Misfit> {
    let (ciphers, contents) = pkcs12::open(bounded(store)?, password)?;
    match ciphers.are_of(profile) {
        true => Ok(contents),
        false => Err(Misfit::Profile),
    }
}

fn bounded(store: &[u8]) -> Result<&[u8], Misfit> {
    match store.len() {
        ..=LARGEST => Ok(store),
        _ => Err(Misfit::Unreadable),
    }
}

/// The entries of a CA: `ca`, `ca-1` and so on, without the one that the key has.
fn trusted<'a>(ca: &'a [Vec<u8>], taken: &str) -> Vec<(String, jks::Entry<'a>)> {
    let aliases = (0_usize..).map(|number| match number {
        0 => "ca".to_owned(),
        number => format!("ca-{number}"),
    });
    let free = aliases.filter(|alias| alias != taken);
    free.zip(ca)
        .map(|(alias, certificate)| (alias, jks::Entry::Trusted(certificate)))
        .collect()
}

/// Whether both hold the same certificates: cert-manager writes them in any order.
fn same(one: &[Vec<u8>], other: &[Vec<u8>]) -> bool {
    let sorted = |list: &[Vec<u8>]| {
        let mut list = list.to_vec();
        list.sort_unstable();
        list
    };
    one.len() == other.len() && sorted(one) == sorted(other)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tools;
