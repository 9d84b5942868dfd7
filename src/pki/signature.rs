//! Which signature algorithms are there, and how is something signed and checked with them?

use std::{fmt, str::FromStr};

use aws_lc_rs::{
    digest::{self, Digest},
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1,
        ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1,
        ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ED25519,
        RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
        RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding, UnparsedPublicKey,
        VerificationAlgorithm,
    },
};
use serde::{Deserialize, Serialize};
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};
use yasna::models::ObjectIdentifier;

use super::{
    Error,
    key::{KeyAlgorithm, KeyParameters, Pair, PrivateKey},
};

/// A signature algorithm of a request or certificate.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub enum SignatureAlgorithm {
    /// ECDSA with SHA-256.
    EcdsaSha256,
    /// ECDSA with SHA-384.
    EcdsaSha384,
    /// ECDSA with SHA-512.
    EcdsaSha512,
    /// Ed25519, without a separate hash.
    Ed25519,
    /// RSA PKCS#1 v1.5 with SHA-256.
    RsaSha256,
    /// RSA PKCS#1 v1.5 with SHA-384.
    RsaSha384,
    /// RSA PKCS#1 v1.5 with SHA-512.
    RsaSha512,
}

impl SignatureAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 7] = [
        Self::EcdsaSha256,
        Self::EcdsaSha384,
        Self::EcdsaSha512,
        Self::Ed25519,
        Self::RsaSha256,
        Self::RsaSha384,
        Self::RsaSha512,
    ];

    /// The algorithm used when none is asked for: the hash grows with the key.
    pub fn default_for(key: KeyParameters) -> Self {
        match (key.algorithm(), key.size()) {
            (KeyAlgorithm::Ecdsa, 384) => Self::EcdsaSha384,
            (KeyAlgorithm::Ecdsa, 521) => Self::EcdsaSha512,
            (KeyAlgorithm::Ecdsa, _) => Self::EcdsaSha256,
            (KeyAlgorithm::Ed25519, _) => Self::Ed25519,
            (KeyAlgorithm::Rsa, ..3072) => Self::RsaSha256,
            (KeyAlgorithm::Rsa, 3072..4096) => Self::RsaSha384,
            (KeyAlgorithm::Rsa, 4096..) => Self::RsaSha512,
        }
    }

    /// The kind of key that signs so.
    pub fn key_algorithm(self) -> KeyAlgorithm {
        match self {
            Self::EcdsaSha256 | Self::EcdsaSha384 | Self::EcdsaSha512 => KeyAlgorithm::Ecdsa,
            Self::Ed25519 => KeyAlgorithm::Ed25519,
            Self::RsaSha256 | Self::RsaSha384 | Self::RsaSha512 => KeyAlgorithm::Rsa,
        }
    }

    /// The name used in Certificates, e.g. `SHA256WithRSA`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EcdsaSha256 => "ECDSAWithSHA256",
            Self::EcdsaSha384 => "ECDSAWithSHA384",
            Self::EcdsaSha512 => "ECDSAWithSHA512",
            Self::Ed25519 => "PureEd25519",
            Self::RsaSha256 => "SHA256WithRSA",
            Self::RsaSha384 => "SHA384WithRSA",
            Self::RsaSha512 => "SHA512WithRSA",
        }
    }

    /// The object identifier, in dotted form.
    pub fn oid(self) -> &'static str {
        match self {
            Self::EcdsaSha256 => "1.2.840.10045.4.3.2",
            Self::EcdsaSha384 => "1.2.840.10045.4.3.3",
            Self::EcdsaSha512 => "1.2.840.10045.4.3.4",
            Self::Ed25519 => "1.3.101.112",
            Self::RsaSha256 => "1.2.840.113549.1.1.11",
            Self::RsaSha384 => "1.2.840.113549.1.1.12",
            Self::RsaSha512 => "1.2.840.113549.1.1.13",
        }
    }

    pub(super) fn of(identifier: &AlgorithmIdentifier<'_>) -> Option<Self> {
        let oid = identifier.algorithm.to_id_string();
        Self::ALL.into_iter().find(|known| known.oid() == oid)
    }

    /// Writes the AlgorithmIdentifier (RFC 4055, 5758, 8410).
    pub(super) fn write(self, writer: yasna::DERWriter<'_>) {
        let oid = match self {
            Self::EcdsaSha256 => [1, 2, 840, 10045, 4, 3, 2].as_slice(),
            Self::EcdsaSha384 => &[1, 2, 840, 10045, 4, 3, 3],
            Self::EcdsaSha512 => &[1, 2, 840, 10045, 4, 3, 4],
            Self::Ed25519 => &[1, 3, 101, 112],
            Self::RsaSha256 => &[1, 2, 840, 113_549, 1, 1, 11],
            Self::RsaSha384 => &[1, 2, 840, 113_549, 1, 1, 12],
            Self::RsaSha512 => &[1, 2, 840, 113_549, 1, 1, 13],
        };
        writer.write_sequence(|writer| {
            writer.next().write_oid(&ObjectIdentifier::from_slice(oid));
            if self.key_algorithm() == KeyAlgorithm::Rsa {
                writer.next().write_null();
            }
        });
    }

    fn hash(self) -> &'static digest::Algorithm {
        match self {
            Self::EcdsaSha256 | Self::RsaSha256 => &digest::SHA256,
            Self::EcdsaSha384 | Self::RsaSha384 => &digest::SHA384,
            Self::EcdsaSha512 | Self::RsaSha512 | Self::Ed25519 => &digest::SHA512,
        }
    }

    fn verification(self, key: KeyParameters) -> &'static dyn VerificationAlgorithm {
        match (self, key.size()) {
            (Self::EcdsaSha256, 521) => &ECDSA_P521_SHA256_ASN1,
            (Self::EcdsaSha256, 384) => &ECDSA_P384_SHA256_ASN1,
            (Self::EcdsaSha256, _) => &ECDSA_P256_SHA256_ASN1,
            (Self::EcdsaSha384, 521) => &ECDSA_P521_SHA384_ASN1,
            (Self::EcdsaSha384, 384) => &ECDSA_P384_SHA384_ASN1,
            (Self::EcdsaSha384, _) => &ECDSA_P256_SHA384_ASN1,
            (Self::EcdsaSha512, 521) => &ECDSA_P521_SHA512_ASN1,
            (Self::EcdsaSha512, 384) => &ECDSA_P384_SHA512_ASN1,
            (Self::EcdsaSha512, _) => &ECDSA_P256_SHA512_ASN1,
            (Self::Ed25519, _) => &ED25519,
            (Self::RsaSha256, _) => &RSA_PKCS1_2048_8192_SHA256,
            (Self::RsaSha384, _) => &RSA_PKCS1_2048_8192_SHA384,
            (Self::RsaSha512, _) => &RSA_PKCS1_2048_8192_SHA512,
        }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SignatureAlgorithm {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == name)
            .ok_or_else(|| Error::RequestParameters(format!("unknown algorithm {name:?}")))
    }
}

