//! When the CA of an issuer changes, is what it signed re-issued, with both roots known meanwhile?

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use certwright::{
    api::{
        certificate::Certificate,
        condition,
        issuer::{ClusterIssuer, Issuer},
        request::CertificateRequest,
    },
    pki::{
        chain::certificates,
        keystore::{Format, Material, Password, Profile},
    },
};
use futures::future::try_join_all;
use k8s_openapi::{
    ByteString,
    api::{
        core::v1::{ConfigMap, Secret},
        events::v1::Event,
    },
};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use testbed::{
    Bed,
    namespace::Namespace,
    operator::{Operator, OperatorOptions},
    process::wait::until,
    verify,
};

use crate::{predecessor::Predecessor, private_ca::issuer};

const SOON: Duration = Duration::from_secs(180);

const PASSWORD: &str = "changeit";

/// What happens to a CA.
#[derive(Clone, Copy, Debug)]
enum Change {
    NewKey,
    SameKey,
    Elsewhere,
}

/// Whatever happens to a CA, all it signed is re-issued, one after the other; as long as one is of
/// the old CA, what is new carries both roots, and then the new one alone.
pub(crate) async fn what_a_ca_signed_follows_it(bed: &Bed) -> Result<()> {
    let changes = [Change::NewKey, Change::SameKey, Change::Elsewhere];
    try_join_all(changes.map(|change| follows(bed, change))).await?;
    Ok(())
}

async fn follows(bed: &Bed, change: Change) -> Result<()> {
    let namespace = bed.namespace("rotate").await?;
    let key = KeyPair::generate()?;
    let old = Ca::new("old", &key)?;
    namespace
        .apply_all(&[
            old.secret("ca"),
            issuer("Issuer", "ca", json!({"ca": {"secretName": "ca"}})),
            with_stores(server("first", "48h")),
            server("second", "240h"),
        ])
        .await?;
    for name in ["first", "second"] {
        namespace.ready(name, SOON).await?;
    }
    let first = data(&namespace, "first").await?;
    ensure!(first["ca.crt"].0 == old.pem.as_bytes());

    let new = match change {
        Change::SameKey => Ca::new("old", &key)?,
        Change::NewKey | Change::Elsewhere => Ca::new("new", &KeyPair::generate()?)?,
    };
    ensure!(old.pem != new.pem);
    match change {
        Change::NewKey | Change::SameKey => namespace.apply_all(&[new.secret("ca")]).await?,
        Change::Elsewhere => {
            let moved = issuer("Issuer", "ca", json!({"ca": {"secretName": "moved"}}));
            namespace.apply_all(&[new.secret("moved"), moved]).await?;
        }
    }
    let both = format!("{}{}", new.pem, old.pem);
    until(
        "one carries both roots, and the issuer says so",
        SOON,
        async || {
            let first = data(&namespace, "first").await?;
            ensure!(first["ca.crt"].0 == both.as_bytes(), "not both");
            trusts_both(&first)?;
            let message = rotating(&namespace).await?.context("nothing is said")?;
            ensure!(
                message.contains(" of 2 certificates are of the new one"),
                "{message}"
            );
            Ok(())
        },
    )
    .await
    .with_context(|| format!("{change:?}"))?;
    until("all is of the new CA, and nothing else", SOON, async || {
        for name in ["first", "second"] {
            is_of(&namespace, name, &new, 2).await?;
        }
        ensure!(rotating(&namespace).await?.is_none(), "it goes on");
        Ok(())
    })
    .await
    .with_context(|| format!("{change:?}"))?;
    told(&namespace, "Re-issuing as the CA of Issuer \"ca\" changed").await
}

/// An issuer that says so leaves its certificates alone, until it says otherwise; what it says and
/// means nothing is told. Another one of the same CA does not.
pub(crate) async fn an_issuer_may_opt_out(bed: &Bed) -> Result<()> {
    let namespace = bed.namespace("opt-out").await?;
    let (old, new) = (
        Ca::new("old", &KeyPair::generate()?)?,
        Ca::new("new", &KeyPair::generate()?)?,
    );
    let spec = json!({"ca": {"secretName": "ca"}});
    let annotated = |value: Value| {
        let mut issuer = issuer("Issuer", "ca", spec.clone());
        issuer["metadata"]["annotations"] = json!({"certwright.io/rotation": value});
        issuer
    };
    let mut other = server("other", "48h");
    other["spec"]["issuerRef"]["name"] = json!("other");
    namespace
        .apply_all(&[
            old.secret("ca"),
            annotated(json!("Never")),
            issuer("Issuer", "other", spec.clone()),
            server("still", "48h"),
            other,
        ])
        .await?;
    for name in ["still", "other"] {
        namespace.ready(name, SOON).await?;
    }
    namespace.apply_all(&[new.secret("ca")]).await?;
    until("the other is re-issued", SOON, async || {
        is_of(&namespace, "other", &new, 2).await
    })
    .await?;
    is_of(&namespace, "still", &old, 1).await?;
    ensure!(rotating(&namespace).await?.is_none());

    namespace
        .apply_all(&[annotated(json!("Sometimes"))])
        .await?;
    until("it is told", SOON, async || {
        let message = rotating(&namespace).await?.context("nothing is said")?;
        ensure!(message.contains("\"Sometimes\" is unknown: use Automatic or Never"));
        Ok(())
    })
    .await?;
    is_of(&namespace, "still", &old, 1).await?;
    namespace
        .apply_all(&[annotated(json!("Automatic"))])
        .await?;
    until("it is re-issued after all", SOON, async || {
        is_of(&namespace, "still", &new, 2).await?;
        ensure!(rotating(&namespace).await?.is_none());
        Ok(())
    })
    .await
}

