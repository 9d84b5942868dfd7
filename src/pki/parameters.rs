//! Which kinds, sizes and encodings of private keys are there?

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use x509_parser::{public_key::PublicKey, x509::SubjectPublicKeyInfo};

use super::Error;

/// The kind of a private key.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub enum KeyAlgorithm {
    /// RSA, 2048 to 8192 bits.
    #[default]
    Rsa,
    /// ECDSA over a NIST curve.
    Ecdsa,
    /// Ed25519 (RFC 8032).
    Ed25519,
}

impl KeyAlgorithm {
    /// The name used in Certificates: `RSA`, `ECDSA` or `Ed25519`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rsa => "RSA",
            Self::Ecdsa => "ECDSA",
            Self::Ed25519 => "Ed25519",
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyAlgorithm {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "RSA" => Ok(Self::Rsa),
            "ECDSA" => Ok(Self::Ecdsa),
            "Ed25519" => Ok(Self::Ed25519),
            other => Err(Error::KeyParameters(format!(
                "unknown algorithm {other:?}; use RSA, ECDSA or Ed25519"
            ))),
        }
    }
}

/// Algorithm and size of a private key, checked against each other.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub struct KeyParameters {
    algorithm: KeyAlgorithm,
    size: u32,
}

impl KeyParameters {
    /// Checks the size against the algorithm; `None` or zero means the default (RSA 2048,
    /// ECDSA 256). Ed25519 has one size, so that any given is ignored.
    ///
    /// # Errors
    /// [`Error::KeyParameters`] names the sizes that are possible.
    pub fn new(algorithm: KeyAlgorithm, size: Option<i64>) -> Result<Self, Error> {
        let wanted = size.filter(|size| *size != 0);
        let size = match (algorithm, wanted) {
            (KeyAlgorithm::Rsa, None) => 2048,
            (KeyAlgorithm::Rsa, Some(size @ 2048..=8192)) => size as u32,
            (KeyAlgorithm::Ecdsa, None) => 256,
            (KeyAlgorithm::Ecdsa, Some(size @ (256 | 384 | 521))) => size as u32,
            (KeyAlgorithm::Ed25519, _) => 256,
            (KeyAlgorithm::Rsa, Some(size)) => {
                return Err(Error::KeyParameters(format!(
                    "RSA size {size} is out of range; use 2048 to 8192"
                )));
            }
            (KeyAlgorithm::Ecdsa, Some(size)) => {
                return Err(Error::KeyParameters(format!(
                    "ECDSA size {size} is not possible; use 256, 384 or 521"
                )));
            }
        };
        Ok(Self { algorithm, size })
    }

    /// The kind of key.
    pub fn algorithm(self) -> KeyAlgorithm {
        self.algorithm
    }

    /// The size of the modulus or of the curve, in bits.
    pub fn size(self) -> u32 {
        self.size
    }

    /// Reads algorithm and size off a public key; `None` if it is of a kind we do not make.
    pub(super) fn of_public_key(spki: &SubjectPublicKeyInfo<'_>) -> Option<Self> {
        let (algorithm, size) = match spki.parsed().ok()? {
            PublicKey::RSA(rsa) => (KeyAlgorithm::Rsa, bit_length(rsa.modulus)),
            PublicKey::EC(_) => {
                let curve = spki.algorithm.parameters.as_ref()?.as_oid().ok()?;
                let size = match curve.to_id_string().as_str() {
                    "1.2.840.10045.3.1.7" => 256,
                    "1.3.132.0.34" => 384,
                    "1.3.132.0.35" => 521,
                    _ => return None,
                };
                (KeyAlgorithm::Ecdsa, size)
            }
            _ if spki.algorithm.algorithm.to_id_string() == "1.3.101.112" => {
                (KeyAlgorithm::Ed25519, 256)
            }
            _ => return None,
        };
        Some(Self { algorithm, size })
    }
}

impl Default for KeyParameters {
    fn default() -> Self {
        Self {
            algorithm: KeyAlgorithm::Rsa,
            size: 2048,
        }
    }
}

impl fmt::Display for KeyParameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.algorithm {
            KeyAlgorithm::Ed25519 => f.write_str("Ed25519"),
            algorithm => write!(f, "{algorithm} {}", self.size),
        }
    }
}

/// How a private key is written down.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum KeyEncoding {
    /// PKCS#1 for RSA, SEC1 for ECDSA; Ed25519 has no such form and is written as PKCS#8.
    #[default]
    Pkcs1,
    /// PKCS#8 (RFC 5208) for every algorithm.
    Pkcs8,
}

impl FromStr for KeyEncoding {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "PKCS1" => Ok(Self::Pkcs1),
            "PKCS8" => Ok(Self::Pkcs8),
            other => Err(Error::KeyParameters(format!(
                "unknown encoding {other:?}; use PKCS1 or PKCS8"
            ))),
        }
    }
}

/// The length of a big-endian number in bits.
fn bit_length(bytes: &[u8]) -> u32 {
    let significant = bytes
        .iter()
        .position(|byte| *byte != 0)
        .map_or(&[][..], |first| &bytes[first..]);
    match significant {
        [] => 0,
        [first, rest @ ..] => (8 - first.leading_zeros()) + 8 * rest.len() as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_go_with_algorithms() {
        let cases = [
            (KeyAlgorithm::Rsa, None, Some("RSA 2048")),
            (KeyAlgorithm::Rsa, Some(0), Some("RSA 2048")),
            (KeyAlgorithm::Rsa, Some(8192), Some("RSA 8192")),
            (KeyAlgorithm::Rsa, Some(2047), None),
            (KeyAlgorithm::Rsa, Some(8193), None),
            (KeyAlgorithm::Rsa, Some(-1), None),
            (KeyAlgorithm::Ecdsa, None, Some("ECDSA 256")),
            (KeyAlgorithm::Ecdsa, Some(521), Some("ECDSA 521")),
            (KeyAlgorithm::Ecdsa, Some(224), None),
            (KeyAlgorithm::Ed25519, Some(7), Some("Ed25519")),
        ];
        for (algorithm, size, want) in cases {
            let got = KeyParameters::new(algorithm, size).ok();
            let got = got.map(|parameters| parameters.to_string());
            assert_eq!(got.as_deref(), want, "{algorithm} {size:?}");
        }
    }
}