impl PrivateKey {
    /// Signs `message`. ECDSA signatures are in DER (as X.509 has them).
    ///
    /// # Errors
    /// [`Error::Sign`] if the algorithm does not go with the key, or the library fails.
    pub fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |_| Error::Sign(algorithm);
        let hash = algorithm.hash();
        match (self.pair(), algorithm) {
            (Pair::Rsa(pair), SignatureAlgorithm::RsaSha256) => {
                sign_rsa(pair, &RSA_PKCS1_SHA256, message)
            }
            (Pair::Rsa(pair), SignatureAlgorithm::RsaSha384) => {
                sign_rsa(pair, &RSA_PKCS1_SHA384, message)
            }
            (Pair::Rsa(pair), SignatureAlgorithm::RsaSha512) => {
                sign_rsa(pair, &RSA_PKCS1_SHA512, message)
            }
            (Pair::Ed25519(pair), SignatureAlgorithm::Ed25519) => {
                Some(pair.sign(message).as_ref().to_vec())
            }
            (
                Pair::Ecdsa(pair),
                SignatureAlgorithm::EcdsaSha256
                | SignatureAlgorithm::EcdsaSha384
                | SignatureAlgorithm::EcdsaSha512,
            ) => {
                let own = match self.parameters().size() {
                    384 => &digest::SHA384,
                    521 => &digest::SHA512,
                    _ => &digest::SHA256,
                };
                let digest = fit(digest::digest(hash, message).as_ref(), own).map_err(failed)?;
                let signature = pair.sign_digest(&digest).map_err(failed)?;
                Some(signature.as_ref().to_vec())
            }
            (Pair::Rsa(_) | Pair::Ecdsa(_) | Pair::Ed25519(_), _) => None,
        }
        .ok_or(Error::Sign(algorithm))
    }
}

