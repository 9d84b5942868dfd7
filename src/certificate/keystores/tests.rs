//! Is what is asked for made, and what differs found?

use super::*;
use crate::api::keystore::{JksKeystore, Keystores, Pkcs12Keystore};

const KEY: &[u8] = include_bytes!("../../pki/keystore/fixtures/tls.key");
const CHAIN: &[u8] = include_bytes!("../../pki/keystore/fixtures/tls.crt");
const CA: &[u8] = include_bytes!("../../pki/keystore/fixtures/ca.crt");

type Data = BTreeMap<String, ByteString>;

fn data(entries: &[(&str, &[u8])]) -> Data {
    let entries = entries.iter();
    entries
        .map(|(name, value)| ((*name).to_owned(), ByteString(value.to_vec())))
        .collect()
}

fn stores(jks: &str, pkcs12: &str) -> Vec<(Format, Password)> {
    let alias = ALIAS.to_owned();
    vec![
        (Format::Jks { alias }, Password::new(jks.as_bytes())),
        (
            Format::Pkcs12(Profile::MODERN_2023),
            Password::new(pkcs12.as_bytes()),
        ),
    ]
}

fn stored(pair: &Data, stores: &[(Format, Password)]) -> Data {
    let mut data = pair.clone();
    let made = make(stores, Some(pair), Timestamp::UNIX_EPOCH).unwrap();
    data.extend(
        made.into_iter()
            .map(|(name, store)| (name.to_owned(), ByteString(store))),
    );
    data
}

fn told(standing: &Standing) -> &str {
    match standing {
        Standing::Fine => "",
        Standing::Outdated(why) | Standing::Blocked(why) => &why.message,
    }
}

#[test]
fn what_is_asked_for() {
    let text = |text: &str| Some(SecretText::from(text.to_owned()));
    let secret = |name: &str| {
        Some(SecretKeySelector {
            key: Some("key".to_owned()),
            name: name.to_owned(),
        })
    };
    let jks = |create, password, password_secret_ref| Keystores {
        jks: Some(JksKeystore {
            alias: None,
            create,
            password,
            password_secret_ref,
        }),
        pkcs12: None,
    };
    for (keystores, want) in [
        (Keystores::default(), None),
        (jks(false, text("a"), None), None),
        (jks(true, text("a"), None), Some("a")),
        (jks(true, text("a"), secret("")), Some("a")),
        (jks(true, text("a"), secret("b")), Some("Secret b")),
        (jks(true, None, None), Some("")),
    ] {
        let spec = CertificateSpec {
            keystores: Some(keystores),
            ..CertificateSpec::default()
        };
        let wanted = wanted(&spec);
        let found = wanted.first().map(|wanted| {
            let alias = ALIAS.to_owned();
            assert_eq!(wanted.format, Format::Jks { alias });
            match wanted.password {
                Source::Text(text) => text.reveal().to_owned(),
                Source::Secret(secret) => format!("Secret {}", secret.name),
            }
        });
        assert_eq!(found.as_deref(), want);
    }
    for (profile, want) in [
        (None, Profile::LEGACY_RC2),
        (Some(Pkcs12Profile::LegacyRc2), Profile::LEGACY_RC2),
        (Some(Pkcs12Profile::LegacyDes), Profile::LEGACY_DES),
        (Some(Pkcs12Profile::Modern2023), Profile::MODERN_2023),
        (Some(Pkcs12Profile::Modern2026), Profile::MODERN_2026),
    ] {
        let pkcs12 = Pkcs12Keystore {
            create: true,
            profile,
            ..Pkcs12Keystore::default()
        };
        let spec = CertificateSpec {
            keystores: Some(Keystores {
                jks: None,
                pkcs12: Some(pkcs12),
            }),
            ..CertificateSpec::default()
        };
        assert_eq!(wanted(&spec)[0].format, Format::Pkcs12(want));
    }
    assert!(wanted(&CertificateSpec::default()).is_empty());
}

#[test]
fn there_is_a_trust_store_where_there_is_a_ca() {
    let stores = stores("a", "b");
    let mut pair = data(&[("tls.key", KEY), ("tls.crt", CHAIN)]);
    let names = |data: &Data| data.keys().cloned().collect::<Vec<_>>();
    let alone = stored(&pair, &stores);
    assert_eq!(
        names(&alone),
        ["keystore.jks", "keystore.p12", "tls.crt", "tls.key"]
    );
    assert_eq!(standing(&stores, Some(&alone)), Standing::Fine);
    pair.extend(data(&[("ca.crt", CA)]));
    let with_ca = stored(&pair, &stores);
    assert_eq!(with_ca.len(), 7);
    assert_eq!(standing(&stores, Some(&with_ca)), Standing::Fine);
    let held = Held {
        jks: true,
        jks_trust: true,
        pkcs12: true,
        pkcs12_trust: true,
    };
    assert_eq!(Held::of(&with_ca), held);
    let held = Held {
        jks_trust: false,
        pkcs12_trust: false,
        ..held
    };
    assert_eq!(Held::of(&alone), held);
}

#[test]
fn what_differs_is_told() {
    let pair = data(&[("tls.key", KEY), ("tls.crt", CHAIN), ("ca.crt", CA)]);
    let good = stored(&pair, &stores("a", "b"));
    type Change = fn(&mut Data);
    let changes: [(Change, &str); 6] = [
        (|_| {}, ""),
        (
            |data| drop(data.remove("truststore.p12")),
            "truststore.p12 is missing",
        ),
        (
            |data| drop(data.insert("keystore.jks".into(), ByteString(b"x".to_vec()))),
            "keystore.jks cannot be read",
        ),
        (
            |data| drop(data.insert("tls.crt".into(), ByteString(CA.to_vec()))),
            "keystore.jks does not hold the certificates of tls.crt and ca.crt",
        ),
        (
            |data| drop(data.insert("ca.crt".into(), ByteString(b"the CA".to_vec()))),
            "key store cannot be made: ca.crt: cannot build a certificate chain: there is no certificate",
        ),
        (
            // Nothing in it is trusted any more: the sum of the key store differs as well.
            |data| drop(data.remove("ca.crt")),
            "keystore.jks does not hold the certificates of tls.crt and ca.crt",
        ),
    ];
    for (number, (change, want)) in changes.into_iter().enumerate() {
        let mut data = good.clone();
        change(&mut data);
        let found = standing(&stores("a", "b"), Some(&data));
        assert_eq!(told(&found), want, "change {number}");
    }
    for (jks, pkcs12, want) in [
        ("c", "b", "keystore.jks does not open with the password"),
        ("a", "c", "keystore.p12 does not open with the password"),
    ] {
        let found = standing(&stores(jks, pkcs12), Some(&good));
        assert_eq!(told(&found), want);
    }
    assert!(matches!(
        standing(&stores("a", "b"), None),
        Standing::Blocked(_)
    ));
}
