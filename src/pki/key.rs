//! How is a private key made, read and written?

use std::fmt;

use aws_lc_rs::{
    encoding::AsDer,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING,
        ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
        KeyPair, RsaKeyPair,
    },
};
use pkcs8::{ObjectIdentifier, PrivateKeyInfoRef};
use x509_parser::{prelude::FromDer, x509::SubjectPublicKeyInfo};
use zeroize::Zeroizing;

use super::{
    Error, PublicKeyHash,
    pem::{self, Limits},
};

pub use super::parameters::{KeyAlgorithm, KeyEncoding, KeyParameters};

/// The label of a PKCS#8 block.
const PKCS8: &str = "PRIVATE KEY";
/// The label of a PKCS#1 block.
const PKCS1: &str = "RSA PRIVATE KEY";
/// The label of a SEC1 block.
const SEC1: &str = "EC PRIVATE KEY";

const OID_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const OID_EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const OID_ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A private key, ready to sign. `Debug` shows its parameters and nothing else.
pub struct PrivateKey {
    pair: Pair,
    parameters: KeyParameters,
}

/// The library's key pairs; each keeps its secret in memory that the library overwrites.
pub(super) enum Pair {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl PrivateKey {
    /// Whether [`PrivateKey::generate`] makes keys of that kind and size; others can be used.
    pub fn can_be_generated(parameters: KeyParameters) -> bool {
        match parameters.algorithm() {
            KeyAlgorithm::Rsa => rsa_size(parameters.size()).is_some(),
            KeyAlgorithm::Ecdsa | KeyAlgorithm::Ed25519 => true,
        }
    }

    /// Makes a new key. This takes CPU time (RSA 4096: seconds), so call it on a blocking thread.
    ///
    /// # Errors
    /// [`Error::KeyParameters`] for an RSA size that the library cannot make (it makes 2048, 3072,
    /// 4096 and 8192), [`Error::Generate`] when it fails otherwise.
    pub fn generate(parameters: KeyParameters) -> Result<Self, Error> {
        let failed = |_| Error::Generate(parameters);
        let pair = match parameters.algorithm() {
            KeyAlgorithm::Rsa => {
                let size = rsa_size(parameters.size()).ok_or_else(|| {
                    Error::KeyParameters(format!(
                        "RSA keys of {} bits can be used but not generated; use 2048, 3072, 4096 \
                         or 8192",
                        parameters.size()
                    ))
                })?;
                Pair::Rsa(RsaKeyPair::generate(size).map_err(failed)?)
            }
            KeyAlgorithm::Ecdsa => {
                let curve = curve(parameters.size()).ok_or(Error::Generate(parameters))?;
                Pair::Ecdsa(EcdsaKeyPair::generate(curve).map_err(failed)?)
            }
            KeyAlgorithm::Ed25519 => Pair::Ed25519(Ed25519KeyPair::generate().map_err(failed)?),
        };
        Ok(Self { pair, parameters })
    }

    /// Reads the first private key in a PEM text of at most [`Limits::private_key`] bytes:
    /// PKCS#8, PKCS#1 or SEC1.
    ///
    /// # Errors
    /// [`Error::TooLarge`], or [`Error::Key`] saying what was found instead.
    pub fn from_pem(text: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::from_pem_within(text, Limits::current().private_key)
    }

    /// As [`PrivateKey::from_pem`] with another limit on the size of the text, in bytes.
    ///
    /// # Errors
    /// As [`PrivateKey::from_pem`].
    pub fn from_pem_within(text: impl AsRef<[u8]>, limit: usize) -> Result<Self, Error> {
        let blocks = pem::blocks(text.as_ref(), "the private key", limit)?;
        let Some(block) = blocks
            .iter()
            .find(|block| block.label.ends_with("PRIVATE KEY"))
        else {
            return Err(Error::Key(match blocks.first() {
                // Labels are free text and could be anything, the key included.
                Some(block) if block.label == pem::CERTIFICATE => {
                    "the PEM block is a certificate".to_owned()
                }
                Some(_) => "no PEM block is a private key".to_owned(),
                None => "it is not PEM".to_owned(),
            }));
        };
        if block.encrypted || block.label == "ENCRYPTED PRIVATE KEY" {
            return Err(Error::Key(
                "it is encrypted with a password; store it unencrypted".to_owned(),
            ));
        }

        match block.label.as_str() {
            PKCS8 => Self::from_pkcs8(&block.der),
            PKCS1 => Self::from_rsa(RsaKeyPair::from_der(&block.der).ok()),
            SEC1 => Self::from_ec(&block.der),
            _ => Err(Error::Key(
                "the PEM label is none of PRIVATE KEY, RSA PRIVATE KEY and EC PRIVATE KEY"
                    .to_owned(),
            )),
        }
    }

