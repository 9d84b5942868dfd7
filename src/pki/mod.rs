//! Keys, requests, certificates, chains and key stores. No I/O.
//!
//! Everything here is synchronous and works on bytes that somebody else fetched; sizes are bounded
//! before anything is parsed, and nothing panics on garbage.

pub mod authority;
pub mod certificate;
pub mod chain;
pub mod crl;
pub mod csr;
mod extension;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub(crate) mod hash_text;
pub mod issue;
pub mod key;
pub mod keystore;
pub mod names;
mod oid;
#[cfg(test)]
mod openssl;
mod parameters;
pub mod pem;
pub mod signature;
pub mod signed_by;
pub mod subject;
pub mod usages;

use std::fmt;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a key, request, certificate or chain was refused. No variant carries key material.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The certificate and key of a CA are read, and cannot sign.
    #[error("cannot sign certificates: {0}")]
    Authority(String),
    /// The bundle is empty, broken, or holds certificates that do not form one chain.
    #[error("cannot build a certificate chain: {0}")]
    Chain(String),
    /// The certificate does not parse.
    #[error("cannot parse the certificate: {0}")]
    Certificate(String),
    /// Key generation failed inside the cryptographic library.
    #[error("cannot generate a {0} private key")]
    Generate(key::KeyParameters),
    /// The private key does not parse, or is of a kind that is not supported.
    #[error("cannot parse the private key: {0}")]
    Key(String),
    /// A key store cannot be made.
    #[error("key store cannot be made: {0}")]
    KeyStore(String),
    /// The wanted algorithm and size do not go together.
    #[error("private key parameters: {0}")]
    KeyParameters(String),
    /// The input is larger than the limit for its kind.
    #[error("{what} is {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// What was to be parsed.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The certificate request does not parse, or its signature is wrong.
    #[error("cannot parse the certificate request: {0}")]
    Request(String),
    /// The certificate request cannot be built from these parameters.
    #[error("cannot build the certificate request: {0}")]
    RequestParameters(String),
    /// The revocation list does not parse.
    #[error("cannot parse the revocation list: {0}")]
    RevocationList(String),
    /// Signing failed inside the cryptographic library.
    #[error("cannot sign with {0}")]
    Sign(signature::SignatureAlgorithm),
    /// A literal subject is not a distinguished name (RFC 4514) with known attributes.
    #[error("cannot parse the literal subject: {0}")]
    Subject(String),
    /// The string is none of the known key usages.
    #[error("unknown key usage {0:?}")]
    Usage(String),
}

/// SHA-256 over a SubjectPublicKeyInfo in DER: says whether two objects are about the same key.
#[derive(Clone, Copy, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub struct PublicKeyHash(#[serde(with = "hash_text")] [u8; 32]);

impl PublicKeyHash {
    /// Hashes a SubjectPublicKeyInfo in DER.
    pub fn of(spki_der: &[u8]) -> Self {
        Self(sha256(spki_der))
    }

    /// The 32 bytes of the hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for PublicKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKeyHash({self})")
    }
}

impl fmt::Display for PublicKeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// SHA-256 of `bytes`.
fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
