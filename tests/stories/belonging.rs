//! Whose is a Secret, and what becomes of it when its Certificate goes?

use anyhow::{Context, Result, ensure};
use certwright::{
    api::condition::{self, ConditionStatus, kind},
    pki::{certificate::CertificateFacts, key::PrivateKey},
};
use futures::future::try_join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{ResourceExt, api::DeleteParams};
use serde_json::json;
use testbed::{Bed, process::wait::until};

use crate::desk::{Desk, SOON};

const OWNER: &str = "--enable-certificate-owner-ref=true";

/// Of two Certificates that name one Secret, the one that has it keeps it, and the other is told.
/// It gets the Secret once the first one has gone, or one of its own when it asks for that.
pub(crate) async fn two_want_one_secret(bed: &Bed) -> Result<()> {
    let desk = Desk::new(bed, "sharing").await?;
    let shared = json!({"secretName": "shared"});
    desk.ask("first", "ca", shared.clone()).await?;
    let secret = desk.issued("first", 1).await?;
    // By name and by issuer it would come first.
    desk.ask("earlier", "itself", shared.clone()).await?;
    let told = "Secret \"shared\" belongs to Certificate \"first\"; name another Secret in \
                spec.secretName";
    let is_told = async |generation| {
        desk.condition("earlier", kind::READY, |ready| {
            ready.status == ConditionStatus::False
                && ready.reason.as_deref() == Some("IncorrectCertificate")
                && ready.message.as_deref() == Some(told)
                && ready.observed_generation == Some(generation)
        })
        .await
    };
    let status = is_told(1).await?;
    ensure!(
        status.revision.is_none() && status.not_after.is_none(),
        "{status:?}"
    );
    ensure!(desk.next_key("earlier").await?.is_none());
    ensure!(desk.requests().get_opt("earlier-1").await?.is_none());

    let own = json!({"spec": {"secretName": "own"}});
    desk.change("earlier", own).await?;
    desk.issued("earlier", 1).await?;
    desk.change("earlier", json!({"spec": shared})).await?;
    is_told(3).await?;
    let kept = desk.secrets().get("shared").await?;
    ensure!(
        kept.resource_version() == secret.resource_version(),
        "{:?}",
        kept.metadata
    );
    desk.issued("first", 1).await?;

    let certificates = desk.certificates();
    certificates
        .delete("first", &DeleteParams::default())
        .await?;
    let taken = desk.issued("earlier", 2).await?;
    ensure!(taken.uid() == secret.uid(), "another Secret");
    let annotation = |key: &str| taken.annotations().get(&format!("cert-manager.io/{key}"));
    ensure!(annotation("certificate-name").is_some_and(|name| name == "earlier"));
    ensure!(annotation("issuer-name").is_some_and(|name| name == "itself"));
    Ok(())
}

/// Of several that come at the same moment one has the Secret in the end, whole, and the others say
/// whose it is.
pub(crate) async fn many_at_once_agree(bed: &Bed) -> Result<()> {
    let desk = Desk::new(bed, "at-once").await?;
    let all: Vec<(String, String)> = (0..5)
        .flat_map(|secret| {
            // Those that come first are not those that would have it by their names.
            let names = ["c", "b", "a"].into_iter();
            names.map(move |name| (format!("shared-{secret}"), format!("{name}-{secret}")))
        })
        .collect();
    let asked = all.iter().zip(["ca", "itself"].into_iter().cycle());
    try_join_all(asked.map(async |((secret, name), issuer)| {
        desk.ask(name, issuer, json!({"secretName": secret})).await
    }))
    .await?;
    for secret in all.chunks(3) {
        until("they agree", SOON, async || is_agreed(&desk, secret).await).await?;
    }
    Ok(())
}

/// Whether the Certificates, each with the Secret that it names, agree whose that is.
async fn is_agreed(desk: &Desk, all: &[(String, String)]) -> Result<()> {
    let (secret, _) = all.first().context("no Certificate")?;
    let found = desk.secrets().get(secret).await?;
    let owner = &found.annotations()["cert-manager.io/certificate-name"];
    for (_, name) in all {
        let status = desk.certificates().get(name).await?.status;
        let status = status.context("no status")?;
        let conditions = status.conditions.as_ref();
        let ready = condition::find(conditions, kind::READY).context("no Ready")?;
        let message = ready.message.as_deref().unwrap_or_default();
        if name == owner {
            ensure!(ready.status == ConditionStatus::True, "{name}: {ready:?}");
        } else {
            let told = format!("belongs to Certificate {owner:?}");
            ensure!(message.contains(&told), "{name}: {ready:?}");
        }
        ensure!(condition::find(conditions, kind::ISSUING).is_none());
        ensure!(
            desk.next_key(name).await?.is_none(),
            "{name}: a key is left"
        );
    }
    let data = found.data.as_ref().context("empty")?;
    let key = PrivateKey::from_pem(&data["tls.key"].0)?;
    let leaf = CertificateFacts::from_pem(&data["tls.crt"].0)?;
    ensure!(key.public_key_hash()? == leaf.public_key);
    ensure!(leaf.subject.common_name == *owner);
    Ok(())
}

