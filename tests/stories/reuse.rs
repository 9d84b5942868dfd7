//! Is a certificate that is there already used again, and revoked only when nobody keeps it any more?

use anyhow::{Context, Result, ensure};
use certwright::{
    api::{
        certificate::Certificate,
        condition::{Condition, kind, set},
        issuance::{Issuance, IssuanceState},
        names::annotation,
        request::CertificateRequest,
    },
    pki::certificate::CertificateFacts,
};
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use testbed::{
    Bed,
    operator::{Operator, OperatorOptions},
    process::{tail, wait::until},
};

use crate::{
    certificate::now,
    scene::Scene,
    site::{SOON, certificate},
};

/// Crash points tried: more than there are requests between a Certificate and its end.
const POINTS: u64 = 14;

/// A Certificate comes back under another name, with another Secret: it has what there was.
pub(crate) async fn under_another_name(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "renamed").await?;
    let operator = scene.operator(&["--deletion-delay=10s"]).await?;
    let host = scene.host("www");
    let serial = scene.issued("www").await?.leaf.serial;
    scene.delete("www").await?;
    let key = json!({"algorithm": "ECDSA", "encoding": "PKCS8"});
    let spec = json!({"dnsNames": [&host], "privateKey": key});
    scene.ask("shop", spec).await?;
    let shop = scene.site.issued_as("shop", 1, &[&host]).await?;
    ensure!(shop.leaf.serial == serial, "another was issued");
    ensure!(shop.entry("tls.key").starts_with(b"-----BEGIN PRIVATE KEY"));
    let request: CertificateRequest = scene.site.api().get("shop-1").await?;
    let record = moved(&scene, &serial, "shop", &operator).await?;
    ensure!(request.annotations()[annotation::REUSED_ISSUANCE] == record.name_any());
    let told = format!(
        "Certificate {serial} of Secret {}/www",
        scene.site.namespace.name()
    );
    is_told(&scene, &told).await?;

    scene.secret_goes("www").await?;
    until("the former Secret to be forgotten", SOON, async || {
        let record = scene.record(&serial).await?;
        ensure!(record.spec.also_in.is_none(), "{:?}", record.spec.also_in);
        Ok(())
    })
    .await?;
    ensure!(scene.at_ca(&serial).await? == "Valid");
    ordered(&scene, 1).await?;

    // What is renewed by hand is another.
    let certificates: Api<Certificate> = scene.site.api();
    let mut status = certificates
        .get("shop")
        .await?
        .status
        .context("no status")?;
    let asked = Condition::new(kind::ISSUING, true, "ManuallyTriggered", "now", Some(1));
    let conditions = status.conditions.get_or_insert_default();
    set(conditions, asked, now());
    let patch = Patch::Merge(json!({"status": {"conditions": conditions}}));
    certificates
        .patch_status("shop", &PatchParams::default(), &patch)
        .await?;
    let renewed = scene.site.issued_as("shop", 2, &[&host]).await?;
    ensure!(renewed.leaf.serial != serial);
    ordered(&scene, 2).await?;

    // Another Secret for the same Certificate: it takes along what it has.
    let patch = Patch::Merge(json!({"spec": {"secretName": "other"}}));
    let params = PatchParams::default();
    certificates.patch("shop", &params, &patch).await?;
    let serial = renewed.leaf.serial;
    until("the record to follow", SOON, async || {
        let spec = scene.record(&serial).await?.spec;
        ensure!(spec.secret_name == "other", "{}", spec.secret_name);
        ensure!(spec.also_in.is_none(), "{:?}", spec.also_in);
        let status = certificates.get("shop").await?.status;
        let status = status.context("no status")?;
        ensure!(status.revision == Some(3), "{status:?}");
        Ok(())
    })
    .await?;
    ensure!(
        scene.has_secret("shop").await?,
        "a Secret that may be in use is gone"
    );
    ordered(&scene, 2).await?;
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// Two Certificates of the same names have one certificate. It is revoked when both are gone, once.
pub(crate) async fn by_two_at_a_time(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "shared").await?;
    let operator = scene.operator(&["--deletion-delay=2s"]).await?;
    let host = scene.host("www");
    let serial = scene.issued("www").await?.leaf.serial;
    scene.ask("shop", json!({"dnsNames": [&host]})).await?;
    let shop = scene.site.issued("shop", &[&host]).await?;
    ensure!(shop.leaf.serial == serial, "another was issued");
    let shares = scene.record(&serial).await?.spec.also_in;
    let shares = shares.context("no share")?;
    ensure!(
        shares.len() == 1 && shares[0].secret_name == "shop",
        "{shares:?}"
    );

    scene.delete("www").await?;
    moved(&scene, &serial, "shop", &operator).await?;
    scene.secret_goes("www").await?;
    ensure!(scene.at_ca(&serial).await? == "Valid");
    ordered(&scene, 1).await?;

    scene.delete("shop").await?;
    scene
        .becomes(&serial, IssuanceState::Revoked, &operator)
        .await?;
    scene.secret_goes("shop").await?;
    ensure!(scene.at_ca(&serial).await? == "5");
    let metrics = operator.metrics().await?;
    ensure!(metrics.contains("certwright_revocations_total{outcome=\"revoked\"} 1"));
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// Revoked on demand through one of them, it is replaced for both first.
pub(crate) async fn on_demand_for_both(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "both").await?;
    let operator = scene.operator(&[]).await?;
    let host = scene.host("www");
    let serial = scene.issued("www").await?.leaf.serial;
    scene.ask("shop", json!({"dnsNames": [&host]})).await?;
    let shop = scene.site.issued("shop", &[&host]).await?;
    ensure!(shop.leaf.serial == serial, "another was issued");
    scene
        .annotate("shop", annotation::REVOKE, Some("superseded"))
        .await?;
    let done = scene
        .becomes(&serial, IssuanceState::Revoked, &operator)
        .await?;
    let request = done.status.and_then(|status| status.request);
    let by = request.context("no request")?.by;
    ensure!(by.contains("/shop"), "{by}");
    ensure!(scene.at_ca(&serial).await? == "4");
    for name in ["www", "shop"] {
        let new = scene.site.issued_as(name, 2, &[&host]).await?;
        ensure!(scene.at_ca(&new.leaf.serial).await? == "Valid", "{name}");
    }
    ordered(&scene, 3).await?;
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// What differs is ordered: the key, the usages, the namespace; and where it is asked for, or the Secret
/// was deleted.
pub(crate) async fn others_are_ordered(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "others").await?;
    let operator = scene.operator(&[]).await?;
    let host = scene.host("www");
    let first = scene.issued("www").await?.leaf;

    let spec = |more: Value| {
        let mut spec = json!({"dnsNames": [&host], "privateKey": {"algorithm": "ECDSA"}});
        for (field, value) in more.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        spec
    };
    let rsa = certificate("rsa", spec(json!({"privateKey": {"algorithm": "RSA"}})))?;
    let client = certificate("client", spec(json!({"usages": ["client auth"]})))?;
    let mut own = certificate("own", spec(json!({})))?;
    own["metadata"]["annotations"] = json!({ annotation::REUSE: "false" });
    scene.site.namespace.apply_all(&[rsa, client, own]).await?;
    let mut serials = vec![first.serial.clone()];
    for name in ["rsa", "client", "own"] {
        serials.push(scene.site.issued(name, &[&host]).await?.leaf.serial);
    }
    ordered(&scene, 4).await?;

    let elsewhere = bed.namespace("others-too").await?;
    let solvers = json!([{ "dns01": bed.dns01("tsig") }]);
    let issuer = bed.acme_issuer("ca", &scene.site.pebble, &solvers);
    let same = certificate("www", spec(json!({})))?;
    elsewhere
        .apply_all(&[bed.tsig_secret("tsig"), issuer, same])
        .await?;
    let options = OperatorOptions {
        name: "operator-others-too".to_owned(),
        args: vec![
            format!("--namespace={}", elsewhere.name()),
            "--leader-elect=false".to_owned(),
        ],
        ..OperatorOptions::default()
    };
    let second = bed.operator(&options).await?;
    elsewhere.ready("www", SOON).await?;
    ensure!(second.stop().await?.success());
    let secret: Secret = elsewhere.api().get("www").await?;
    let data = secret.data.context("an empty Secret")?;
    serials.push(CertificateFacts::from_pem(&data["tls.crt"].0)?.serial);
    ordered(&scene, 5).await?;
    serials.sort();
    serials.dedup();
    ensure!(serials.len() == 5, "{serials:?}");

    // Who deletes a Secret wants another key.
    scene.ask("shop", json!({"dnsNames": [&host]})).await?;
    let shop = scene.site.issued("shop", &[&host]).await?.leaf;
    ordered(&scene, 5).await?;
    let secrets: Api<Secret> = scene.site.api();
    secrets.delete("www", &DeleteParams::default()).await?;
    let again = scene.site.issued_as("www", 2, &[&host]).await?.leaf;
    ensure!(again.public_key != first.public_key && again.public_key != shop.public_key);
    ordered(&scene, 6).await?;
    ensure!(scene.at_ca(&shop.serial).await? == "Valid");
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// The operator dies before each of its requests while a certificate is used again; the next one
/// finishes the work, and nothing is ordered or revoked.
pub(crate) async fn at_every_request(bed: &Bed) -> Result<()> {
    let scene = Scene::new(bed, "crash-reuse").await?;
    let mut died = 0;
    for point in 1..=POINTS {
        let [former, new] = ["former", "new"].map(|what| format!("{what}{point}"));
        let host = scene.host(&former);
        let healer = scene.operator(&[]).await?;
        let serial = scene.issued(&former).await?.leaf.serial;
        ensure!(healer.stop().await?.success());

        scene.delete(&former).await?;
        scene.ask(&new, json!({"dnsNames": [&host]})).await?;
        let options = OperatorOptions {
            name: format!("crash-reuse-{point}"),
            args: vec![
                format!("--namespace={}", scene.site.namespace.name()),
                "--leader-elect=false".to_owned(),
                format!("--fault-point={point}"),
            ],
            wait: false,
            ..OperatorOptions::default()
        };
        let mut operator = bed.operator(&options).await?;
        let has_died = until("the end", SOON, async || {
            if operator.exited()?.is_some() {
                return Ok(true);
            }
            let record = scene.record(&serial).await?;
            ensure!(record.spec.secret_name == new, "{record:?}");
            let found: Certificate = scene.site.api().get(&new).await?;
            let status = found.status.unwrap_or_default();
            ensure!(status.revision == Some(1), "{status:?}");
            Ok(false)
        })
        .await
        .with_context(|| tail(&operator.log()))?;
        if has_died {
            died += 1;
            ensure!(operator.log().contains("fault point reached"));
        } else {
            operator.kill().await?;
        }
        let healer = scene.operator(&[]).await?;
        let place = || format!("killed before request {point}\n{}", tail(&healer.log()));
        let issued = scene.site.issued_as(&new, 1, &[&host]).await;
        let leaf = issued.with_context(place)?.leaf;
        ensure!(leaf.serial == serial, "ordered: {}", place());
        let record = moved(&scene, &serial, &new, &healer).await?;
        let left = record.spec.also_in.unwrap_or_default();
        ensure!(left.len() == 1 && left[0].secret_name == former, "{left:?}");
        ensure!(scene.at_ca(&serial).await? == "Valid", "{}", place());
        let requests: Api<CertificateRequest> = scene.site.api();
        let requests = requests.list(&ListParams::default()).await?;
        let own = requests
            .iter()
            .filter(|one| one.name_any().starts_with(&new));
        ensure!(own.count() == 1, "{}", place());
        ordered(&scene, usize::try_from(point)?).await?;
        ensure!(healer.stop().await?.success());
        if !has_died {
            break;
        }
    }
    ensure!(died >= 5, "there are only {died} requests");
    Ok(())
}

