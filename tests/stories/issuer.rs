//! Does an ACME issuer become ready, stay so, and say what is wrong when it does not?

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};
use certwright::{
    acme::{self, AccountKey},
    api::{
        acme::AcmeIssuerStatus,
        condition::{self, Condition, ConditionStatus},
        issuer::{ClusterIssuer, Issuer, IssuerStatus},
    },
    issuer::facts::IssuerResource,
    net::http,
    pki::key::{KeyAlgorithm, KeyEncoding, KeyParameters, PrivateKey},
};
use k8s_openapi::api::core::v1::{Event, Secret};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use testbed::{
    Bed,
    acme::{Pebble, PebbleOptions},
    namespace::Namespace,
    process::wait::until,
};

/// How long an issuer may take to follow a change.
const SOON: Duration = Duration::from_secs(20);

/// The account is made once, with a new key; what else changes in the issuer asks the CA at most
/// for the account; the e-mail address follows; a CA that is down takes nothing away.
pub(crate) async fn an_account_is_registered_once(bed: &Bed) -> Result<()> {
    let options = PebbleOptions {
        // Requests are counted below.
        rejected_nonces: 0,
        ..PebbleOptions::default()
    };
    let pebble = bed.pebble("accounts", &options).await?;
    let place = Place::new(bed, &pebble, "account").await?;
    place.apply(json!({"email": "Ops@example.com"})).await?;
    let first = place.ready(1).await?;
    assert_eq!(
        first.last_registered_email.as_deref(),
        Some("Ops@example.com")
    );
    let url = first.uri.clone().context("no account URL")?;

    let secret = place.namespace.api::<Secret>().get("account").await?;
    assert_eq!(
        secret.labels()["app.kubernetes.io/managed-by"],
        "cert-manager"
    );
    let key = key_in(&secret)?;
    assert_eq!(key.parameters().to_string(), "ECDSA 256");
    assert_eq!(first.last_private_key_hash, Some(key.hash()?));
    assert_eq!(
        place.contacts(&key, &url).await?,
        ["mailto:ops@example.com"]
    );

    assert_eq!(asked(&pebble).await, 1, "a new key is not looked up");

    // A nudge asks nobody, and solvers change nothing about the account.
    let nudge = Patch::Merge(json!({"metadata": {"annotations": {"example.com/nudge": "1"}}}));
    place
        .issuers()
        .patch("ca", &PatchParams::default(), &nudge)
        .await?;
    let solvers = json!([{"http01": {"ingress": {}}}, {"dns01": {"route53": {}}}]);
    place.merge(json!({"solvers": solvers})).await?;
    assert_eq!(place.ready(2).await?, first);
    assert_eq!(asked(&pebble).await, 2);
    let (_, ready) = place.status().await?;
    let message = ready.message.context("no message")?;
    ensure!(
        message.contains("solvers[1] (dns01.route53) is not supported"),
        "{message}"
    );

    place.merge(json!({"email": "new@example.com"})).await?;
    let third = place.ready(3).await?;
    assert_eq!(
        third.last_registered_email.as_deref(),
        Some("new@example.com")
    );
    assert_eq!(third.uri.as_ref(), Some(&url));
    assert_eq!(
        place.contacts(&key, &url).await?,
        ["mailto:new@example.com"]
    );

    pebble.unplug();
    place.merge(json!({"solvers": []})).await?;
    place.warned("cannot connect to").await?;
    let (_, ready) = place.status().await?;
    assert_eq!(ready.status, ConditionStatus::True);
    assert_eq!(ready.observed_generation, Some(3));
    pebble.plug().await?;
    assert_eq!(place.ready(4).await?, third);
    Ok(())
}

/// An external account is bound when the account is made, and its key is not needed again.
pub(crate) async fn an_external_account_is_bound_once(bed: &Bed) -> Result<()> {
    let mac = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA";
    let options = PebbleOptions {
        external_accounts: BTreeMap::from([("kid-1".to_owned(), mac.to_owned())]),
        ..PebbleOptions::default()
    };
    let pebble = bed.pebble("external-accounts", &options).await?;
    let place = Place::new(bed, &pebble, "eab").await?;
    place.apply(json!({})).await?;
    place
        .told(
            "ErrRegisterACMEAccount",
            "set spec.acme.externalAccountBinding",
        )
        .await?;
    let binding = json!({"keyID": "kid-1", "keySecretRef": {"name": "eab", "key": "mac"}});
    place
        .merge(json!({"externalAccountBinding": binding}))
        .await?;
    let missing = format!(
        "EAB Secret \"eab\" not found in namespace {:?}",
        place.namespace.name()
    );
    place.told("ErrRegisterACMEAccount", &missing).await?;
    place.secret("eab", "other", b"x").await?;
    place
        .told("ErrRegisterACMEAccount", "has no entry \"mac\"")
        .await?;
    place.secret("eab", "mac", b"not base64!").await?;
    place
        .told("ErrRegisterACMEAccount", "is not base64url text")
        .await?;
    place
        .secret(
            "eab",
            "mac",
            b"d3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmc",
        )
        .await?;
    place
        .told(
            "ErrRegisterACMEAccount",
            "Failed to register ACME account: ",
        )
        .await?;
    place.secret("eab", "mac", mac.as_bytes()).await?;
    let first = place.ready(2).await?;

    let secrets = place.namespace.api::<Secret>();
    secrets.delete("eab", &DeleteParams::default()).await?;
    place.merge(json!({"email": "ops@example.com"})).await?;
    assert_eq!(place.ready(3).await?.uri, first.uri);
    Ok(())
}

