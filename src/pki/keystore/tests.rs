//! Is every store read as it was written, by us and by others, and garbage refused?

use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

use super::*;
use crate::pki::key::{KeyAlgorithm, KeyEncoding, KeyParameters};

pub(super) const NOW: Timestamp = Timestamp::constant(1_767_225_600, 0);
pub(super) const PROFILES: [(Profile, &str); 4] = [
    (Profile::LEGACY_RC2, "LegacyRC2"),
    (Profile::LEGACY_DES, "LegacyDES"),
    (Profile::MODERN_2023, "Modern2023"),
    (Profile::MODERN_2026, "Modern2026"),
];
pub(super) const PLAIN: &str = "changeit";
pub(super) const UMLAUTS: &str = "pässwörd";

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("fixtures/", $name)).as_slice()
    };
}

pub(super) const KEY: &[u8] = fixture!("tls.key");
pub(super) const CHAIN: &[u8] = fixture!("tls.crt");
pub(super) const CA: &[u8] = fixture!("ca.crt");

pub(super) fn password(text: &str) -> Password {
    Password::new(text.as_bytes())
}

pub(super) fn jks(alias: &str) -> Format {
    Format::Jks {
        alias: alias.to_owned(),
    }
}

/// The pair that the fixtures hold: leaf and intermediate, and the root as CA.
pub(super) fn material() -> Material {
    Material::from_pem(KEY, CHAIN, CA).unwrap()
}

/// The same, with the root in the chain.
fn long_chain() -> Material {
    Material::from_pem(KEY, &[CHAIN, CA].concat(), b"").unwrap()
}

#[test]
fn stores_of_cert_managers_libraries_are_as_they_should_be() {
    let stores = [
        (
            fixture!("go-LegacyRC2.p12"),
            fixture!("go-LegacyRC2-trust.p12"),
        ),
        (
            fixture!("go-LegacyDES.p12"),
            fixture!("go-LegacyDES-trust.p12"),
        ),
        (
            fixture!("go-Modern2023.p12"),
            fixture!("go-Modern2023-trust.p12"),
        ),
        (
            fixture!("go-Modern2026.p12"),
            fixture!("go-Modern2026-trust.p12"),
        ),
    ];
    for (at, (keystore, truststore)) in stores.into_iter().enumerate() {
        for (other, (profile, name)) in PROFILES.into_iter().enumerate() {
            let format = Format::Pkcs12(profile);
            let want = match at == other {
                true => Ok(()),
                false => Err(Misfit::Profile),
            };
            let key = format.is_keystore(keystore, &material(), &password(UMLAUTS));
            assert_eq!(key, want, "{at} as {name}");
            let trust = format.is_truststore(truststore, &material(), &password(UMLAUTS));
            assert_eq!(trust, want, "{at} as {name}");
        }
    }
    for (store, secret) in [
        (fixture!("go.jks"), PLAIN),
        // Java does not open this one with the password itself.
        (fixture!("go-bytewise.jks"), UMLAUTS),
    ] {
        let format = jks("Schlüssel");
        assert_eq!(
            format.is_keystore(store, &material(), &password(secret)),
            Ok(())
        );
    }
    let trust = jks("a").is_truststore(fixture!("go-trust.jks"), &material(), &password(PLAIN));
    assert_eq!(trust, Ok(()));
}

#[test]
fn stores_of_other_tools_are_read() {
    let modern = Format::Pkcs12(Profile::MODERN_2023);
    let legacy = Format::Pkcs12(Profile::LEGACY_RC2);
    for (format, store) in [
        (modern.clone(), fixture!("openssl.p12")),
        (modern, fixture!("keytool.p12")),
        (legacy, fixture!("openssl-legacy.p12")),
        (jks("certificate"), fixture!("keytool.jks")),
    ] {
        let fits = format.is_keystore(store, &long_chain(), &password(PLAIN));
        assert_eq!(fits, Ok(()), "{format:?}");
    }
}

