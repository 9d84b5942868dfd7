//! Is nothing lost that waits for an approver, or for its issuer?

use anyhow::{Context, Result, ensure};
use certwright::{
    api::{
        condition::{self, ConditionStatus, kind},
        request::CertificateRequest,
    },
    pki::{certificate::CertificateFacts, key::PrivateKey},
};
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::{ResourceExt, api::ListParams};
use serde_json::json;
use testbed::{Bed, process::wait::until};

use crate::{
    approval::{ISSUERS, is_unsigned},
    desk::{Desk, SOON},
    private_ca::{issuer, self_signed},
};

/// Requests are approved by somebody else.
const NO_APPROVER: &str = "--controllers=*,-certificaterequests-approver";

/// With an approver of another kind alone, keys are stored and wait; another operator goes on with
/// the same keys and requests, and signs what is approved and nothing else.
pub(crate) async fn another_approver_is_waited_for(bed: &Bed) -> Result<()> {
    let desk = Desk::new(bed, "approver").await?;
    let first = desk.operator(bed, "approver-1", &[NO_APPROVER]).await?;
    let mut waiting = Vec::new();
    for issuer in ISSUERS {
        for decided in [kind::APPROVED, kind::DENIED] {
            let name = format!("{issuer}-{}", decided.to_lowercase());
            desk.ask(&name, issuer, json!({})).await?;
            let one = Waiting::of(&desk, &name).await?;
            ensure!(one.request.status.is_none(), "{:?}", one.request);
            waiting.push((issuer, decided, one));
        }
    }
    told(&desk, "WaitingForApproval").await?;
    first.kill().await?;

    let second = desk.operator(bed, "approver-2", &[NO_APPROVER]).await?;
    for (_, decided, one) in &waiting {
        let request = one.request.name_any();
        desk.decide(&request, decided).await?;
    }
    for (_, decided, one) in &waiting {
        if *decided == kind::APPROVED {
            one.is_issued(&desk).await?;
            continue;
        }
        desk.failed_by_policy(&one.name).await?;
        let status = desk.becomes(&one.request.name_any(), "Denied").await?;
        is_unsigned(&status)?;
        ensure!(desk.secrets().get_opt(&one.name).await?.is_none());
        ensure!(desk.next_key(&one.name).await?.is_none());
    }
    ensure!(second.stop().await?.success());
    Ok(())
}

/// A CA that comes later finds the key and the request that wait for it; who asked for it has a
/// temporary certificate until then.
pub(crate) async fn a_ca_that_comes_later_is_waited_for(bed: &Bed) -> Result<()> {
    let desk = Desk::new(bed, "later").await?;
    let later = issuer("Issuer", "later", json!({"ca": {"secretName": "ca-later"}}));
    desk.namespace.apply_all(&[later]).await?;
    for name in ["web", "early"] {
        desk.ask(name, "later", json!({})).await?;
    }
    let wanted = json!({"cert-manager.io/issue-temporary-certificate": "true"});
    desk.change("early", json!({"metadata": {"annotations": wanted}}))
        .await?;
    let (web, early) = (
        Waiting::of(&desk, "web").await?,
        Waiting::of(&desk, "early").await?,
    );
    let missing = "Secret \"ca-later\" not found";
    for name in ["web", "early"] {
        desk.namespace.says(name, missing, SOON).await?;
    }
    let temporary = until("a temporary certificate", SOON, async || {
        Ok(desk.secrets().get("early").await?)
    });
    let temporary = temporary.await?;
    let data = temporary.data.as_ref().context("empty")?;
    let leaf = CertificateFacts::from_pem(&data["tls.crt"].0)?;
    ensure!(leaf.issuer_common_name.as_deref() == Some("cert-manager.local"));
    ensure!(!data.contains_key("ca.crt"));
    ensure!(desk.secrets().get_opt("web").await?.is_none());
    ensure!(temporary.annotations()["cert-manager.io/certificate-name"] == "early");

    let ca = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ca-later"},
        "data": self_signed("later")?,
    });
    desk.namespace.apply_all(&[ca]).await?;
    web.is_issued(&desk).await?;
    early.is_issued(&desk).await?;
    let secret = desk.secrets().get("early").await?;
    ensure!(secret.uid() == temporary.uid(), "another Secret");
    let leaf = CertificateFacts::from_pem(&secret.data.context("empty")?["tls.crt"].0)?;
    ensure!(leaf.issuer_common_name.as_deref() == Some("later"));
    Ok(())
}

/// A Certificate whose key and request wait for somebody.
struct Waiting {
    name: String,
    key: Secret,
    request: CertificateRequest,
}

impl Waiting {
    async fn of(desk: &Desk, name: &str) -> Result<Self> {
        let status = desk
            .condition(name, kind::ISSUING, |issuing| {
                issuing.status == ConditionStatus::True
            })
            .await?;
        let request = desk.request(&format!("{name}-1")).await?;
        let key = desk.next_key(name).await?.context("no key is stored")?;
        ensure!(status.next_private_key_secret_name == Some(key.name_any()));
        Ok(Self {
            name: name.to_owned(),
            key,
            request,
        })
    }

    /// Issued for the same key, by the same request, and nothing is left of the way.
    async fn is_issued(&self, desk: &Desk) -> Result<()> {
        let Self { name, key, request } = self;
        let secret = desk.issued(name, 1).await?;
        let key_of = |secret: &Secret| -> Result<_> {
            let data = secret.data.as_ref().context("empty")?;
            Ok(PrivateKey::from_pem(&data["tls.key"].0)?.public_key_hash()?)
        };
        ensure!(key_of(&secret)? == key_of(key)?, "{name}: another key");
        let now = desk.requests().get(&request.name_any()).await?;
        ensure!(now.uid() == request.uid(), "{name}: another request");
        until("no key is left", SOON, async || {
            ensure!(desk.next_key(name).await?.is_none());
            let status = desk.certificates().get(name).await?.status;
            let status = status.context("no status")?;
            ensure!(status.next_private_key_secret_name.is_none(), "{status:?}");
            ensure!(
                condition::find(status.conditions.as_ref(), kind::ISSUING).is_none(),
                "{status:?}"
            );
            Ok(())
        })
        .await
    }
}

/// Wait for an event with that reason on a request.
async fn told(desk: &Desk, reason: &str) -> Result<()> {
    until(reason, SOON, async || {
        let events = desk.namespace.api::<Event>();
        let events = events.list(&ListParams::default()).await?;
        let told = |event: &Event| event.reason.as_deref() == Some(reason);
        ensure!(events.iter().any(told), "{} events", events.items.len());
        Ok(())
    })
    .await
}
