//! How large may a PEM input be, and which blocks are in it?

use std::sync::{PoisonError, RwLock};

use base64::prelude::{BASE64_STANDARD, Engine};
use zeroize::Zeroizing;

use super::Error;

/// The characters of a line (RFC 7468, 2).
const LINE: usize = 64;

/// The label of a certificate block.
pub const CERTIFICATE: &str = "CERTIFICATE";
/// The label of a certificate request block.
pub const CERTIFICATE_REQUEST: &str = "CERTIFICATE REQUEST";
/// The label of a revocation list block.
pub const REVOCATION_LIST: &str = "X509 CRL";

/// The largest PEM inputs that are parsed, in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// One private key.
    pub private_key: usize,
    /// One certificate, or one certificate request.
    pub certificate: usize,
    /// A leaf with its chain.
    pub chain: usize,
    /// A bundle of CA certificates.
    pub bundle: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            private_key: 13_000,
            certificate: 36_500,
            chain: 95_000,
            bundle: 330_000,
        }
    }
}

/// What [`Limits::set`] was told.
static LIMITS: RwLock<Option<Limits>> = RwLock::new(None);

impl Limits {
    /// Those of this process: what it was told at its start, else the defaults.
    pub fn current() -> Self {
        let set = LIMITS.read().unwrap_or_else(PoisonError::into_inner);
        set.unwrap_or_default()
    }

    /// From now on these are [`Limits::current`], for the whole process: objects are read where
    /// nobody could hand limits in.
    pub fn set(self) {
        *LIMITS.write().unwrap_or_else(PoisonError::into_inner) = Some(self);
    }
}

/// Encodes `der` as one PEM block with lines of 64 characters.
pub fn encode(label: &str, der: &[u8]) -> String {
    let block = ::pem::Pem::new(label, der);
    ::pem::encode_config(&block, lf())
}

/// As [`encode`], for secrets: no copy is left behind in memory.
pub(super) fn encode_secret(label: &str, der: &[u8]) -> Zeroizing<String> {
    let base64 = Zeroizing::new(BASE64_STANDARD.encode(der));
    // Large enough from the start, as a string that grows leaves its old text behind.
    let size = base64.len() + base64.len() / LINE + 2 * label.len() + 64;
    let mut text = Zeroizing::new(String::with_capacity(size));
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// One block of a PEM text. The contents are overwritten when dropped, as they may be a key.
pub(super) struct Block {
    pub(super) label: String,
    pub(super) encrypted: bool,
    pub(super) der: Zeroizing<Vec<u8>>,
}

/// All blocks of `text`, whatever stands between them; `what` and `limit` are for the error.
pub(super) fn blocks(text: &[u8], what: &'static str, limit: usize) -> Result<Vec<Block>, Error> {
    if text.len() > limit {
        return Err(Error::TooLarge {
            what,
            size: text.len(),
            limit,
        });
    }

    // A broken block is a reason to say "not PEM", never to echo a part of the text.
    let blocks = ::pem::parse_many(text).unwrap_or_default();
    Ok(blocks
        .into_iter()
        .map(|block| Block {
            label: block.tag().to_owned(),
            encrypted: block.headers().get("DEK-Info").is_some(),
            der: Zeroizing::new(block.into_contents()),
        })
        .collect())
}

fn lf() -> ::pem::EncodeConfig {
    ::pem::EncodeConfig::new().set_line_ending(::pem::LineEnding::LF)
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_between_other_text() {
        let text = format!(
            "subject=CN = a\n{}\r\nsome words\n{}",
            encode("CERTIFICATE", b"one"),
            encode("PRIVATE KEY", b"two").replace('\n', "\r\n"),
        );
        let found = blocks(text.as_bytes(), "test", 1000).unwrap();
        let found = found
            .iter()
            .map(|block| (block.label.as_str(), block.der.as_slice()))
            .collect::<Vec<_>>();
        assert_eq!(
            found,
            [
                ("CERTIFICATE", b"one".as_slice()),
                ("PRIVATE KEY", b"two".as_slice())
            ]
        );
    }

    #[test]
    fn secrets_are_written_like_everything_else() {
        for size in [0, 1, 47, 48, 49, 96, 1000] {
            let der = vec![b'x'; size];
            let secret = encode_secret("PRIVATE KEY", &der);
            assert_eq!(*secret, encode("PRIVATE KEY", &der), "{size}");
            assert!(secret.capacity() > secret.len());
        }
    }

    #[test]
    fn limits_that_are_set_apply() {
        let request = |size| crate::pki::csr::request_der(&vec![b' '; size]).unwrap_err();
        let limits = Limits {
            certificate: 36_400,
            ..Limits::default()
        };
        assert!(!request(36_500).to_string().contains("limit"));
        limits.set();
        assert_eq!(Limits::current(), limits);
        let error = request(36_401).to_string();
        assert!(error.ends_with("more than the limit of 36400"), "{error}");
        Limits::default().set();
    }

    #[test]
    fn the_limit_is_in_bytes_and_inclusive() {
        let text = encode("CERTIFICATE", b"one");
        assert!(blocks(text.as_bytes(), "test", text.len()).is_ok());
        assert_eq!(
            blocks(text.as_bytes(), "test", text.len() - 1).err(),
            Some(Error::TooLarge {
                what: "test",
                size: text.len(),
                limit: text.len() - 1
            })
        );
    }
}