#[test]
fn what_is_not_as_it_should_be_is_told() {
    let secret = password(PLAIN);
    let other_key = PrivateKey::generate(KeyParameters::new(KeyAlgorithm::Ed25519, None).unwrap());
    let other_key = other_key.unwrap().to_pem(KeyEncoding::Pkcs8).unwrap();
    let other_key = Material::from_pem(other_key.as_bytes(), CHAIN, CA).unwrap();
    let other_ca = Material::from_pem(KEY, CHAIN, &[CA, CA].concat()).unwrap();
    let des = Format::Pkcs12(Profile::LEGACY_DES);
    for format in [jks("certificate"), des.clone()] {
        let store = format.keystore(&material(), &secret, NOW).unwrap();
        let trust = format
            .truststore(&material(), &secret, NOW)
            .unwrap()
            .unwrap();
        for (material, secret, want) in [
            (material(), PLAIN, Ok(())),
            (material(), "changeit ", Err(Misfit::Password)),
            (material(), "", Err(Misfit::Password)),
        ] {
            let secret = password(secret);
            assert_eq!(format.is_keystore(&store, &material, &secret), want);
            assert_eq!(format.is_truststore(&trust, &material, &secret), want);
        }
        for (material, want) in [(&other_key, Misfit::Key), (&other_ca, Misfit::Certificates)] {
            assert_eq!(format.is_keystore(&store, material, &secret), Err(want));
        }
        let misfit = format.is_truststore(&trust, &other_ca, &secret);
        assert_eq!(misfit, Err(Misfit::Certificates));
        let misfit = format.is_truststore(&store, &material(), &secret);
        assert_eq!(misfit, Err(Misfit::Certificates));
        assert!(format.is_keystore(&trust, &material(), &secret).is_err());
        let again = format.keystore(&material(), &secret, NOW).unwrap();
        assert_ne!(store, again, "salts are new each time");
    }
    let store = jks("Web").keystore(&material(), &secret, NOW).unwrap();
    for (alias, want) in [
        ("web", Ok(())),
        ("WEB", Ok(())),
        ("wëb", Err(Misfit::Alias)),
    ] {
        assert_eq!(jks(alias).is_keystore(&store, &material(), &secret), want);
    }
    assert_eq!(
        des.is_keystore(&store, &material(), &secret),
        Err(Misfit::Unreadable)
    );
    let no_ca = Material::from_pem(KEY, CHAIN, b"").unwrap();
    assert_eq!(des.truststore(&no_ca, &secret, NOW), Ok(None));
    assert!(Material::from_pem(KEY, CHAIN, b"x").is_err());
}

/// Everything that a Certificate can ask for is read as it was written.
#[test]
fn round_trips() {
    let leaf = chain::certificates(CHAIN).unwrap().remove(0);
    let leaf = crate::pki::pem::encode("CERTIFICATE", &leaf);
    let keys = [
        (KeyAlgorithm::Rsa, 2048),
        (KeyAlgorithm::Ecdsa, 521),
        (KeyAlgorithm::Ed25519, 0),
    ];
    let long_alias = "ä".repeat(200);
    let aliases = [
        "certificate",
        "ca",
        "CA-1",
        "",
        "\u{0}",
        "日本 😀",
        &long_alias,
    ];
    let formats: Vec<Format> = PROFILES
        .into_iter()
        .map(|(profile, _)| Format::Pkcs12(profile))
        .chain(aliases.map(jks))
        .collect();
    for (algorithm, size) in keys {
        let parameters = KeyParameters::new(algorithm, Some(size).filter(|size| *size > 0));
        let key = PrivateKey::generate(parameters.unwrap()).unwrap();
        let key = key.to_pem(KeyEncoding::Pkcs1).unwrap();
        for (chain, ca) in [
            (leaf.as_bytes(), b"".as_slice()),
            (leaf.as_bytes(), CA),
            (&[CHAIN, CA].concat(), &[CA, leaf.as_bytes()].concat()),
        ] {
            let material = Material::from_pem(key.as_bytes(), chain, ca).unwrap();
            for secret in [UMLAUTS, "\u{10ffff}", &"x".repeat(1000)] {
                let secret = password(secret);
                for format in &formats {
                    let store = format.keystore(&material, &secret, NOW).unwrap();
                    let fits = format.is_keystore(&store, &material, &secret);
                    assert_eq!(fits, Ok(()), "{format:?}");
                    let trust = format.truststore(&material, &secret, NOW).unwrap();
                    assert_eq!(trust.is_some(), !ca.is_empty());
                    if let Some(trust) = trust {
                        let fits = format.is_truststore(&trust, &material, &secret);
                        assert_eq!(fits, Ok(()), "{format:?}");
                    }
                }
            }
        }
    }
    let too_long = jks(&"x".repeat(70_000)).keystore(&material(), &password(PLAIN), NOW);
    assert_eq!(
        too_long,
        Err(Error::KeyStore("it cannot be encoded".to_owned()))
    );
}

#[test]
fn the_ca_is_called_by_its_subject() {
    let [root] = &chain::certificates(CA).unwrap()[..] else {
        panic!("one certificate");
    };
    // As the libraries of cert-manager wrote it into the fixtures.
    let name = name::of_subject(root).unwrap();
    assert_eq!(name, r"CN=Root,OU=Tests,O=Example\, Inc.,C=DE");
    assert!(name::of_subject(b"x").is_err());

    let oid = |last: u64| DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, last]);
    let email = DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let name = &mut params.distinguished_name;
    name.push(email, DnValue::Ia5String("a@b.c".try_into().unwrap()));
    name.push(oid(25), DnValue::Ia5String("example".try_into().unwrap()));
    name.push(oid(1), "é");
    name.push(DnType::LocalityName, " #a");
    name.push(DnType::CommonName, "#a=b;c ");
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    // What Go makes of it.
    let want = r"CN=\#a=b\;c\ ,L=\ #a,0.9.2342.19200300.100.1.1=#0c02c3a9,0.9.2342.19200300.100.1.25=#13076578616d706c65,1.2.840.113549.1.9.1=#0c056140622e63";
    assert_eq!(name::of_subject(certificate.der()).unwrap(), want);
}

