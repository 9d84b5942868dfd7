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
        self.0.jwk.thumbprint()
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
    fn thumbprint(&self) -> String {
        // Base64url text needs no escapes, and the members are in the order that the RFC wants.
        let json = match self {
            Self::Ec { crv, kty, x, y } => {
                format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}"#)
            }
            Self::Rsa { e, kty, n } => format!(r#"{{"e":"{e}","kty":"{kty}","n":"{n}"}}"#),
        };
        BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, json.as_bytes()))
    }

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

#[cfg(test)]
pub(super) mod tests {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, UnparsedPublicKey,
    };

    use super::*;
    use crate::pki::pem;

    const N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2\
        mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63k\
        paSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_\
        I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    const D: &str = "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx\
        9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkq\
        zjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5T\
        w8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ";
    const P: &str = "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKe\
        QTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc";
    const Q: &str = "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYH\
        j7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc";
    const DP: &str = "BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfp\
        T_PI7Yz-FOKnu1R6HsJeDCjn12Sk3vmAktV2zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0";
    const DQ: &str = "h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI\
        2oKr6N3Do9U0ajaHF-NKJnwgjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU";
    const QI: &str = "IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7f\
        hd_QJQ3ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U";

    /// The key of RFC 7515, A.2, in PKCS#1.
    pub(in crate::acme) fn rsa_pem() -> String {
        let der = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_u8(0);
                for part in [N, "AQAB", D, P, Q, DP, DQ, QI] {
                    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
                    writer.next().write_bigint_bytes(&bytes, true);
                }
            });
        });
        pem::encode("RSA PRIVATE KEY", &der)
    }

    #[test]
    fn rs256_is_that_of_rfc_7515() {
        let key = AccountKey::from_pem(rsa_pem()).unwrap();
        let message = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6L\
            y9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        assert_eq!(key.algorithm(), "RS256");
        assert_eq!(
            BASE64_URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()).unwrap()),
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W\
             2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSj\
             tQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6\
             IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
        );
        let jwk = serde_json::to_value(key.jwk()).unwrap();
        assert_eq!(jwk, serde_json::json!({"e": "AQAB", "kty": "RSA", "n": N}));
    }

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638() {
        let jwk = Jwk::Rsa {
            e: "AQAB".to_owned(),
            kty: "RSA",
            n: "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSo\
                c_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0\
                _FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI\
                4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
                .to_owned(),
        };
        assert_eq!(
            jwk.thumbprint(),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }

    #[test]
    fn ecdsa_signatures_are_two_numbers_of_fixed_size() {
        for (size, name, verification) in [
            (256, "ES256", &ECDSA_P256_SHA256_FIXED),
            (384, "ES384", &ECDSA_P384_SHA384_FIXED),
        ] {
            let parameters = KeyParameters::new(KeyAlgorithm::Ecdsa, Some(size)).unwrap();
            let key = AccountKey::new(PrivateKey::generate(parameters).unwrap()).unwrap();
            assert_eq!(key.algorithm(), name);
            let signature = key.sign(b"message").unwrap();
            assert_eq!(signature.len() as i64, size / 4);

            let Jwk::Ec { x, y, .. } = key.jwk() else {
                panic!("an EC key");
            };
            let mut point = vec![4];
            point.extend(BASE64_URL_SAFE_NO_PAD.decode(x).unwrap());
            point.extend(BASE64_URL_SAFE_NO_PAD.decode(y).unwrap());
            UnparsedPublicKey::new(verification, point)
                .verify(b"message", &signature)
                .unwrap();
        }
    }

    #[test]
    fn kinds_that_acme_does_not_know_are_refused() {
        for (algorithm, size) in [(KeyAlgorithm::Ed25519, 0), (KeyAlgorithm::Ecdsa, 521)] {
            let parameters = KeyParameters::new(algorithm, Some(size)).unwrap();
            let error = AccountKey::new(PrivateKey::generate(parameters).unwrap()).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "ACME account keys are RSA, or ECDSA on P-256 or P-384; this one is \
                     {parameters}"
                )
            );
        }
    }

    #[test]
    fn the_hash_is_over_the_private_key_and_not_its_encoding() {
        let rsa = AccountKey::from_pem(rsa_pem()).unwrap();
        let block = ::pem::parse(rsa_pem()).unwrap();
        assert_eq!(
            rsa.hash().unwrap(),
            BASE64_STANDARD.encode(digest(&SHA256, block.contents()))
        );
        for key in [rsa, AccountKey::generate().unwrap()] {
            for encoding in [KeyEncoding::Pkcs1, KeyEncoding::Pkcs8] {
                let pem = key.to_pem(encoding).unwrap();
                let read = AccountKey::from_pem(pem.as_bytes()).unwrap();
                assert_eq!(read.hash().unwrap(), key.hash().unwrap());
                assert_eq!(read.thumbprint(), key.thumbprint());
            }
        }
    }

    #[test]
    fn what_proves_control() {
        let key = AccountKey::from_pem(rsa_pem()).unwrap();
        let authorization = key.key_authorization("token");
        assert_eq!(authorization, format!("token.{}", key.thumbprint()));
        let hash = digest(&SHA256, authorization.as_bytes());
        assert_eq!(key.dns_value("token"), BASE64_URL_SAFE_NO_PAD.encode(hash));
        assert_eq!(format!("{key:?}"), "AccountKey(RSA 2048)");
    }
}
