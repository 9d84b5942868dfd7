//! How is a request signed (RFC 7515, as RFC 8555 6.2 narrows it)?

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde::Serialize;

use super::{
    Error,
    key::{AccountKey, Jwk},
};

/// Who signs: a new key shows itself, an account names itself.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) enum Signatory<'a> {
    #[serde(rename = "jwk")]
    Key(&'a Jwk),
    #[serde(rename = "kid")]
    Account(&'a str),
}

/// The protected header.
#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    #[serde(flatten)]
    signatory: Signatory<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    url: &'a str,
}

/// A JWS in flattened JSON serialisation.
#[derive(Debug, Serialize)]
pub(super) struct Jws {
    protected: String,
    payload: String,
    signature: String,
}

/// Signs `payload` for `url`; empty for POST-as-GET. `None` if the cryptographic library fails.
pub(super) fn sign(
    key: &AccountKey,
    signatory: Signatory<'_>,
    nonce: &str,
    url: &str,
    payload: &[u8],
) -> Option<Jws> {
    let header = Header {
        alg: key.algorithm(),
        signatory,
        nonce: Some(nonce),
        url,
    };
    let (protected, payload, input) = encode(&header, payload)?;
    let signature = BASE64_URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes())?);
    Some(Jws {
        protected,
        payload,
        signature,
    })
}

/// Binds an account key to an account at the CA (RFC 8555, 7.3.4), always with HS256.
/// `None` if the payload cannot be written.
pub(super) fn bind(key: &AccountKey, binding: &EabKey<'_>, url: &str) -> Option<Jws> {
    let header = Header {
        alg: "HS256",
        signatory: Signatory::Account(binding.key_id),
        nonce: None,
        url,
    };
    let payload = serde_json::to_vec(key.jwk()).ok()?;
    let (protected, payload, input) = encode(&header, &payload)?;
    let signature = hmac::sign(&binding.key, input.as_bytes());
    Some(Jws {
        protected,
        payload,
        signature: BASE64_URL_SAFE_NO_PAD.encode(signature),
    })
}

/// What a CA gave out to bind an account.
pub(super) struct EabKey<'a> {
    key_id: &'a str,
    key: hmac::Key,
}

impl<'a> EabKey<'a> {
    /// The key in base64url, as RFC 8555 has it; padded and standard base64 are understood too,
    /// as CAs hand out both.
    pub(super) fn new(key_id: &'a str, key: &str) -> Result<Self, Error> {
        let text = key.trim().trim_end_matches('=');
        let text = zeroize::Zeroizing::new(text.replace('+', "-").replace('/', "_"));
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text.as_bytes());
        let bytes = zeroize::Zeroizing::new(bytes.map_err(|_| Error::EabKey)?);
        if bytes.is_empty() {
            return Err(Error::EabKey);
        }
        Ok(Self {
            key_id,
            key: hmac::Key::new(hmac::HMAC_SHA256, &bytes),
        })
    }
}

fn encode(header: &Header<'_>, payload: &[u8]) -> Option<(String, String, String)> {
    let protected = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(header).ok()?);
    let payload = BASE64_URL_SAFE_NO_PAD.encode(payload);
    let input = format!("{protected}.{payload}");
    Some((protected, payload, input))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::acme::key::tests::rsa_pem;

    /// The key of RFC 7515, A.1.
    const KEY: &str = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAz\
        Zr1Z9CAow";

    fn decoded(text: &str) -> Value {
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
    }

    #[test]
    fn hs256_is_that_of_rfc_7515_however_the_key_is_written() {
        let input = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTk\
            zODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let standard = KEY.replace('-', "+").replace('_', "/");
        for key in [
            KEY.to_owned(),
            format!("{KEY}=="),
            format!(" {standard}==\n"),
            standard,
        ] {
            let key = EabKey::new("id", &key).unwrap();
            let signature = hmac::sign(&key.key, input.as_bytes());
            assert_eq!(
                BASE64_URL_SAFE_NO_PAD.encode(signature),
                "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
            );
        }
        for key in ["", "==", "not base64", "A", "ä"] {
            assert!(
                matches!(EabKey::new("id", key), Err(Error::EabKey)),
                "{key}"
            );
        }
    }

    #[test]
    fn an_account_names_itself_and_a_new_key_shows_itself() {
        let key = AccountKey::from_pem(rsa_pem()).unwrap();
        let account = Signatory::Account("https://ca/a/1");
        let jws = sign(&key, account, "n1", "https://ca/o", b"{}").unwrap();
        assert_eq!(
            decoded(&jws.protected),
            json!({"alg": "RS256", "kid": "https://ca/a/1", "nonce": "n1", "url": "https://ca/o"})
        );
        assert_eq!(jws.payload, "e30");
        let input = format!("{}.{}", jws.protected, jws.payload);
        assert_eq!(
            jws.signature,
            BASE64_URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()).unwrap())
        );

        let new = sign(&key, Signatory::Key(key.jwk()), "n2", "https://ca/a", b"").unwrap();
        assert_eq!(decoded(&new.protected)["jwk"]["kty"], "RSA");
        assert_eq!(decoded(&new.protected).get("kid"), None);
        assert_eq!(new.payload, "");
    }

    #[test]
    fn a_binding_signs_the_account_key_without_a_nonce() {
        let key = AccountKey::generate().unwrap();
        let eab = EabKey::new("kid-1", KEY).unwrap();
        let jws = bind(&key, &eab, "https://ca/new-account").unwrap();
        assert_eq!(
            decoded(&jws.protected),
            json!({"alg": "HS256", "kid": "kid-1", "url": "https://ca/new-account"})
        );
        assert_eq!(
            decoded(&jws.payload),
            serde_json::to_value(key.jwk()).unwrap()
        );
    }
}
