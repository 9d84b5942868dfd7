//! Which key is an account, and what is derived from it (JWK, thumbprint, signatures)?

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    },
};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use serde::Serialize;
use x509_parser::{prelude::FromDer, public_key::PublicKey, x509::SubjectPublicKeyInfo};
use zeroize::Zeroizing;

use super::Error;
use crate::pki::{
    key::{KeyAlgorithm, KeyEncoding, KeyParameters, PrivateKey},
    signature::SignatureAlgorithm,
};

/// The private key of an ACME account, or of a certificate that signs its own revocation.
/// `Debug` shows its kind and nothing else.
#[derive(Clone)]
pub struct AccountKey(Arc<Inner>);

struct Inner {
    key: PrivateKey,
    signer: Signer,
    jwk: Jwk,
}

/// How the key signs (RFC 7518, 3.1). X.509 and JWS encode ECDSA signatures differently, so that
/// the library wants a key pair of its own for JWS.
enum Signer {
    Ecdsa(&'static str, EcdsaKeyPair),
    Rsa,
}

/// A public key as RFC 7517 writes it, members in the order of RFC 7638.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Jwk {
    Ec {
        crv: &'static str,
        kty: &'static str,
        x: String,
        y: String,
    },
    Rsa {
        e: String,
        kty: &'static str,
        n: String,
    },
}

impl AccountKey {
    /// Makes a new key on P-256.
    ///
    /// # Errors
    /// [`Error::Key`] if the cryptographic library fails.
    pub fn generate() -> Result<Self, Error> {
        let parameters = KeyParameters::new(KeyAlgorithm::Ecdsa, Some(256))?;
        Self::new(PrivateKey::generate(parameters)?)
    }

    /// Reads RSA (PKCS#1, PKCS#8) and ECDSA keys on P-256 or P-384 (SEC1, PKCS#8).
    ///
    /// # Errors
    /// [`Error::Key`] if it does not parse, [`Error::KeyKind`] if ACME has no use for its kind.
    pub fn from_pem(text: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::new(PrivateKey::from_pem(text)?)
    }

    /// Takes a key that was parsed already.
    ///
    /// # Errors
    /// [`Error::KeyKind`] if ACME has no use for its kind.
    pub fn new(key: PrivateKey) -> Result<Self, Error> {
        let parameters = key.parameters();
        let unusable = || Error::KeyKind(parameters);
        let fixed = |name, algorithm| -> Result<Signer, Error> {
            let der = key.to_pkcs8_der()?;
            EcdsaKeyPair::from_pkcs8(algorithm, &der)
                .map(|pair| Signer::Ecdsa(name, pair))
                .map_err(|_| unusable())
        };
        let signer = match (parameters.algorithm(), parameters.size()) {
            (KeyAlgorithm::Rsa, _) => Signer::Rsa,
            (KeyAlgorithm::Ecdsa, 256) => fixed("ES256", &ECDSA_P256_SHA256_FIXED_SIGNING)?,
            (KeyAlgorithm::Ecdsa, 384) => fixed("ES384", &ECDSA_P384_SHA384_FIXED_SIGNING)?,
            (KeyAlgorithm::Ecdsa | KeyAlgorithm::Ed25519, _) => return Err(unusable()),
        };
        let jwk = match &signer {
            Signer::Ecdsa(_, pair) => Jwk::of_point(pair.public_key().as_ref()),
            Signer::Rsa => Jwk::of_rsa(&key.public_key_der()?),
        }
        .ok_or_else(unusable)?;
        Ok(Self(Arc::new(Inner { key, signer, jwk })))
    }

    /// The key as PEM, to be stored.
    ///
    /// # Errors
    /// [`Error::Key`] if the cryptographic library fails.
    pub fn to_pem(&self, encoding: KeyEncoding) -> Result<Zeroizing<String>, Error> {
        Ok(self.0.key.to_pem(encoding)?)
    }