    /// Reads a PKCS#8 key in DER.
    ///
    /// # Errors
    /// [`Error::Key`] if it does not parse or its algorithm is not supported.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, Error> {
        let info = PrivateKeyInfoRef::try_from(der)
            .map_err(|_| Error::Key("it is not valid PKCS#8".to_owned()))?;
        match info.algorithm.oid {
            OID_RSA => Self::from_rsa(RsaKeyPair::from_pkcs8(der).ok()),
            OID_EC => Self::from_ec(der),
            OID_ED25519 => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
                    .map_err(|_| Error::Key("it is not a valid Ed25519 key".to_owned()))?;
                Ok(Self {
                    pair: Pair::Ed25519(pair),
                    parameters: KeyParameters::new(KeyAlgorithm::Ed25519, None)?,
                })
            }
            oid => Err(Error::Key(format!(
                "algorithm {oid} is not supported; use RSA, ECDSA or Ed25519"
            ))),
        }
    }

    /// Writes the key as PEM. The text is overwritten when dropped.
    ///
    /// # Errors
    /// [`Error::Key`] if the library cannot serialise the key.
    pub fn to_pem(&self, encoding: KeyEncoding) -> Result<Zeroizing<String>, Error> {
        let failed = || Error::Key(format!("{} key cannot be encoded", self.parameters));
        match (&self.pair, encoding) {
            (Pair::Rsa(_), KeyEncoding::Pkcs1) => {
                let der = self.to_pkcs1_der().ok_or_else(failed)??;
                Ok(pem::encode_secret(PKCS1, &der))
            }
            (Pair::Ecdsa(pair), KeyEncoding::Pkcs1) => {
                let der = pair.private_key().as_der().map_err(|_| failed())?;
                Ok(pem::encode_secret(SEC1, der.as_ref()))
            }
            (Pair::Ed25519(_), KeyEncoding::Pkcs1) | (_, KeyEncoding::Pkcs8) => {
                Ok(pem::encode_secret(PKCS8, &self.to_pkcs8_der()?))
            }
        }
    }

    /// The key as PKCS#8 in DER.
    ///
    /// # Errors
    /// [`Error::Key`] if the library cannot serialise the key.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let failed = |_| Error::Key(format!("{} key cannot be encoded", self.parameters));
        let der = match &self.pair {
            Pair::Rsa(pair) => pair.as_der().map_err(failed)?.as_ref().to_vec(),
            Pair::Ecdsa(pair) => pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec(),
        };
        Ok(Zeroizing::new(der))
    }

    /// The key as PKCS#1 in DER; `None` if it is not RSA.
    pub fn to_pkcs1_der(&self) -> Option<Result<Zeroizing<Vec<u8>>, Error>> {
        if self.parameters.algorithm() != KeyAlgorithm::Rsa {
            return None;
        }
        Some(self.to_pkcs8_der().and_then(|pkcs8| {
            let info = PrivateKeyInfoRef::try_from(pkcs8.as_slice())
                .map_err(|_| Error::Key("RSA key cannot be encoded".to_owned()))?;
            Ok(Zeroizing::new(info.private_key.as_bytes().to_vec()))
        }))
    }

    /// Algorithm and size.
    pub fn parameters(&self) -> KeyParameters {
        self.parameters
    }

    /// Whether the key is of the wanted kind and size.
    pub fn matches(&self, wanted: KeyParameters) -> bool {
        self.parameters == wanted
    }

    /// The public half as SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    /// [`Error::Key`] if the library cannot serialise the key.
    pub fn public_key_der(&self) -> Result<Vec<u8>, Error> {
        let failed = |_| Error::Key("its public half cannot be encoded".to_owned());
        Ok(match &self.pair {
            Pair::Rsa(pair) => pair
                .public_key()
                .as_der()
                .map_err(failed)?
                .as_ref()
                .to_vec(),
            Pair::Ecdsa(pair) => pair
                .public_key()
                .as_der()
                .map_err(failed)?
                .as_ref()
                .to_vec(),
            Pair::Ed25519(pair) => pair
                .public_key()
                .as_der()
                .map_err(failed)?
                .as_ref()
                .to_vec(),
        })
    }

    /// The hash that a certificate or request of this key has too.
    ///
    /// # Errors
    /// As [`PrivateKey::public_key_der`].
    pub fn public_key_hash(&self) -> Result<PublicKeyHash, Error> {
        Ok(PublicKeyHash::of(&self.public_key_der()?))
    }

    pub(super) fn pair(&self) -> &Pair {
        &self.pair
    }

    fn from_rsa(pair: Option<RsaKeyPair>) -> Result<Self, Error> {
        let invalid = || Error::Key("it is not a valid RSA key of 2048 to 8192 bits".to_owned());
        let pair = pair.ok_or_else(invalid)?;
        let spki = pair.public_key().as_der().map_err(|_| invalid())?;
        let (_, spki) = SubjectPublicKeyInfo::from_der(spki.as_ref()).map_err(|_| invalid())?;
        let parameters = KeyParameters::of_public_key(&spki).ok_or_else(invalid)?;
        Ok(Self {
            pair: Pair::Rsa(pair),
            parameters,
        })
    }

    /// From SEC1 or PKCS#8: the library reads both.
    fn from_ec(der: &[u8]) -> Result<Self, Error> {
        for size in [256, 384, 521] {
            let Some(curve) = curve(size) else { continue };
            if let Ok(pair) = EcdsaKeyPair::from_private_key_der(curve, der) {
                return Ok(Self {
                    pair: Pair::Ecdsa(pair),
                    parameters: KeyParameters::new(KeyAlgorithm::Ecdsa, Some(i64::from(size)))?,
                });
            }
        }
        Err(Error::Key(
            "it is not a valid ECDSA key on P-256, P-384 or P-521".to_owned(),
        ))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.parameters)
    }
}

