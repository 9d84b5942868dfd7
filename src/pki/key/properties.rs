//! Is a key the same after being written and read, in whatever form?

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

/// One key of each kind.
static KEYS: LazyLock<Vec<PrivateKey>> = LazyLock::new(|| {
    let kinds = [
        (KeyAlgorithm::Rsa, 2048),
        (KeyAlgorithm::Rsa, 3072),
        (KeyAlgorithm::Ecdsa, 256),
        (KeyAlgorithm::Ecdsa, 384),
        (KeyAlgorithm::Ecdsa, 521),
        (KeyAlgorithm::Ed25519, 0),
    ];
    let key = |(kind, size)| PrivateKey::generate(KeyParameters::new(kind, Some(size)).unwrap());
    kinds.into_iter().map(|kind| key(kind).unwrap()).collect()
});

fn encoding() -> impl Strategy<Value = KeyEncoding> {
    prop::sample::select(vec![KeyEncoding::Pkcs1, KeyEncoding::Pkcs8])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_written_is_read(
        which in 0..6_usize,
        encodings in (encoding(), encoding()),
        before in "[ -,.-~\n]{0,40}",
        certificate in any::<bool>(),
        windows in any::<bool>(),
    ) {
        let key = &KEYS[which];
        let mut text = before;
        if certificate {
            text.push_str(&pem::encode(pem::CERTIFICATE, b"not looked at"));
        }
        text.push_str(&key.to_pem(encodings.0).unwrap());
        if windows {
            text = text.replace('\n', "\r\n");
        }
        let read = PrivateKey::from_pem(&text).unwrap();
        prop_assert!(read.matches(key.parameters()));
        prop_assert_eq!(read.public_key_der(), key.public_key_der());
        // However it came, it is written as if it had been made here.
        let (again, want) = (read.to_pem(encodings.1).unwrap(), key.to_pem(encodings.1).unwrap());
        prop_assert_eq!(again.as_str(), want.as_str());
    }

    /// A changed byte is refused, or gives a key that can be written and read like any other.
    #[test]
    fn a_damaged_key_does_no_harm(which in 0..6_usize, encoding in encoding(), at in any::<u16>(), with in 1..=255_u8) {
        let text = KEYS[which].to_pem(encoding).unwrap();
        let [block] = &mut pem::blocks(text.as_bytes(), "key", text.len()).unwrap()[..] else {
            panic!("one block");
        };
        let at = usize::from(at) % block.der.len();
        block.der[at] ^= with;
        if let Ok(read) = PrivateKey::from_pem(pem::encode(&block.label, &block.der)) {
            let text = read.to_pem(encoding).unwrap();
            let again = PrivateKey::from_pem(text.as_bytes()).unwrap();
            prop_assert_eq!(again.public_key_der(), read.public_key_der());
        }
    }
}