    /// Algorithm and size.
    pub fn parameters(&self) -> KeyParameters {
        self.0.key.parameters()
    }

    /// Says whether the key is the one that an account was registered with: base64 of the SHA-256
    /// of the private key in DER (PKCS#1 for RSA, which is what cert-manager hashes; else PKCS#8).
    ///
    /// # Errors
    /// [`Error::Key`] if the cryptographic library fails.
    pub fn hash(&self) -> Result<String, Error> {
        let key = &self.0.key;
        let der = match key.to_pkcs1_der() {
            Some(der) => der?,
            None => key.to_pkcs8_der()?,
        };
        Ok(BASE64_STANDARD.encode(digest(&SHA256, &der)))
    }

    /// The key's thumbprint (RFC 7638), in base64url.
    pub fn thumbprint(&self) -> String {
        // The members are in the order that the RFC wants, without white space.
        let jwk = serde_json::to_vec(&self.0.jwk).unwrap_or_default();
        BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &jwk))
    }

    /// What proves control over a name with this account (RFC 8555, 8.1): the body of an HTTP-01
    /// answer.
    pub fn key_authorization(&self, token: &str) -> String {
        format!("{token}.{}", self.thumbprint())
    }

    /// The value of the TXT record of a DNS-01 challenge (RFC 8555, 8.4).
    pub fn dns_value(&self, token: &str) -> String {
        let authorization = self.key_authorization(token);
        BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, authorization.as_bytes()))
    }

    /// The name of the signature algorithm (RFC 7518, 3.1).
    pub(super) fn algorithm(&self) -> &'static str {
        match &self.0.signer {
            Signer::Ecdsa(name, _) => name,
            Signer::Rsa => "RS256",
        }
    }

    pub(super) fn jwk(&self) -> &Jwk {
        &self.0.jwk
    }

    /// Signs as RFC 7518 says; `None` if the cryptographic library fails.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match &self.0.signer {
            Signer::Ecdsa(_, pair) => pair
                .sign(&SystemRandom::new(), message)
                .ok()
                .map(|signature| signature.as_ref().to_vec()),
            Signer::Rsa => self.0.key.sign(SignatureAlgorithm::RsaSha256, message).ok(),
        }
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountKey({})", self.parameters())
    }
}

impl TryFrom<PrivateKey> for AccountKey {
    type Error = Error;

    fn try_from(key: PrivateKey) -> Result<Self, Self::Error> {
        Self::new(key)
    }
}

impl Jwk {
    /// From an uncompressed point (SEC 1, 2.3.3).
    fn of_point(point: &[u8]) -> Option<Self> {
        let (4, coordinates) = point.split_first()? else {
            return None;
        };
        let (x, y) = coordinates.split_at(coordinates.len() / 2);
        let crv = match x.len() {
            32 => "P-256",
            48 => "P-384",
            _ => return None,
        };
        Some(Self::Ec {
            crv,
            kty: "EC",
            x: BASE64_URL_SAFE_NO_PAD.encode(x),
            y: BASE64_URL_SAFE_NO_PAD.encode(y),
        })
    }

    fn of_rsa(spki: &[u8]) -> Option<Self> {
        let (_, spki) = SubjectPublicKeyInfo::from_der(spki).ok()?;
        let PublicKey::RSA(key) = spki.parsed().ok()? else {
            return None;
        };
        Some(Self::Rsa {
            e: BASE64_URL_SAFE_NO_PAD.encode(number(key.exponent)),
            kty: "RSA",
            n: BASE64_URL_SAFE_NO_PAD.encode(number(key.modulus)),
        })
    }
}

/// A big-endian number without leading zeros, as RFC 7518 wants it.
fn number(bytes: &[u8]) -> &[u8] {
    let first = bytes.iter().position(|byte| *byte != 0);
    first.map_or(&[], |first| &bytes[first..])
}
