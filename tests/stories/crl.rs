//! Does a CA issuer publish what it revoked?

use std::fs;

use anyhow::{Context, Result, ensure};
use certwright::{
    api::{
        issuance::{Issuance, IssuanceState},
        issuer::{ClusterIssuer, Issuer},
        names::annotation,
    },
    pki::crl::Reason,
};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::json;
use testbed::{
    Bed,
    process::{tail, wait::until},
};

use crate::{
    register::{OPERATORS, Register, issuer, number, openssl, read, said},
    site::SOON,
};

/// Key usages of a CA that signs lists too.
const BOTH: [&str; 2] = ["cert sign", "crl sign"];

/// What is deleted is put on the list, which everybody can get and check; what stays is not. The list
/// outlives the operator, and comes back when it is taken away or changed.
pub(crate) async fn what_is_deleted_is_on_the_list(bed: &Bed) -> Result<()> {
    let register = Register::new(bed, "crl", &BOTH).await?;
    let operator = register.operator().await?;
    let empty = register.list("a list", |_| true).await?;
    ensure!(empty.entries.is_empty(), "{empty:?}");
    let kept = register.issued("kept", json!({"name": "ca"})).await?;
    let www = register.issued("www", json!({"name": "ca"})).await?;
    register.issued("own", json!({"name": "itself"})).await?;
    let serial = register.serial("www").await?;
    let records = register.records().await?;
    // Nothing that signs itself is written down.
    ensure!(records.len() == 2, "{:?}", records.keys());

    for name in ["www", "own"] {
        register.delete(name).await?;
    }
    let done = register
        .becomes(&serial, IssuanceState::Revoked, "", &operator)
        .await?;
    let revocation = done.status.and_then(|status| status.revocation);
    let signed_by = revocation.and_then(|revocation| revocation.signed_by);
    ensure!(
        signed_by.as_deref() == Some("key of the CA"),
        "{signed_by:?}"
    );
    let secrets: Api<Secret> = register.namespace.api();
    for name in ["www", "own"] {
        until("the Secret to go", SOON, async || {
            ensure!(secrets.get_opt(name).await?.is_none(), "{name} stands");
            Ok(())
        })
        .await?;
    }

    let list = register
        .list("the serial", |list| list.entries.len() == 1)
        .await?;
    let entry = list.entries.get(&number(&serial)?);
    ensure!(entry.map(|entry| entry.reason) == Some(Reason::CessationOfOperation));
    ensure!(list.number > empty.number);
    let (_, der) = read(&register.config_maps(), "ca-crl").await?;
    served(&register, &der).await?;
    agrees(&register, &der, &www["tls.crt"].0, &kept["tls.crt"].0).await?;

    // Taken away, then changed: it is mended, and the number rises.
    let delete = DeleteParams::default();
    register.config_maps().delete("ca-crl", &delete).await?;
    let again = register
        .list("another list", |again| again.number > list.number)
        .await?;
    ensure!(again.entries == list.entries, "{again:?}");
    let patch = json!({"binaryData": {"ca.crl.der": "AAAA"}, "metadata": {"labels": null}});
    let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
    register
        .config_maps()
        .patch("ca-crl", &params, &patch)
        .await?;
    let mended = register
        .list("a list that is whole", |mended| {
            mended.number > again.number
        })
        .await?;
    ensure!(mended.entries == list.entries, "{mended:?}");

    // Another operator leaves it as it is, and serves it.
    ensure!(operator.stop().await?.success());
    let operator = register.operator().await?;
    let (_, der) = read(&register.config_maps(), "ca-crl").await?;
    until("the list to be served", SOON, async || {
        ensure!(register.get(&register.path()).await? == (200, der.clone()));
        Ok(())
    })
    .await?;
    ensure!(register.list("it", |_| true).await? == mended);
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// The list is served at its path, once to each client, and nothing else is.
async fn served(register: &Register<'_>, der: &[u8]) -> Result<()> {
    let client = testbed::web::client(&[])?;
    let url = register.url(&register.path());
    let answer = client.get(&url).send().await?;
    ensure!(answer.status() == 200, "{answer:?}");
    let headers = answer.headers().clone();
    ensure!(headers["content-type"] == "application/pkix-crl");
    ensure!(headers["cache-control"] == "public, max-age=300");
    ensure!(answer.bytes().await? == der, "another list");
    let known = client.get(&url).header("if-none-match", &headers["etag"]);
    ensure!(known.send().await?.status() == 304);
    ensure!(client.post(&url).send().await?.status() == 404);
    let head = client.head(&url).send().await?;
    ensure!(head.status() == 200 && head.bytes().await?.is_empty());
    let namespace = register.namespace.name();
    for path in [
        "/".to_owned(),
        "/metrics".to_owned(),
        "/crl/ca.crl".to_owned(),
        format!("/crl/{namespace}/itself.crl"),
        format!("/crl/{namespace}/ca"),
        format!("/crl/{namespace}/root/ca.crl"),
    ] {
        ensure!(register.get(&path).await?.0 == 404, "{path}");
    }
    Ok(())
}

/// OpenSSL reads the list, refuses what is on it, and takes what is not.
async fn agrees(register: &Register<'_>, der: &[u8], revoked: &[u8], kept: &[u8]) -> Result<()> {
    let folder = register.bed.logs().join("crl");
    fs::create_dir_all(&folder)?;
    let root = register.secret("root").await?;
    let pem = certwright::pki::crl::to_pem(der);
    let file = |name: &str, content: &[u8]| -> Result<String> {
        let path = folder.join(name);
        fs::write(&path, content)?;
        Ok(path.to_str().context("no path")?.to_owned())
    };
    let root = file("root.pem", &root["tls.crt"].0)?;
    let list = file("list.pem", pem.as_bytes())?;
    let read = ["crl", "-text", "-noout", "-CAfile", &root, "-in", &list];
    let Some((is_good, text)) = openssl(&read) else {
        return Ok(());
    };
    ensure!(is_good && text.contains("Cessation Of Operation"), "{text}");
    ensure!(text.contains("verify OK"), "{text}");
    for (name, leaf, want) in [("revoked.pem", revoked, false), ("kept.pem", kept, true)] {
        let leaf = file(name, leaf)?;
        let verify = [
            "verify",
            "-crl_check",
            "-CAfile",
            &root,
            "-CRLfile",
            &list,
            &leaf,
        ];
        let (is_good, text) = openssl(&verify).context("openssl is gone")?;
        ensure!(is_good == want, "{name}: {text}");
        ensure!(want || text.contains("certificate revoked"), "{text}");
        let (_, text) = openssl(&["x509", "-noout", "-text", "-in", &leaf]).context("gone")?;
        ensure!(text.contains(&register.url(&register.path())), "{text}");
    }
    Ok(())
}

/// What is revoked on demand is listed with its reason; a new CA signs the list anew.
pub(crate) async fn reasons_and_another_ca(bed: &Bed) -> Result<()> {
    let register = Register::new(bed, "crl-reasons", &BOTH).await?;
    let operator = register.operator().await?;
    let reasons = [
        ("keyCompromise", Reason::KeyCompromise),
        ("superseded", Reason::Superseded),
        ("affiliationChanged", Reason::AffiliationChanged),
        ("unspecified", Reason::Unspecified),
    ];
    let mut serials = Vec::new();
    for (word, reason) in reasons {
        let name = word.to_lowercase();
        register.issued(&name, json!({"name": "ca"})).await?;
        serials.push((register.serial(&name).await?, reason));
        let annotations = json!({annotation::REVOKE: word});
        let patch = json!({"metadata": {"annotations": annotations}});
        register.patch(&name, patch).await?;
    }
    for (serial, _) in &serials {
        register
            .becomes(serial, IssuanceState::Revoked, "", &operator)
            .await?;
    }
    let list = register
        .list("all of them", |list| list.entries.len() == reasons.len())
        .await?;
    for (serial, reason) in &serials {
        let entry = list.entries.get(&number(serial)?).context("not listed")?;
        ensure!(entry.reason == *reason, "{serial}: {entry:?}");
    }

    let secrets: Api<Secret> = register.namespace.api();
    let before = register.secret("root").await?;
    secrets.delete("root", &DeleteParams::default()).await?;
    until("another CA", SOON, async || {
        ensure!(register.secret("root").await?["tls.key"] != before["tls.key"]);
        Ok(())
    })
    .await?;
    let again = register
        .list("a list of the new CA", |again| again.number > list.number)
        .await
        .with_context(|| tail(&operator.log()))?;
    ensure!(again.entries == list.entries, "{again:?}");
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// A CA that may not sign lists is told, and so is what waits for it; when it may, all goes on.
pub(crate) async fn a_ca_that_may_not_sign_lists(bed: &Bed) -> Result<()> {
    let register = Register::new(bed, "crl-usage", &["cert sign"]).await?;
    let operator = register.operator().await?;
    register.issued("www", json!({"name": "ca"})).await?;
    let serial = register.serial("www").await?;
    let issuers: Api<Issuer> = register.namespace.api();
    says(&issuers, false, "add \"crl sign\"").await?;
    register.delete("www").await?;
    let waits = "add \"crl sign\"";
    register
        .becomes(&serial, IssuanceState::Revoking, waits, &operator)
        .await?;
    ensure!(register.get(&register.path()).await?.0 == 404);
    register
        .patch("root", json!({"spec": {"usages": BOTH}}))
        .await?;
    register
        .becomes(&serial, IssuanceState::Revoked, "", &operator)
        .await?;
    says(&issuers, true, "ca-crl").await?;

    // Somebody else's ConfigMap is left alone, and one that is not wanted any more goes.
    let patch = |crl| Patch::Merge(json!({"spec": {"ca": {"crl": crl}}}));
    let params = PatchParams::default();
    issuers.patch("ca", &params, &patch(json!(null))).await?;
    until("the list to go", SOON, async || {
        let found = register.config_maps().get_opt("ca-crl").await?;
        ensure!(found.is_none(), "it stands");
        let status = issuers.get("ca").await?.status;
        ensure!(said(status.as_ref()).is_none(), "{status:?}");
        Ok(())
    })
    .await?;
    let foreign = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ca-crl"},
        "data": {"ca.crl": "mine"},
    });
    register.namespace.apply_all(&[foreign]).await?;
    issuers.patch("ca", &params, &patch(json!({}))).await?;
    says(&issuers, false, "delete it").await?;
    let found = register.config_maps().get("ca-crl").await?;
    ensure!(found.data.is_some_and(|data| data["ca.crl"] == "mine"));
    ensure!(operator.stop().await?.success());
    Ok(())
}