/// Wait until the record of that certificate is that of this Certificate and Secret.
async fn moved(
    scene: &Scene<'_>,
    serial: &str,
    name: &str,
    operator: &Operator,
) -> Result<Issuance> {
    let moved = until("the record to follow", SOON, async || {
        let record = scene.record(serial).await?;
        let spec = &record.spec;
        let follows = spec.secret_name == name && spec.certificate_ref.name == name;
        let state = record.status.as_ref().and_then(|status| status.state);
        ensure!(
            follows && state == Some(IssuanceState::Active),
            "{record:?}"
        );
        Ok(record)
    })
    .await;
    moved.with_context(|| tail(&operator.log()))
}

/// The CA has had so many orders, and given as many certificates.
async fn ordered(scene: &Scene<'_>, count: usize) -> Result<()> {
    let issued = scene.site.pebble.issued().await.len();
    let log = scene.site.pebble.log().await;
    let orders = log.lines().filter(|line| line.contains("Added order"));
    let orders = orders.count();
    ensure!(
        (issued, orders) == (count, count),
        "{issued} issued, {orders} orders"
    );
    Ok(())
}

async fn is_told(scene: &Scene<'_>, text: &str) -> Result<()> {
    let events: Api<Event> = scene.site.api();
    until("the event", SOON, async || {
        let all = events.list(&ListParams::default()).await?;
        let told = all.iter().any(|event| {
            let is_it = event.reason.as_deref() == Some("CertificateReused");
            is_it
                && event
                    .note
                    .as_deref()
                    .is_some_and(|note| note.starts_with(text))
        });
        ensure!(told, "{} events, none of them this one", all.items.len());
        Ok(())
    })
    .await
}