/// The sizes that the library makes.
fn rsa_size(size: u32) -> Option<KeySize> {
    match size {
        2048 => Some(KeySize::Rsa2048),
        3072 => Some(KeySize::Rsa3072),
        4096 => Some(KeySize::Rsa4096),
        8192 => Some(KeySize::Rsa8192),
        _ => None,
    }
}

fn curve(size: u32) -> Option<&'static EcdsaSigningAlgorithm> {
    match size {
        256 => Some(&ECDSA_P256_SHA256_ASN1_SIGNING),
        384 => Some(&ECDSA_P384_SHA384_ASN1_SIGNING),
        521 => Some(&ECDSA_P521_SHA512_ASN1_SIGNING),
        _ => None,
    }
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::openssl::openssl;

    fn parameters() -> Vec<KeyParameters> {
        [
            (KeyAlgorithm::Rsa, 2048),
            (KeyAlgorithm::Rsa, 3072),
            (KeyAlgorithm::Ecdsa, 256),
            (KeyAlgorithm::Ecdsa, 384),
            (KeyAlgorithm::Ecdsa, 521),
            (KeyAlgorithm::Ed25519, 0),
        ]
        .map(|(algorithm, size)| KeyParameters::new(algorithm, Some(size)).unwrap())
        .to_vec()
    }

    #[test]
    fn every_kind_and_encoding_round_trips() {
        for parameters in parameters() {
            let key = PrivateKey::generate(parameters).unwrap();
            assert_eq!(key.parameters(), parameters);
            for encoding in [KeyEncoding::Pkcs1, KeyEncoding::Pkcs8] {
                let label = match (parameters.algorithm(), encoding) {
                    (KeyAlgorithm::Rsa, KeyEncoding::Pkcs1) => PKCS1,
                    (KeyAlgorithm::Ecdsa, KeyEncoding::Pkcs1) => SEC1,
                    _ => PKCS8,
                };
                let pem = key.to_pem(encoding).unwrap();
                assert!(pem.starts_with(&format!("-----BEGIN {label}-----\n")));
                assert!(pem.ends_with("-----\n"));

                let read = PrivateKey::from_pem(pem.as_bytes()).unwrap();
                assert!(read.matches(parameters), "{parameters} {encoding:?}");
                assert_eq!(read.to_pem(encoding).unwrap(), pem);
                assert_eq!(
                    read.public_key_der().unwrap(),
                    key.public_key_der().unwrap()
                );
                let arguments = ["pkey", "-pubout", "-outform", "DER"];
                if let Some(public) = openssl(&arguments, pem.as_bytes()) {
                    assert_eq!(public, key.public_key_der().unwrap(), "{parameters}");
                }
            }
        }
    }

    #[test]
    fn keys_made_by_openssl_are_read() {
        let cases: [(&[&str], _, _); 7] = [
            (&["genrsa", "-traditional", "2048"], KeyAlgorithm::Rsa, 2048),
            (&["genrsa", "2560"], KeyAlgorithm::Rsa, 2560),
            // With a block of parameters before the key.
            (
                &["ecparam", "-name", "prime256v1", "-genkey"],
                KeyAlgorithm::Ecdsa,
                256,
            ),
            (
                &["ecparam", "-name", "secp384r1", "-genkey", "-noout"],
                KeyAlgorithm::Ecdsa,
                384,
            ),
            (
                &[
                    "genpkey",
                    "-algorithm",
                    "EC",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-521",
                ],
                KeyAlgorithm::Ecdsa,
                521,
            ),
            (
                &["genpkey", "-algorithm", "ED25519"],
                KeyAlgorithm::Ed25519,
                0,
            ),
            (&["genrsa", "4096"], KeyAlgorithm::Rsa, 4096),
        ];
        for (arguments, algorithm, size) in cases {
            let Some(pem) = openssl(arguments, b"") else {
                return;
            };
            let want = KeyParameters::new(algorithm, Some(size)).unwrap();
            let key = PrivateKey::from_pem(&pem).unwrap();
            assert_eq!(key.parameters(), want, "{arguments:?}");
        }
    }

    #[test]
    fn what_is_no_usable_key_is_named() {
        let key = PrivateKey::generate(KeyParameters::new(KeyAlgorithm::Ed25519, None).unwrap());
        let good = key.unwrap().to_pem(KeyEncoding::Pkcs8).unwrap();
        let x448 = pem::encode(PKCS8, &hex("3046020100300506032b656f043a0438"));
        let cases = [
            (String::new(), "it is not PEM"),
            ("secret".to_owned(), "it is not PEM"),
            (good.replace("BEGIN", "BEGINN"), "it is not PEM"),
            (
                pem::encode("CERTIFICATE", b"x"),
                "the PEM block is a certificate",
            ),
            (pem::encode("secret", b"x"), "no PEM block is a private key"),
            (
                pem::encode("ENCRYPTED PRIVATE KEY", b"x"),
                "it is encrypted with a password; store it unencrypted",
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\
                 \n\nAAAA\n-----END RSA PRIVATE KEY-----\n"
                    .to_owned(),
                "it is encrypted with a password; store it unencrypted",
            ),
            (pem::encode(PKCS8, b"x"), "it is not valid PKCS#8"),
            (x448, "it is not valid PKCS#8"),
            (
                pem::encode(PKCS1, b"x"),
                "it is not a valid RSA key of 2048 to 8192 bits",
            ),
            (
                pem::encode(SEC1, b"x"),
                "it is not a valid ECDSA key on P-256, P-384 or P-521",
            ),
            (
                pem::encode("DSA PRIVATE KEY", b"x"),
                "the PEM label is none of PRIVATE KEY, RSA PRIVATE KEY and EC PRIVATE KEY",
            ),
        ];
        for (text, want) in cases {
            let error = PrivateKey::from_pem(&text).unwrap_err();
            assert_eq!(error, Error::Key(want.to_owned()), "{text}");
        }
        let long = " ".repeat(13_001);
        assert_eq!(
            PrivateKey::from_pem(&long).unwrap_err().to_string(),
            "the private key is 13001 bytes, more than the limit of 13000"
        );
    }

    #[test]
    fn odd_rsa_sizes_are_not_generated() {
        let rsa = |size| KeyParameters::new(KeyAlgorithm::Rsa, Some(size)).unwrap();
        for size in [2048, 3072, 4096, 8192] {
            assert!(PrivateKey::can_be_generated(rsa(size)), "{size}");
        }
        let odd = rsa(2560);
        assert!(!PrivateKey::can_be_generated(odd));
        assert_eq!(
            PrivateKey::generate(odd).unwrap_err().to_string(),
            "private key parameters: RSA keys of 2560 bits can be used but not generated; use \
             2048, 3072, 4096 or 8192"
        );
    }

    #[test]
    fn debug_shows_no_key() {
        let key = PrivateKey::generate(KeyParameters::new(KeyAlgorithm::Ecdsa, None).unwrap());
        assert_eq!(format!("{:?}", key.unwrap()), "PrivateKey(ECDSA 256)");
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }
}