/// While a Certificate waits for what it owns to be deleted, nothing of it is made or written anew.
pub(crate) async fn a_deletion_in_the_foreground_is_not_disturbed(bed: &Bed) -> Result<()> {
    let desk = Desk::new(bed, "foreground").await?;
    desk.ask("web", "ca", json!({})).await?;
    desk.issued("web", 1).await?;
    // Somebody else has not finished with it.
    let held = json!({"metadata": {"finalizers": ["example.com/held"]}});
    desk.change("web", held).await?;
    let certificates = desk.certificates();
    certificates
        .delete("web", &DeleteParams::foreground())
        .await?;
    until("what it owned is gone", SOON, async || {
        let web = certificates.get("web").await?;
        ensure!(web.finalizers() == ["example.com/held"], "{web:?}");
        ensure!(desk.requests().get_opt("web-1").await?.is_none());
        Ok(())
    })
    .await?;
    desk.secrets()
        .delete("web", &DeleteParams::default())
        .await?;
    let changed = json!({"spec": {"commonName": "changed"}});
    let web = desk.change("web", changed).await?;

    // What is asked for later has been looked at later.
    for name in ["later", "latest"] {
        desk.ask(name, "ca", json!({})).await?;
        desk.issued(name, 1).await?;
    }
    let now = certificates.get("web").await?;
    ensure!(now.resource_version() == web.resource_version(), "{now:?}");
    ensure!(desk.requests().get_opt("web-1").await?.is_none());
    ensure!(desk.requests().get_opt("web-2").await?.is_none());
    ensure!(desk.secrets().get_opt("web").await?.is_none());
    ensure!(desk.next_key("web").await?.is_none());

    desk.change("web", json!({"metadata": {"finalizers": null}}))
        .await?;
    until("it is gone", SOON, async || {
        ensure!(certificates.get_opt("web").await?.is_none());
        Ok(())
    })
    .await?;
    // Its name is free.
    desk.ask("web", "ca", json!({})).await?;
    desk.issued("web", 1).await?;
    Ok(())
}

/// The flag makes the Certificate the owner of its Secret, new or not, and without it the Secret is let
/// go; nothing is issued for that. What is owned goes with its owner, and what is not stays.
pub(crate) async fn the_owner_goes_by_the_flag(bed: &Bed) -> Result<()> {
    let desk = Desk::new(bed, "owner").await?;
    let with = desk.operator(bed, "owner-1", &[OWNER]).await?;
    desk.ask("web", "ca", json!({})).await?;
    let first = desk.issued("web", 1).await?;
    let web = desk.certificates().get("web").await?;
    let owner = OwnerReference {
        api_version: "cert-manager.io/v1".to_owned(),
        kind: "Certificate".to_owned(),
        name: "web".to_owned(),
        uid: web.uid().context("no uid")?,
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    ensure!(
        first.owner_references() == [owner.clone()],
        "{:?}",
        first.metadata
    );
    ensure!(with.stop().await?.success());

    let without = desk.operator(bed, "owner-2", &[]).await?;
    desk.ask("kept", "ca", json!({})).await?;
    desk.issued("kept", 1).await?;
    let owned_by = async |name: &str, wanted: &[OwnerReference]| {
        until("the owner", SOON, async || {
            let secret = desk.secrets().get(name).await?;
            let found = secret.owner_references();
            ensure!(found == wanted, "{name}: {found:?}");
            Ok(secret)
        })
        .await
    };
    owned_by("kept", &[]).await?;
    let free = owned_by("web", &[]).await?;
    ensure!(free.data == first.data, "other data");
    let certificates = desk.certificates();
    certificates
        .delete("kept", &DeleteParams::default())
        .await?;
    ensure!(without.stop().await?.success());

    let with = desk.operator(bed, "owner-3", &[OWNER]).await?;
    let again = owned_by("web", &[owner]).await?;
    ensure!(again.data == first.data, "other data");
    ensure!(desk.issued("web", 1).await?.uid() == first.uid());
    certificates.delete("web", &DeleteParams::default()).await?;
    until("the Secret goes", SOON, async || {
        ensure!(desk.secrets().get_opt("web").await?.is_none());
        Ok(())
    })
    .await?;
    ensure!(desk.secrets().get_opt("kept").await?.is_some());
    ensure!(with.stop().await?.success());
    Ok(())
}