#[test]
fn the_key_never_hides_behind_the_ca() {
    let two = Material::from_pem(KEY, CHAIN, &[CA, CHAIN].concat()).unwrap();
    let aliases = |taken| -> Vec<String> {
        let entries = trusted(&two.ca, taken);
        entries.into_iter().map(|(alias, _)| alias).collect()
    };
    assert_eq!(aliases("certificate"), ["ca", "ca-1", "ca-2"]);
    assert_eq!(aliases("ca"), ["ca-1", "ca-2", "ca-3"]);
    assert_eq!(aliases("ca-1"), ["ca", "ca-2", "ca-3"]);
}

#[test]
fn garbage_is_refused_in_no_time() {
    let (secret, material) = (password(UMLAUTS), material());
    let check = |format: &Format, store: &[u8]| {
        let keystore = format.is_keystore(store, &material, &secret);
        let truststore = format.is_truststore(store, &material, &secret);
        keystore.is_err() && truststore.is_err()
    };
    for (format, store) in [
        (jks("schlüssel"), fixture!("go-bytewise.jks")),
        (
            Format::Pkcs12(Profile::LEGACY_RC2),
            fixture!("go-LegacyRC2.p12"),
        ),
        (
            Format::Pkcs12(Profile::MODERN_2026),
            fixture!("go-Modern2026.p12"),
        ),
    ] {
        assert!(!check(&format, store));
        for end in 0..store.len() {
            assert!(check(&format, &store[..end]), "{format:?} {end}");
        }
        for at in (0..store.len()).step_by(3) {
            let mut changed = store.to_vec();
            changed[at] ^= 0x81;
            // Some bytes say nothing: the creation time under a digest does, and is caught by it.
            let _ = check(&format, &changed);
        }
        assert!(check(&format, &[store, b"x"].concat()));
        assert!(check(&format, &vec![0; LARGEST + 1]));
        assert!(check(&format, &vec![0x30; LARGEST]));
    }
}

/// The contents are parsed only under the right MAC: here is garbage under one.
#[test]
fn garbage_under_a_right_mac_is_refused() {
    let secret = password(PLAIN);
    for (profile, _) in PROFILES {
        let format = Format::Pkcs12(profile);
        let material = material();
        let store = format.keystore(&material, &secret, NOW).unwrap();
        let safes = yasna::parse_der(&store, |reader| {
            reader.read_sequence(|reader| {
                reader.next().read_u8()?;
                let safes = reader.next().read_sequence(|reader| {
                    reader.next().read_oid()?;
                    let tag = yasna::Tag::context(0);
                    reader.next().read_tagged(tag, pbe::bytes)
                })?;
                reader.next().read_der()?;
                Ok(safes)
            })
        })
        .unwrap();
        // A prime, so that each part of each structure is hit somewhere.
        for at in (0..safes.len()).step_by(7) {
            let mut changed = safes.clone();
            changed[at] ^= 0x83;
            let store = pkcs12::seal_bytes(profile, &changed, &secret).unwrap();
            let _ = format.is_keystore(&store, &material, &secret);
        }
        let store = pkcs12::seal_bytes(profile, &safes, &secret).unwrap();
        assert_eq!(format.is_keystore(&store, &material, &secret), Ok(()));
    }
}

#[test]
fn work_is_bounded() {
    // 2048 iterations as DER, and more than anybody needs.
    let (usual, many): (&[u8], &[u8]) = (&[2, 2, 8, 0], &[2, 2, 0x7f, 0xff]);
    let store = fixture!("go-Modern2026.p12");
    let format = Format::Pkcs12(Profile::MODERN_2026);
    let places: Vec<usize> = (0..store.len() - 4)
        .filter(|at| store[*at..].starts_with(usual))
        .collect();
    assert_eq!(places.len(), 3, "certificates, key, MAC");
    for at in places {
        let mut changed = store.to_vec();
        changed[at..at + 4].copy_from_slice(many);
        let refused = format.is_keystore(&changed, &material(), &password(UMLAUTS));
        assert!(refused.is_err());
    }
    let mac = [2, 2, 8, 0];
    let at = store.windows(4).rposition(|window| window == mac).unwrap();
    let mut changed = store.to_vec();
    changed[at..at + 4].copy_from_slice(many);
    let refused = format.is_keystore(&changed, &material(), &password(UMLAUTS));
    assert_eq!(refused, Err(Misfit::Unreadable), "not even tried");
}