/// What is known of a CA goes with its issuer.
pub(crate) async fn a_record_goes_with_its_issuer(bed: &Bed) -> Result<()> {
    let system: Api<ConfigMap> = Api::namespaced(bed.client().clone(), "certwright");
    let records = async || -> Result<usize> {
        let all = system.list(&ListParams::default()).await?;
        let of_it = all.iter().filter(|map| {
            let issuer = map.data.as_ref().and_then(|data| data.get("issuer"));
            issuer.is_some_and(|issuer| issuer == "ClusterIssuer record-story")
        });
        Ok(of_it.count())
    };
    let ca = Ca::new("recorded", &KeyPair::generate()?)?;
    let mut secret = ca.secret("record-story");
    secret["metadata"]["namespace"] = json!("certwright");
    let spec = json!({"ca": {"secretName": "record-story"}});
    bed.apply_all(&[secret, issuer("ClusterIssuer", "record-story", spec)])
        .await?;
    until("it is recorded", SOON, async || {
        ensure!(records().await? == 1);
        Ok(())
    })
    .await?;
    let issuers: Api<ClusterIssuer> = Api::all(bed.client().clone());
    issuers
        .delete("record-story", &DeleteParams::default())
        .await?;
    until("the record is gone", SOON, async || {
        ensure!(records().await? == 0);
        Ok(())
    })
    .await?;
    let secrets: Api<Secret> = Api::namespaced(bed.client().clone(), "certwright");
    secrets
        .delete("record-story", &DeleteParams::default())
        .await?;
    Ok(())
}

/// What a CA signed that was replaced before the switch stays: cert-manager re-issued nothing, and
/// nobody expects it now. What is replaced afterwards is followed, also by an operator that was not
/// there when it happened, or that comes in the middle.
pub(crate) async fn only_what_was_seen_is_followed(bed: &Bed) -> Result<()> {
    let place = Predecessor::new(bed, "seen").await?;
    let namespace = &place.namespace;
    place
        .issued("before", &server("before", "2160h")["spec"].clone(), false)
        .await?;
    let before = data(namespace, "before").await?;
    let [second, third] = ["second", "third"].map(|name| Ca::new(name, &KeyPair::generate()?));
    let (second, third) = (second?, third?);
    namespace.apply_all(&[second.secret("ca")]).await?;

    let operator = start(bed, namespace).await?;
    let names = ["a", "b", "c"];
    for name in names {
        namespace.apply_all(&[server(name, "48h")]).await?;
        namespace.ready(name, SOON).await?;
        is_of(namespace, name, &second, 1).await?;
    }
    ensure!(operator.stop().await?.success());

    // While nobody looks.
    namespace.apply_all(&[third.secret("ca")]).await?;
    let operator = start(bed, namespace).await?;
    until("one is re-issued", SOON, async || {
        for name in names {
            if revision(namespace, name).await? == 2 {
                return Ok(());
            }
        }
        bail!("none is");
    })
    .await?;
    operator.kill().await?;
    let mut left = 0;
    for name in names {
        left += usize::from(revision(namespace, name).await? == 1);
    }
    ensure!(left > 0, "too late to disturb anything");
    let operator = start(bed, namespace).await?;
    let gauge = format!(
        "certwright_certificates_to_reissue{{kind=\"Issuer\",name=\"ca\",namespace=\"{}\"}} ",
        namespace.name()
    );
    until("it is counted", SOON, async || {
        let metrics = operator.metrics().await?;
        let left = metrics.lines().find_map(|line| line.strip_prefix(&gauge));
        ensure!(
            left.is_some_and(|left| matches!(left, "1" | "2")),
            "{left:?}"
        );
        Ok(())
    })
    .await?;
    until("all are re-issued", SOON, async || {
        for name in names {
            is_of(namespace, name, &third, 2).await?;
        }
        ensure!(rotating(namespace).await?.is_none());
        ensure!(!operator.metrics().await?.contains(&gauge));
        Ok(())
    })
    .await?;
    ensure!(data(namespace, "before").await? == before);
    ensure!(revision(namespace, "before").await? == 1);
    ensure!(operator.stop().await?.success());
    Ok(())
}