/// A key that is there is used, whatever its kind; another key is another account; what cannot be
/// used says so and heals.
pub(crate) async fn account_keys_are_taken_over(bed: &Bed) -> Result<()> {
    let pebble = bed
        .pebble("account-keys", &PebbleOptions::default())
        .await?;
    let place = Place::new(bed, &pebble, "keys").await?;
    place
        .apply(json!({"disableAccountKeyGeneration": true}))
        .await?;
    place
        .told(
            "ErrVerifyACMEAccount",
            "account key Secret \"account\" not found",
        )
        .await?;
    place.secret("account", "tls.crt", b"x").await?;
    place
        .told("ErrVerifyACMEAccount", "has no entry \"tls.key\"")
        .await?;
    place.secret("account", "tls.key", b"garbage").await?;
    place.told("ErrVerifyACMEAccount", "it is not PEM").await?;
    place.key(KeyAlgorithm::Ed25519, KeyEncoding::Pkcs8).await?;
    place
        .told(
            "ErrVerifyACMEAccount",
            "ACME account keys are RSA, or ECDSA",
        )
        .await?;

    let rsa = place.key(KeyAlgorithm::Rsa, KeyEncoding::Pkcs1).await?;
    let first = place.ready(1).await?;
    let pkcs1 = rsa.to_pkcs1_der().context("not RSA")??;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &pkcs1);
    let hash = BASE64_STANDARD.encode(digest);
    assert_eq!(
        first.last_private_key_hash,
        Some(hash),
        "as cert-manager hashes"
    );

    let ec = place.key(KeyAlgorithm::Ecdsa, KeyEncoding::Pkcs1).await?;
    let hash = AccountKey::new(ec)?.hash()?;
    let second = until("another account", SOON, async || {
        let (acme, ready) = place.status().await?;
        let acme = acme.context("no account")?;
        ensure!(acme.last_private_key_hash.as_ref() == Some(&hash));
        ensure!(ready.status == ConditionStatus::True, "{ready:?}");
        Ok(acme)
    })
    .await?;
    assert_ne!(second.uri, first.uri);
    Ok(())
}

/// A server that cannot be right says so; the right one, or another one, is taken to.
pub(crate) async fn the_server_is_followed(bed: &Bed) -> Result<()> {
    let pebble = bed
        .pebble("first-server", &PebbleOptions::default())
        .await?;
    let other = bed
        .pebble("second-server", &PebbleOptions::default())
        .await?;
    let place = Place::new(bed, &pebble, "server").await?;
    place.apply(json!({"server": "ca.example.com/dir"})).await?;
    place
        .told("InvalidURL", "is not the URL of an ACME directory")
        .await?;
    let old = "https://acme-v01.api.letsencrypt.org/directory";
    place.merge(json!({"server": old})).await?;
    place
        .told(
            "InvalidConfig",
            "use https://acme-v02.api.letsencrypt.org/directory",
        )
        .await?;
    place
        .merge(json!({"server": "https://127.0.0.1:1/dir"}))
        .await?;
    place
        .told(
            "ErrRegisterACMEAccount",
            "cannot connect to https://127.0.0.1:1/dir",
        )
        .await?;
    let wrong_path = pebble.directory_url().replace("/dir", "/wrong");
    place.merge(json!({"server": wrong_path})).await?;
    place
        .told("ErrRegisterACMEAccount", "/wrong answered HTTP 404")
        .await?;
    place
        .merge(json!({"server": pebble.directory_url(), "caBundle": null}))
        .await?;
    place
        .told("ErrRegisterACMEAccount", "is not trusted")
        .await?;
    place.merge(json!({"skipTLSVerify": true})).await?;
    let first = place.ready(6).await?;

    place.merge(json!({"profile": "fast"})).await?;
    place
        .told("InvalidConfig", "use one of: classic, default, shortlived")
        .await?;
    place.merge(json!({"profile": "shortlived"})).await?;
    assert_eq!(place.ready(8).await?, first);

    place
        .merge(
            json!({"server": other.directory_url(), "skipTLSVerify": null,
                      "caBundle": bundle(&other)}),
        )
        .await?;
    let second = place.ready(9).await?;
    assert_eq!(second.last_private_key_hash, first.last_private_key_hash);
    let host = other.directory_url().trim_end_matches("/dir");
    ensure!(
        second.uri.as_ref().is_some_and(|uri| uri.starts_with(host)),
        "{second:?}"
    );
    Ok(())
}

