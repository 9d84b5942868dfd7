//! Do Java and OpenSSL, where they are installed, open what we write? (Tests only.)

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    tests::{CA, CHAIN, KEY, NOW, PLAIN, PROFILES, UMLAUTS, jks as format_of, material, password},
    *,
};
use crate::pki::{
    key::{KeyAlgorithm, KeyEncoding, KeyParameters},
    openssl::openssl,
    pem,
};

/// A folder of its own for one test, away with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/keystores");
        let path = path.join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn put(&self, name: &str, content: &[u8]) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// What `keytool` printed, or `None` with a note if it is not installed. Panics if it refuses.
fn keytool(arguments: &[&str]) -> Option<String> {
    let output = Command::new("keytool")
        .args(["-J-Dsun.jnu.encoding=UTF-8", "-J-Dfile.encoding=UTF-8"])
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .output();
    let Ok(output) = output else {
        eprintln!("keytool is not installed: its part of the test is skipped");
        return None;
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "keytool {arguments:?}: {said}{errors}"
    );
    Some(said)
}

#[test]
fn java_opens_jks_stores() {
    let folder = Folder::new("jks");
    let leaf = chain::certificates(CHAIN).unwrap().remove(0);
    let leaf = pem::encode("CERTIFICATE", &leaf);
    let cases = [
        (
            PLAIN,
            "certificate",
            Some((KeyAlgorithm::Rsa, 2048)),
            leaf.as_bytes(),
        ),
        (UMLAUTS, "Schlüssel 日本", None, CHAIN),
        (
            PLAIN,
            "ca",
            Some((KeyAlgorithm::Ed25519, 0)),
            &[CHAIN, CA].concat(),
        ),
    ];
    for (number, (secret, alias, kind, chain)) in cases.into_iter().enumerate() {
        let key = kind.map(|(algorithm, size)| {
            let size = Some(size).filter(|size| *size > 0);
            let parameters = KeyParameters::new(algorithm, size).unwrap();
            let key = PrivateKey::generate(parameters).unwrap();
            key.to_pem(KeyEncoding::Pkcs8).unwrap().as_bytes().to_vec()
        });
        // Java does not look at whether key and certificate belong together, where it lists.
        let key = key.as_deref().unwrap_or(KEY);
        let material = Material::from_pem(key, chain, CA).unwrap();
        let store = format_of(alias)
            .keystore(&material, &password(secret), NOW)
            .unwrap();
        let store = folder.put(&format!("{number}.jks"), &store);
        let list = [
            "-list",
            "-storetype",
            "JKS",
            "-keystore",
            &store,
            "-storepass",
            secret,
        ];
        let Some(list) = keytool(&list) else { return };
        let found = alias.to_lowercase();
        assert!(list.contains("contains 2 entries"), "{list}");
        assert!(list.contains(&format!("{found}, ")), "{list}");
        assert!(list.contains("PrivateKeyEntry"), "{list}");
        assert!(list.contains("trustedCertEntry"), "{list}");
        let other = folder.0.join(format!("{number}.p12")).display().to_string();
        if kind.is_none() {
            keytool(&[
                "-importkeystore",
                "-noprompt",
                "-srcstoretype",
                "JKS",
                "-srckeystore",
                &store,
                "-srcstorepass",
                secret,
                "-srcalias",
                alias,
                "-deststoretype",
                "PKCS12",
                "-destkeystore",
                &other,
                "-deststorepass",
                PLAIN,
                "-destkeypass",
                PLAIN,
            ]);
            // The key came through, and is the same.
            let store = std::fs::read(&other).unwrap();
            let (_, contents) = pkcs12::open(&store, &password(PLAIN)).unwrap();
            let key = PrivateKey::from_pkcs8(&contents.key.unwrap()).unwrap();
            assert_eq!(key.public_key_hash(), material.key.public_key_hash());
        }
    }
    let trust = format_of("")
        .truststore(&material(), &password(PLAIN), NOW)
        .unwrap();
    let trust = folder.put("trust.jks", &trust.unwrap());
    let list = keytool(&["-list", "-keystore", &trust, "-storepass", PLAIN]).unwrap();
    assert!(
        list.contains("contains 1 entry") && list.contains("ca, "),
        "{list}"
    );
}

#[test]
fn java_opens_pkcs12_stores() {
    // Java takes no other than ASCII for PKCS#12, nor from cert-manager's library.
    let folder = Folder::new("p12");
    for (profile, name) in PROFILES {
        if profile == Profile::MODERN_2026 {
            // Java knows PBMAC1 since version 26; cert-manager's library checks it elsewhere.
            continue;
        }
        let format = Format::Pkcs12(profile);
        let material = material();
        let store = format.keystore(&material, &password(PLAIN), NOW).unwrap();
        let store = folder.put(&format!("{name}.p12"), &store);
        let list = |file: &str| keytool(&["-list", "-keystore", file, "-storepass", PLAIN]);
        let Some(found) = list(&store) else { return };
        assert!(found.contains("contains 1 entry"), "{name}: {found}");
        assert!(found.contains("PrivateKeyEntry"), "{name}: {found}");
        // Decrypts the key.
        let out = folder.0.join(format!("{name}.jks")).display().to_string();
        keytool(&[
            "-importkeystore",
            "-noprompt",
            "-srckeystore",
            &store,
            "-srcstorepass",
            PLAIN,
            "-deststoretype",
            "JKS",
            "-destkeystore",
            &out,
            "-deststorepass",
            PLAIN,
            "-destkeypass",
            PLAIN,
            "-srcalias",
            "1",
        ]);
        let (alias, contents) = jks::open(&std::fs::read(&out).unwrap(), &password(PLAIN)).unwrap();
        assert_eq!(alias.as_deref(), Some("1"));
        assert_eq!(contents.chain, material.certificates());
        let key = PrivateKey::from_pkcs8(&contents.key.unwrap()).unwrap();
        assert_eq!(key.public_key_hash(), material.key.public_key_hash());

        let trust = format.truststore(&material, &password(PLAIN), NOW).unwrap();
        let trust = folder.put(&format!("{name}-trust.p12"), &trust.unwrap());
        let found = list(&trust).unwrap();
        assert!(found.contains("trustedCertEntry"), "{name}: {found}");
        assert!(
            found.contains(r"cn=root,ou=tests,o=example\, inc.,c=de"),
            "{name}: {found}"
        );
    }
}

#[test]
fn openssl_opens_pkcs12_stores() {
    for (profile, name) in PROFILES {
        let material = material();
        let format = Format::Pkcs12(profile);
        let store = format.keystore(&material, &password(UMLAUTS), NOW).unwrap();
        let secret = format!("pass:{UMLAUTS}");
        let mut arguments = vec!["pkcs12", "-nodes", "-passin", &secret];
        match profile {
            Profile::LEGACY_RC2 | Profile::LEGACY_DES => arguments.push("-legacy"),
            // Known since 3.4: before, all but the MAC is checked.
            Profile::MODERN_2026 => arguments.push("-nomacver"),
            _ => {}
        }
        let Some(pem) = openssl(&arguments, &store) else {
            return;
        };
        let found = chain::certificates(&pem).unwrap();
        assert_eq!(found, material.certificates(), "{name}");
        let key = PrivateKey::from_pem(&pem).unwrap();
        assert_eq!(
            key.public_key_hash(),
            material.key.public_key_hash(),
            "{name}"
        );
    }
}