async fn says(issuers: &Api<Issuer>, published: bool, text: &str) -> Result<()> {
    until("the issuer to say so", SOON, async || {
        let status = issuers.get("ca").await?.status;
        let (is_published, message) = said(status.as_ref()).context("nothing said")?;
        ensure!(
            is_published == published && message.contains(text),
            "{message}"
        );
        Ok(())
    })
    .await
}

/// The list of a ClusterIssuer is beside its CA, and served under its name.
pub(crate) async fn of_a_cluster_issuer(bed: &Bed) -> Result<()> {
    let register = Register::new(bed, "crl-cluster", &BOTH).await?;
    let here = format!(
        "spec.certificateRef.namespace!={}",
        register.namespace.name()
    );
    let records: Api<Issuance> = Api::namespaced(bed.client().clone(), OPERATORS);
    records
        .delete_collection(
            &DeleteParams::default(),
            &ListParams::default().fields(&here),
        )
        .await?;
    let operator = register.operator_with(&[]).await?;
    register.namespace.ready("root", SOON).await?;
    let name = register.namespace.name().to_owned();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": &name, "namespace": OPERATORS},
        "data": register.secret("root").await?,
    });
    let spec = json!({"ca": {"secretName": &name, "crl": {"validity": "2h"}}});
    bed.apply_all(&[secret, issuer("ClusterIssuer", &name, spec)])
        .await?;
    let from = json!({"name": &name, "kind": "ClusterIssuer"});
    register.issued("www", from).await?;
    let serial = register.serial("www").await?;
    register.delete("www").await?;
    register
        .becomes(&serial, IssuanceState::Revoked, "", &operator)
        .await?;
    let config_maps: Api<ConfigMap> = Api::namespaced(bed.client().clone(), OPERATORS);
    let (list, der) = read(&config_maps, &format!("{name}-crl")).await?;
    ensure!(list.entries.contains_key(&number(&serial)?), "{list:?}");
    let good_for = list.this_update.duration_until(list.next_update);
    ensure!(good_for.as_hours() == 2, "{good_for}");
    ensure!(register.get(&format!("/crl/{name}.crl")).await? == (200, der));
    // It goes with its issuer.
    let issuers: Api<ClusterIssuer> = Api::all(bed.client().clone());
    issuers.delete(&name, &DeleteParams::default()).await?;
    until("the list to go", SOON, async || {
        let found = config_maps.get_opt(&format!("{name}-crl")).await?;
        ensure!(found.is_none(), "it stands");
        Ok(())
    })
    .await?;
    ensure!(register.get(&format!("/crl/{name}.crl")).await?.0 == 404);
    ensure!(operator.stop().await?.success());
    Ok(())
}
