//! How do the formats write a password as bytes?

use zeroize::Zeroizing;

/// The password of a store. Overwritten when let go, and not printed.
#[derive(Clone)]
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// The password with these bytes: text in UTF-8, usually.
    pub fn new(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    /// As UTF-8. A byte that belongs to no character becomes U+FFFD.
    pub(super) fn utf8(&self) -> Zeroizing<String> {
        // A string that grows leaves its old text behind: at the most, each byte becomes three.
        let mut text = Zeroizing::new(String::with_capacity(3 * self.0.len()));
        for chunk in self.0.utf8_chunks() {
            text.push_str(chunk.valid());
            for _ in chunk.invalid() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        text
    }

    /// As UTF-16, big-endian: what Java makes of it in a JKS store, and PKCS#12 without the two zero
    /// bytes at its end.
    pub(super) fn utf16(&self) -> Zeroizing<Vec<u8>> {
        let text = self.utf8();
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 * text.len() + 2));
        for unit in text.encode_utf16() {
            bytes.extend_from_slice(&unit.to_be_bytes());
        }
        bytes
    }

    /// As UTF-16 with the two zero bytes that PKCS#12 puts at its end.
    pub(super) fn bmp(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = self.utf16();
        bytes.extend_from_slice(&[0, 0]);
        bytes
    }

    /// Each byte as one character, as cert-manager writes JKS stores: the same for ASCII alone.
    pub(super) fn bytewise(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 * self.0.len()));
        for byte in self.0.iter() {
            bytes.extend_from_slice(&[0, *byte]);
        }
        bytes
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hidden]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings() {
        for (bytes, utf8, bmp, bytewise) in [
            (&b""[..], "", &[0, 0][..], &[][..]),
            (b"a", "a", &[0, 0x61, 0, 0], &[0, 0x61]),
            (
                "ä€".as_bytes(),
                "ä€",
                &[0, 0xe4, 0x20, 0xac, 0, 0],
                &[0, 0xc3, 0, 0xa4, 0, 0xe2, 0, 0x82, 0, 0xac],
            ),
            (
                "😀".as_bytes(),
                "😀",
                &[0xd8, 0x3d, 0xde, 0, 0, 0],
                &[0, 0xf0, 0, 0x9f, 0, 0x98, 0, 0x80],
            ),
            (
                b"a\xff\xfe",
                "a\u{fffd}\u{fffd}",
                &[0, 0x61, 0xff, 0xfd, 0xff, 0xfd, 0, 0],
                &[0, 0x61, 0, 0xff, 0, 0xfe],
            ),
        ] {
            let password = Password::new(bytes);
            assert_eq!(*password.utf8(), utf8);
            assert_eq!(*password.bmp(), bmp);
            assert_eq!(*password.bytewise(), bytewise);
            assert_eq!(format!("{password:?}"), "[hidden]");
        }
    }
}
