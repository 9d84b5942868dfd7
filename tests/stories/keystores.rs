//! Are the key stores of a Certificate made, kept and taken away, and do Java and OpenSSL open them?

use std::{collections::BTreeMap, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use certwright::{
    api::certificate::Certificate,
    pki::{
        chain::certificates,
        keystore::{Format, Material, Misfit, Password, Profile},
    },
};
use k8s_openapi::{
    ByteString,
    api::{core::v1::Secret, events::v1::Event},
};
use kube::{
    Api,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use testbed::{
    Bed,
    namespace::Namespace,
    operator::{Operator, OperatorOptions},
    process::{tail, wait::until},
};

const SOON: Duration = Duration::from_secs(60);
const STORES: [&str; 4] = [
    "keystore.jks",
    "keystore.p12",
    "truststore.jks",
    "truststore.p12",
];

type Data = BTreeMap<String, ByteString>;

/// Both stores and both trust stores, by a CA in the cluster. Another alias and another profile are
/// followed; what is not asked for any more goes, and what somebody else put there stays.
pub(crate) async fn are_made_and_taken_away(bed: &Bed) -> Result<()> {
    let place = Place::new(bed, "keystores").await?;
    let keystores = json!({
        "jks": {"create": true, "alias": "Web", "passwordSecretRef": {"name": "p", "key": "k"}},
        "pkcs12": {"create": true, "password": "inline", "profile": "Modern2023"},
    });
    place.password("secret-1").await?;
    place.ask(json!({"keystores": keystores})).await?;
    place.namespace.ready("web", SOON).await?;
    let data = place.data().await?;
    for store in STORES {
        ensure!(data.contains_key(store), "no {store}");
    }
    holds(&data, &jks("web"), "secret-1")?;
    holds(&data, &Format::Pkcs12(Profile::MODERN_2023), "inline")?;

    let folder = bed.logs().join(place.namespace.name());
    std::fs::create_dir_all(&folder)?;
    let list = |store: &str, password: &str| -> Result<Option<String>> {
        let file = folder.join(store);
        std::fs::write(&file, &data[store].0)?;
        run(
            "keytool",
            &["-list", "-storepass", password, "-keystore"],
            &file,
        )
    };
    for (store, password, want) in [
        ("keystore.jks", "secret-1", "web, "),
        ("truststore.jks", "secret-1", "ca, "),
        ("keystore.p12", "inline", "PrivateKeyEntry"),
        ("truststore.p12", "inline", "cn=root, "),
    ] {
        if let Some(found) = list(store, password)? {
            ensure!(found.contains(want), "{store}: {found}");
        }
    }
    let arguments = ["pkcs12", "-nodes", "-passin", "pass:inline", "-in"];
    if let Some(found) = run("openssl", &arguments, &folder.join("keystore.p12"))? {
        let want = [&*data["tls.crt"].0, &*data["ca.crt"].0].concat();
        ensure!(certificates(found.as_bytes())? == certificates(&want)?);
    }

    let theirs = json!({"data": {"theirs": "Yw==", "truststore.p13": "Yw=="}});
    place.change_secret(&theirs).await?;
    let other = json!({"jks": {"alias": null}, "pkcs12": {"profile": "LegacyDES"}});
    place.change(&json!({"keystores": other})).await?;
    place
        .until("another alias and profile", |data| {
            holds(data, &jks("certificate"), "secret-1")?;
            holds(data, &Format::Pkcs12(Profile::LEGACY_DES), "inline")
        })
        .await?;

    place
        .change(&json!({"keystores": {"jks": {"create": false}}}))
        .await?;
    place
        .until("no JKS stores", |data| {
            ensure!(!data.contains_key("keystore.jks") && !data.contains_key("truststore.jks"));
            holds(data, &Format::Pkcs12(Profile::LEGACY_DES), "inline")
        })
        .await?;
    place.change(&json!({"keystores": null})).await?;
    let last = place
        .until("no stores", |data| {
            let left = STORES.into_iter().find(|store| data.contains_key(*store));
            ensure!(left.is_none(), "{left:?} is left");
            Ok(())
        })
        .await?;
    ensure!(
        last["theirs"] == ByteString(b"c".to_vec()),
        "theirs is gone"
    );
    ensure!(last.contains_key("truststore.p13"));
    ensure!(last["tls.crt"] == data["tls.crt"], "nothing was issued");
    Ok(())
}

/// Without its password nothing is stored, and that is said; when it comes, all goes on. Another
/// password is followed, and the same one in another version of its Secret changes nothing.
pub(crate) async fn follow_their_password(bed: &Bed) -> Result<()> {
    let place = Place::new(bed, "passwords").await?;
    let keystores = json!({"pkcs12": {
        "create": true, "passwordSecretRef": {"name": "p", "key": "k"},
    }});
    place.ask(json!({"keystores": keystores})).await?;
    let missing = format!(
        "Secret {}/p with the password of keystore.p12 does not exist; create it",
        place.namespace.name()
    );
    place.namespace.says("web", &missing, SOON).await?;
    ensure!(place.secrets().get_opt("web").await?.is_none());
    let reason = "KeystorePasswordSecretNotFound";
    until("an event", SOON, async || {
        let events = place.namespace.api::<Event>();
        let events = events.list(&ListParams::default()).await?;
        let told = events.iter().any(|event| {
            let note = event.note.as_deref().unwrap_or_default();
            event.reason.as_deref() == Some(reason) && note.contains(&missing)
        });
        ensure!(told, "{reason} was not told");
        Ok(())
    })
    .await?;
    place.put_password(json!({"other": "b"})).await?;
    let nothing = "has no password of keystore.p12: nothing is under \"k\"";
    place.namespace.says("web", nothing, SOON).await?;
    place.password("one").await?;
    place.namespace.ready("web", SOON).await?;
    let format = Format::Pkcs12(Profile::LEGACY_RC2);
    let first = place.data().await?;
    holds(&first, &format, "one")?;

    place
        .put_password(json!({"k": "one", "other": "c"}))
        .await?;
    place.password("two").await?;
    let second = place
        .until("the other password", |data| holds(data, &format, "two"))
        .await?;
    ensure!(second["tls.crt"] == first["tls.crt"], "nothing was issued");

    // What stands is good; only the next one could not be stored.
    let secrets = place.secrets();
    secrets.delete("p", &Default::default()).await?;
    let state = place
        .namespace
        .says("web", "the next one cannot be stored", SOON)
        .await?;
    ensure!(state.ready, "{state:?}");
    // Something else that is asked for now waits as well, and takes nothing away.
    let more = json!({"additionalOutputFormats": [{"type": "DER"}], "keystores": {
        "jks": {"create": true, "password": "a"},
    }});
    place.change(&more).await?;
    until("it is not ready", SOON, async || {
        let state = place.namespace.says("web", &missing, SOON).await?;
        ensure!(!state.ready, "{state:?}");
        Ok(())
    })
    .await?;
    ensure!(place.data().await? == second);
    place.password("three").await?;
    place
        .until("all that is asked for", |data| {
            ensure!(data.contains_key("key.der"));
            holds(data, &format, "three")?;
            holds(data, &jks("certificate"), "a")
        })
        .await?;
    place.namespace.ready("web", SOON).await?;
    Ok(())
}

/// Whoever wrote the stores, another operator or cert-manager, leaves them for the next one to find:
/// it opens them, and writes nothing.
pub(crate) async fn outlive_a_restart(bed: &Bed) -> Result<()> {
    let place = Place::new(bed, "restarts").await?;
    let first = place.operator(bed, "first").await?;
    place.password("one").await?;
    let keystores = json!({
        "jks": {"create": true, "passwordSecretRef": {"name": "p", "key": "k"}},
        "pkcs12": {"create": true, "passwordSecretRef": {"name": "p", "key": "k"}},
    });
    place.ask(json!({"keystores": keystores})).await?;
    place.namespace.ready("web", SOON).await?;
    ensure!(first.stop().await?.success());
    let before = place.secrets().get("web").await?;

    let second = place.operator(bed, "second").await?;
    // It has looked at what it found when it has issued another, which it was asked for later.
    let other = json!({
        "apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "other"},
        "spec": {"secretName": "other", "dnsNames": ["b.example"], "issuerRef": {"name": "ca"},
                 "privateKey": {"algorithm": "ECDSA"}},
    });
    place.namespace.apply_all(&[other]).await?;
    place.namespace.ready("other", SOON).await?;
    place
        .put_password(json!({"k": "one", "other": "c"}))
        .await?;
    place.password("two").await?;
    let format = Format::Pkcs12(Profile::LEGACY_RC2);
    place
        .until("the other password", |data| holds(data, &format, "two"))
        .await?;
    let log = second.log();
    let written = log.matches("writing the Secret again").count();
    ensure!(written == 1, "{written} writes:\n{}", tail(&log));
    ensure!(
        log.contains("does not open with the password"),
        "{}",
        tail(&log)
    );
    ensure!(second.stop().await?.success());

    // As cert-manager would have left it, under its own field manager, but nobody running.
    let stores = STORES.map(|store| (store, before.data.as_ref().map(|data| data[store].clone())));
    let data = serde_json::to_value(BTreeMap::from(stores))?;
    place.password("one").await?;
    place.change_secret(&json!({ "data": data })).await?;
    let before = place.secrets().get("web").await?;
    let third = place.operator(bed, "third").await?;
    let change = json!({"dnsNames": ["c.example"]});
    let patch = Patch::Merge(json!({ "spec": change }));
    let certificates = place.namespace.api::<Certificate>();
    certificates
        .patch("other", &PatchParams::default(), &patch)
        .await?;
    until("the other is issued again", SOON, async || {
        let status = certificates.get("other").await?.status;
        ensure!(status.and_then(|status| status.revision) == Some(2));
        Ok(())
    })
    .await?;
    let after = place.secrets().get("web").await?;
    ensure!(before.metadata.resource_version == after.metadata.resource_version);
    ensure!(!third.log().contains("writing the Secret again"));
    ensure!(third.stop().await?.success());
    Ok(())
}

/// Whether both stores of `format` hold what the Secret holds, under that password.
fn holds(data: &Data, format: &Format, password: &str) -> Result<()> {
    let entry = |name: &str| data.get(name).map_or(&[][..], |value| &value.0);
    let material = Material::from_pem(entry("tls.key"), entry("tls.crt"), entry("ca.crt"))?;
    let password = Password::new(password.as_bytes());
    let end = match format {
        Format::Jks { .. } => "jks",
        Format::Pkcs12(_) => "p12",
    };
    let found: Result<(), Misfit> =
        format.is_keystore(entry(&format!("keystore.{end}")), &material, &password);
    found.with_context(|| format!("keystore.{end}"))?;
    format
        .is_truststore(entry(&format!("truststore.{end}")), &material, &password)
        .with_context(|| format!("truststore.{end}"))
}

fn jks(alias: &str) -> Format {
    Format::Jks {
        alias: alias.to_owned(),
    }
}

/// What a tool says of a file; `None` with a note where it is not installed.
fn run(tool: &str, arguments: &[&str], file: &Path) -> Result<Option<String>> {
    let output = Command::new(tool).args(arguments).arg(file).output();
    let Ok(output) = output else {
        eprintln!("{tool} is not installed: its part of the story is skipped");
        return Ok(None);
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{tool} {arguments:?}: {said}{errors}"
    );
    Ok(Some(said))
}

/// A namespace with a CA, and a Certificate `web` of it.
struct Place {
    namespace: Namespace,
}

impl Place {
    async fn new(bed: &Bed, name: &str) -> Result<Self> {
        let namespace = bed.namespace(name).await?;
        let issuer = |name: &str, spec: Value| {
            json!({
                "apiVersion": "cert-manager.io/v1", "kind": "Issuer",
                "metadata": {"name": name}, "spec": spec,
            })
        };
        let root = json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
            "metadata": {"name": "root"},
            "spec": {
                "isCA": true, "commonName": "Root", "secretName": "root",
                "privateKey": {"algorithm": "ECDSA"}, "issuerRef": {"name": "itself"},
            },
        });
        let objects = [
            issuer("itself", json!({"selfSigned": {}})),
            issuer("ca", json!({"ca": {"secretName": "root"}})),
            root,
        ];
        namespace.apply_all(&objects).await?;
        Ok(Self { namespace })
    }

    /// An operator for this namespace alone.
    async fn operator(&self, bed: &Bed, name: &str) -> Result<Operator> {
        let options = OperatorOptions {
            name: format!("{}-{name}", self.namespace.name()),
            args: vec![
                format!("--namespace={}", self.namespace.name()),
                "--leader-elect=false".to_owned(),
            ],
            ..OperatorOptions::default()
        };
        bed.operator(&options).await
    }

    async fn ask(&self, more: Value) -> Result<()> {
        let mut spec = json!({
            "secretName": "web", "dnsNames": ["web.example"], "issuerRef": {"name": "ca"},
        });
        if let (Some(spec), Value::Object(more)) = (spec.as_object_mut(), more) {
            spec.extend(more);
        }
        let object = json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
            "metadata": {"name": "web"}, "spec": spec,
        });
        self.namespace.apply_all(&[object]).await
    }

    async fn change(&self, spec: &Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        let certificates = self.namespace.api::<Certificate>();
        certificates
            .patch("web", &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    async fn password(&self, password: &str) -> Result<()> {
        self.put_password(json!({ "k": password })).await
    }

    async fn put_password(&self, entries: Value) -> Result<()> {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "p"},
            "stringData": entries,
        });
        self.namespace.apply_all(&[secret]).await
    }

    fn secrets(&self) -> Api<Secret> {
        self.namespace.api()
    }

    async fn change_secret(&self, patch: &Value) -> Result<()> {
        self.secrets()
            .patch("web", &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    async fn data(&self) -> Result<Data> {
        let secret = self.secrets().get("web").await?;
        secret.data.context("no data")
    }

    /// Waits until the data of the Secret is as it should be.
    async fn until(&self, what: &str, check: impl Fn(&Data) -> Result<()>) -> Result<Data> {
        until(what, SOON, async || {
            let data = self.data().await?;
            check(&data)?;
            Ok(data)
        })
        .await
    }
}