/// What a solver needs must be there; what this version cannot do says so.
pub(crate) async fn what_is_missing_is_told(bed: &Bed) -> Result<()> {
    let pebble = bed.pebble("missing", &PebbleOptions::default()).await?;
    let place = Place::new(bed, &pebble, "missing").await?;
    place
        .apply(json!({"solvers": [{"dns01": bed.dns01("tsig")}]}))
        .await?;
    let missing = format!(
        "solvers[0].dns01.rfc2136.tsigSecretSecretRef: Secret \"tsig\" not found in namespace {:?}",
        place.namespace.name()
    );
    place.told("InvalidSolver", &missing).await?;
    let (account, _) = place.status().await?;
    place
        .namespace
        .apply_all(&[bed.tsig_secret("tsig")])
        .await?;
    assert_eq!(Some(place.ready(1).await?), account, "registered already");

    for (spec, reason, message) in [
        (
            json!({"vault": {"server": "https://vault", "path": "p", "auth": {"tokenSecretRef": {"name": "t"}}}}),
            "NotSupported",
            "spec.vault is not supported",
        ),
        (
            json!({"ca": {"secretName": "ca"}}),
            "ErrGetKeyPair",
            "Secret \"ca\" not found",
        ),
    ] {
        let object = json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Issuer",
            "metadata": {"name": format!("other-{}", message.len())}, "spec": spec,
        });
        let name = object["metadata"]["name"]
            .as_str()
            .context("no name")?
            .to_owned();
        place.namespace.apply_all(&[object]).await?;
        told(&place.issuers(), &name, reason, message).await?;
    }
    Ok(())
}

/// A ClusterIssuer has its Secrets where the operator is told to keep them.
pub(crate) async fn a_cluster_issuer_has_its_secrets_elsewhere(bed: &Bed) -> Result<()> {
    let pebble = bed
        .pebble("cluster-issuer", &PebbleOptions::default())
        .await?;
    let elsewhere = Api::<Secret>::namespaced(bed.client().clone(), "certwright");
    let issuers = Api::<ClusterIssuer>::all(bed.client().clone());
    bed.apply_all(&[json!({
        "apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer",
        "metadata": {"name": "story"},
        "spec": {"acme": {
            "server": pebble.directory_url(), "caBundle": bundle(&pebble),
            "privateKeySecretRef": {"name": "story-account"},
            "disableAccountKeyGeneration": true,
        }},
    })])
    .await?;
    let missing = "account key Secret \"story-account\" not found in namespace \"certwright\"";
    told(&issuers, "story", "ErrVerifyACMEAccount", missing).await?;
    let patch = json!({"spec": {"acme": {"disableAccountKeyGeneration": null}}});
    let patch = Patch::Merge(patch);
    issuers
        .patch("story", &PatchParams::default(), &patch)
        .await?;
    let account = until("the ClusterIssuer is ready", SOON, async || {
        let (acme, ready) = status(&issuers, "story").await?;
        ensure!(ready.status == ConditionStatus::True, "{ready:?}");
        acme.context("no account")
    })
    .await?;
    let key = key_in(&elsewhere.get("story-account").await?)?;
    assert_eq!(account.last_private_key_hash, Some(key.hash()?));
    issuers.delete("story", &DeleteParams::default()).await?;
    elsewhere
        .delete("story-account", &DeleteParams::default())
        .await?;
    Ok(())
}

/// An issuer in a namespace of its own.
struct Place {
    namespace: Namespace,
    server: String,
    bundle: String,
}

impl Place {
    async fn new(bed: &Bed, pebble: &Pebble, name: &str) -> Result<Self> {
        Ok(Self {
            namespace: bed.namespace(name).await?,
            server: pebble.directory_url().to_owned(),
            bundle: bundle(pebble),
        })
    }

    fn issuers(&self) -> Api<Issuer> {
        self.namespace.api()
    }