/// Whether `signature` over `message` was made by the key; false also for algorithms that nobody
/// should use any more (SHA-1) or that are not supported.
pub(super) fn verify(
    spki: &SubjectPublicKeyInfo<'_>,
    identifier: &AlgorithmIdentifier<'_>,
    signature: &[u8],
    message: &[u8],
) -> bool {
    let Some(key) = KeyParameters::of_public_key(spki) else {
        return false;
    };
    let Some(algorithm) = SignatureAlgorithm::of(identifier) else {
        return false;
    };
    if algorithm.key_algorithm() != key.algorithm() {
        return false;
    }
    UnparsedPublicKey::new(
        algorithm.verification(key),
        spki.subject_public_key.data.as_ref(),
    )
    .verify(message, signature)
    .is_ok()
}

fn sign_rsa(
    pair: &aws_lc_rs::signature::RsaKeyPair,
    encoding: &'static dyn RsaEncoding,
    message: &[u8],
) -> Option<Vec<u8>> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), message, &mut signature)
        .ok()?;
    Some(signature)
}

/// ECDSA signs the leftmost bits of the hash, as many as the curve has, as a number (SEC 1,
/// 4.1.3); the library wants the hash that it pairs with the curve. A longer hash is cut, a
/// shorter one gets leading zeros: the number is the same.
fn fit(
    hash: &[u8],
    own: &'static digest::Algorithm,
) -> Result<Digest, aws_lc_rs::error::Unspecified> {
    let mut number = vec![0; own.output_len().saturating_sub(hash.len())];
    number.extend(hash.iter().take(own.output_len()));
    Digest::import_less_safe(&number, own)
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::FromDer;

    use super::*;
    use crate::pki::{csr::*, openssl::openssl};

    /// Every hash with every curve: the library pairs each curve with one hash only.
    #[test]
    fn every_algorithm_signs_with_every_key_of_its_kind() {
        let keys = [
            (KeyAlgorithm::Rsa, 2048),
            (KeyAlgorithm::Ecdsa, 256),
            (KeyAlgorithm::Ecdsa, 384),
            (KeyAlgorithm::Ecdsa, 521),
            (KeyAlgorithm::Ed25519, 0),
        ];
        for (kind, size) in keys {
            let key = PrivateKey::generate(KeyParameters::new(kind, Some(size)).unwrap()).unwrap();
            let spki = key.public_key_der().unwrap();
            let (_, spki) = SubjectPublicKeyInfo::from_der(&spki).unwrap();
            for algorithm in SignatureAlgorithm::ALL {
                let identifier = yasna::construct_der(|writer| algorithm.write(writer));
                let (_, identifier) = AlgorithmIdentifier::from_der(&identifier).unwrap();
                assert_eq!(SignatureAlgorithm::of(&identifier), Some(algorithm));

                let signed = key.sign(algorithm, b"message");
                if algorithm.key_algorithm() != kind {
                    assert_eq!(signed, Err(Error::Sign(algorithm)));
                    assert!(!verify(&spki, &identifier, b"x", b"message"));
                    continue;
                }
                let signed = signed.unwrap();
                assert!(
                    verify(&spki, &identifier, &signed, b"message"),
                    "{algorithm} {size}"
                );
                assert!(
                    !verify(&spki, &identifier, &signed, b"other"),
                    "{algorithm} {size}"
                );

                let parameters = RequestParameters {
                    signature_algorithm: Some(algorithm),
                    ..RequestParameters::default()
                };
                let request = CertificateSigningRequest::build(&parameters, &key).unwrap();
                let arguments = ["req", "-verify", "-noout"];
                openssl(&arguments, request.to_pem().as_bytes());
            }
        }
    }

    #[test]
    fn defaults_and_names() {
        let cases = [
            (KeyAlgorithm::Rsa, 2048, "SHA256WithRSA"),
            (KeyAlgorithm::Rsa, 3071, "SHA256WithRSA"),
            (KeyAlgorithm::Rsa, 3072, "SHA384WithRSA"),
            (KeyAlgorithm::Rsa, 4095, "SHA384WithRSA"),
            (KeyAlgorithm::Rsa, 4096, "SHA512WithRSA"),
            (KeyAlgorithm::Ecdsa, 256, "ECDSAWithSHA256"),
            (KeyAlgorithm::Ecdsa, 384, "ECDSAWithSHA384"),
            (KeyAlgorithm::Ecdsa, 521, "ECDSAWithSHA512"),
            (KeyAlgorithm::Ed25519, 0, "PureEd25519"),
        ];
        for (algorithm, size, want) in cases {
            let key = KeyParameters::new(algorithm, Some(size)).unwrap();
            let default = SignatureAlgorithm::default_for(key);
            assert_eq!(default.as_str(), want, "{key}");
            assert_eq!(want.parse(), Ok(default));
        }
        assert!("SHA1WithRSA".parse::<SignatureAlgorithm>().is_err());
    }
}