async fn start(bed: &Bed, namespace: &Namespace) -> Result<Operator> {
    let options = OperatorOptions {
        name: namespace.name().to_owned(),
        args: vec![
            format!("--namespace={}", namespace.name()),
            "--leader-elect=false".to_owned(),
        ],
        ..OperatorOptions::default()
    };
    bed.operator(&options).await
}

/// A CA as people bring it along.
pub(crate) struct Ca {
    pub(crate) pem: String,
    key: String,
}

impl Ca {
    pub(crate) fn new(name: &str, key: &KeyPair) -> Result<Self> {
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name = DistinguishedName::new();
        ca.distinguished_name.push(DnType::CommonName, name);
        ca.serial_number = Some(rand_serial()?);
        // As certwright writes PEM.
        let pem = ca.self_signed(key)?.pem().replace("\r\n", "\n");
        Ok(Self {
            pem,
            key: key.serialize_pem(),
        })
    }

    pub(crate) fn secret(&self, name: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "type": "kubernetes.io/tls",
            "data": {
                "tls.crt": ByteString(self.pem.clone().into_bytes()),
                "tls.key": ByteString(self.key.clone().into_bytes()),
            },
        })
    }
}

fn rand_serial() -> Result<rcgen::SerialNumber> {
    let mut serial = [1; 16];
    aws_lc_rs::rand::fill(&mut serial[1..])?;
    Ok(serial.to_vec().into())
}

pub(crate) fn server(name: &str, duration: &str) -> Value {
    json!({
        "apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": name},
        "spec": {
            "dnsNames": [format!("{name}.example")], "secretName": name, "duration": duration,
            "issuerRef": {"name": "ca"}, "privateKey": {"algorithm": "ECDSA"},
        },
    })
}

pub(crate) fn with_stores(mut certificate: Value) -> Value {
    let store = json!({"create": true, "password": PASSWORD, "profile": "Modern2023"});
    certificate["spec"]["keystores"] = json!({"pkcs12": store});
    certificate
}

/// Whether the trust store holds what `ca.crt` does: two certificates.
pub(crate) fn trusts_both(data: &BTreeMap<String, ByteString>) -> Result<()> {
    let entry = |name: &str| data[name].0.as_slice();
    ensure!(certificates(entry("ca.crt"))?.len() == 2);
    let material = Material::from_pem(entry("tls.key"), entry("tls.crt"), entry("ca.crt"))?;
    let password = Password::new(PASSWORD.as_bytes());
    Format::Pkcs12(Profile::MODERN_2023).is_truststore(
        entry("truststore.p12"),
        &material,
        &password,
    )?;
    Ok(())
}

/// Whether the certificate of that name is of `ca` and knows no other, in that revision.
pub(crate) async fn is_of(namespace: &Namespace, name: &str, ca: &Ca, revision: i64) -> Result<()> {
    let found = data(namespace, name).await?;
    ensure!(found["ca.crt"].0 == ca.pem.as_bytes(), "{name}: another CA");
    ensure!(certificates(&found["tls.crt"].0)?.len() == 1);
    let roots = [ca.pem.clone()];
    verify::secret(&found, &roots, &[format!("{name}.example")])?;
    let is = self::revision(namespace, name).await?;
    ensure!(is == revision, "{name}: revision {is}");
    let requests: Api<CertificateRequest> = namespace.api();
    let request = requests.get(&format!("{name}-{revision}")).await?;
    let answered = request.status.and_then(|status| status.ca);
    ensure!(answered.as_ref() == Some(&found["ca.crt"]));
    Ok(())
}

async fn revision(namespace: &Namespace, name: &str) -> Result<i64> {
    let certificate: Certificate = namespace.api().get(name).await?;
    let status = certificate.status.context("no status")?;
    status.revision.context("no revision")
}

/// What the issuer says of what is re-issued.
pub(crate) async fn rotating(namespace: &Namespace) -> Result<Option<String>> {
    let issuer: Issuer = namespace.api().get("ca").await?;
    let conditions = issuer.status.and_then(|status| status.conditions);
    let found = condition::find(conditions.as_ref(), condition::kind::ROTATING);
    Ok(found.map(|found| found.message.clone().unwrap_or_default()))
}

async fn data(namespace: &Namespace, secret: &str) -> Result<BTreeMap<String, ByteString>> {
    let secret: Secret = namespace.api().get(secret).await?;
    secret.data.context("an empty Secret")
}

async fn told(namespace: &Namespace, message: &str) -> Result<()> {
    let events: Api<Event> = namespace.api();
    until("an event", SOON, async || {
        let events = events.list(&ListParams::default()).await?;
        let told = events
            .iter()
            .any(|event| event.note.as_deref() == Some(message));
        ensure!(told, "{} events", events.items.len());
        Ok(())
    })
    .await
}