    /// Create the issuer, with these settings beside those it needs.
    async fn apply(&self, settings: Value) -> Result<()> {
        let mut acme = json!({
            "server": self.server, "caBundle": self.bundle,
            "privateKeySecretRef": {"name": "account"},
        });
        for (name, value) in settings.as_object().context("no settings")? {
            acme[name] = value.clone();
        }
        let issuer = json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "ca"},
            "spec": {"acme": acme},
        });
        self.namespace.apply_all(&[issuer]).await
    }

    /// Change settings of the issuer.
    async fn merge(&self, settings: Value) -> Result<()> {
        let patch = Patch::Merge(json!({"spec": {"acme": settings}}));
        self.issuers()
            .patch("ca", &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    async fn secret(&self, name: &str, entry: &str, content: &[u8]) -> Result<()> {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "data": {entry: BASE64_STANDARD.encode(content)},
        });
        self.namespace.apply_all(&[secret]).await
    }

    /// Put a new key into the Secret.
    async fn key(&self, algorithm: KeyAlgorithm, encoding: KeyEncoding) -> Result<PrivateKey> {
        let key = PrivateKey::generate(KeyParameters::new(algorithm, None)?)?;
        self.secret("account", "tls.key", key.to_pem(encoding)?.as_bytes())
            .await?;
        Ok(key)
    }

    async fn status(&self) -> Result<(Option<AcmeIssuerStatus>, Condition)> {
        status(&self.issuers(), "ca").await
    }

    /// The account, once the issuer is ready in this generation.
    async fn ready(&self, generation: i64) -> Result<AcmeIssuerStatus> {
        until("the issuer is ready", SOON, async || {
            let (acme, ready) = self.status().await?;
            ensure!(ready.status == ConditionStatus::True, "{ready:?}");
            ensure!(ready.observed_generation == Some(generation), "{ready:?}");
            assert_eq!(ready.reason.as_deref(), Some("ACMEAccountRegistered"));
            acme.context("no account")
        })
        .await
    }

    /// Wait until the issuer is not ready for this reason.
    async fn told(&self, reason: &str, message: &str) -> Result<()> {
        told(&self.issuers(), "ca", reason, message).await
    }

    /// Wait for a warning that says so.
    async fn warned(&self, message: &str) -> Result<()> {
        let events: Api<Event> = self.namespace.api();
        until("a warning", SOON, async || {
            let events = events.list(&ListParams::default()).await?;
            let warned = events.iter().any(|event| {
                event.reason.as_deref() == Some("ErrInitIssuer")
                    && event
                        .message
                        .as_deref()
                        .is_some_and(|text| text.contains(message))
            });
            ensure!(warned, "{} events", events.items.len());
            Ok(())
        })
        .await
    }

    /// What the CA says are the account's contacts.
    async fn contacts(&self, key: &AccountKey, url: &str) -> Result<Vec<String>> {
        let options = http::Options {
            ca_bundle: Some(BASE64_STANDARD.decode(&self.bundle)?),
            redirects: 0,
            ..http::Options::default()
        };
        let client = acme::Client::new(options.client()?, &self.server)?;
        Ok(client.session(key.clone(), url).account().await?.contact)
    }
}

pub(crate) async fn status<K: IssuerResource>(
    issuers: &Api<K>,
    name: &str,
) -> Result<(Option<AcmeIssuerStatus>, Condition)> {
    let issuer = issuers.get(name).await?;
    let IssuerStatus { acme, conditions } = issuer.status().cloned().context("no status yet")?;
    let ready = condition::find(conditions.as_ref(), condition::kind::READY);
    Ok((acme, ready.context("no Ready condition")?.clone()))
}

pub(crate) async fn told<K: IssuerResource>(
    issuers: &Api<K>,
    name: &str,
    reason: &str,
    message: &str,
) -> Result<()> {
    until("the issuer says why it is not ready", SOON, async || {
        let (_, ready) = status(issuers, name).await?;
        let text = ready.message.as_deref().unwrap_or_default();
        ensure!(ready.status == ConditionStatus::False, "{ready:?}");
        ensure!(ready.reason.as_deref() == Some(reason), "{ready:?}");
        ensure!(text.contains(message), "{ready:?}");
        Ok(())
    })
    .await
}

fn key_in(secret: &Secret) -> Result<AccountKey> {
    let data = secret.data.as_ref().context("an empty Secret")?;
    Ok(AccountKey::from_pem(&data["tls.key"].0)?)
}

/// How often the CA was asked for an account.
async fn asked(pebble: &Pebble) -> usize {
    pebble.log().await.matches("POST /sign-me-up ").count()
}

fn bundle(pebble: &Pebble) -> String {
    BASE64_STANDARD.encode(pebble.tls_root())
}
