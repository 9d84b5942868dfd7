//! Is nothing signed that somebody denied, whoever approves the rest?

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use certwright::{
    api::{
        condition::{self, Condition, ConditionStatus, RequestCondition, kind},
        request::{CertificateRequest, CertificateRequestStatus},
    },
    pki::key::{KeyAlgorithm, KeyEncoding, KeyParameters, PrivateKey},
};
use futures::TryStreamExt;
use k8s_openapi::{ByteString, api::rbac::v1::ClusterRoleBinding};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::{
        WatchStreamExt,
        watcher::{self, watcher},
    },
};
use serde_json::{Value, json};
use testbed::{
    Bed,
    operator::OperatorOptions,
    process::{tail, wait::until},
};

use crate::{
    by_hand::request,
    desk::{Desk, POLICY, SAID, SOON},
};

pub(crate) const ISSUERS: [&str; 2] = ["ca", "itself"];

/// A request that was denied before anybody looked at it is never signed: not by an operator that
/// approves all, nor by the next one, and nobody can approve it any more.
pub(crate) async fn what_is_denied_is_never_signed(bed: &Bed) -> Result<()> {
    let desk = Desk::new(bed, "denied").await?;
    let key = PrivateKey::generate(KeyParameters::new(KeyAlgorithm::Ecdsa, None)?)?;
    let pem = key.to_pem(KeyEncoding::Pkcs8)?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"},
        "data": {"tls.key": ByteString(pem.as_bytes().to_vec())},
    });
    let annotation = json!({"cert-manager.io/private-key-secret-name": "key"});
    let asked = |name: &str, issuer| request(name, issuer, &key, annotation.clone());
    desk.namespace.apply_all(&[secret]).await?;
    for issuer in ISSUERS {
        desk.namespace.apply_all(&[asked(issuer, issuer)?]).await?;
        desk.decide(issuer, kind::DENIED).await?;
    }

    let first = desk.operator(bed, "denied-1", &[]).await?;
    let mut versions = BTreeMap::new();
    for issuer in ISSUERS {
        let status = desk.becomes(issuer, "Denied").await?;
        ensure!(status.failure_time.is_some(), "{status:?}");
        is_unsigned(&status)?;
        versions.insert(
            issuer,
            desk.requests().get(issuer).await?.resource_version(),
        );
        let refused = approve_too(&desk, issuer).await;
        ensure!(
            refused
                .as_ref()
                .is_err_and(|error| error.contains("'Approved'")),
            "{refused:?}"
        );
    }
    ensure!(first.stop().await?.success());

    let second = desk.operator(bed, "denied-2", &[]).await?;
    for issuer in ISSUERS {
        let later = format!("later-{issuer}");
        desk.namespace.apply_all(&[asked(&later, issuer)?]).await?;
        let status = desk.becomes(&later, "Issued").await?;
        ensure!(status.certificate.is_some(), "{status:?}");
        let now = desk.requests().get(issuer).await?;
        ensure!(now.resource_version() == versions[issuer], "{now:?}");
    }
    ensure!(second.stop().await?.success());
    Ok(())
}

/// An approver that is quicker than ours, while a certificate is issued at once: its denial counts,
/// the failure is told in its words, and the next try is a new request.
pub(crate) async fn a_denial_in_between_counts(bed: &Bed) -> Result<()> {
    let desk = Desk::new(bed, "between").await?;
    let operator = desk.operator(bed, "between", &[]).await?;
    // Not approved for want of a right, so that there is a between.
    let taken = take_right_to_approve(bed).await?;
    let denied = async {
        may_approve(bed, false).await?;
        for issuer in ISSUERS {
            let name = &format!("web-{issuer}");
            desk.ask(name, issuer, json!({})).await?;
            desk.namespace.says(name, "approv", SOON).await?;
            let request = format!("{name}-1");
            let found = desk.decide(&request, kind::DENIED).await?;
            desk.failed_by_policy(name).await?;
            is_unsigned(&desk.becomes(&request, "Denied").await?)?;
            ensure!(desk.secrets().get_opt(name).await?.is_none());
            ensure!(desk.next_key(name).await?.is_none());
            let now = desk.requests().get(&request).await?;
            ensure!(now.uid() == found.uid(), "another request");
        }
        Ok(())
    };
    let denied = denied.await;
    bed.apply_all(&[taken]).await?;
    may_approve(bed, true).await?;
    denied.with_context(|| tail(&operator.log()))?;
    for issuer in ISSUERS {
        let name = &format!("web-{issuer}");
        let request = format!("{name}-1");
        let denied = desk.requests().get(&request).await?.uid();
        // Times are whole seconds: what is asked for in the second of the failure is the same try.
        until("another request", SOON, async || {
            let now = desk.requests().get(&request).await?;
            if now.uid() == denied {
                desk.renew(name).await?;
                bail!("still the denied one");
            }
            Ok(())
        })
        .await?;
        desk.issued(name, 1).await?;
    }
    ensure!(operator.stop().await?.success());
    Ok(())
}

/// A denial counts too where the operator ends before it has seen it, and the key of the request
/// with it: there is no new request that nobody has denied.
pub(crate) async fn a_denial_outlives_the_operator(bed: &Bed) -> Result<()> {
    let desk = Desk::new(bed, "outlived").await?;
    // What issuers write is no part of it.
    let first = desk.operator(bed, "outlived-0", &[]).await?;
    desk.ask("first", "ca", json!({})).await?;
    desk.issued("first", 1).await?;
    ensure!(first.stop().await?.success());
    desk.ask("web", "ca", json!({})).await?;
    // Before it would approve and sign, in one write.
    let options = OperatorOptions {
        wait: false,
        ..desk.options("outlived-1", &["--fault-point=2"])
    };
    let mut killed = bed.operator(&options).await?;
    killed.wait(SOON).await?;
    let found = desk.requests().get("web-1").await?;
    ensure!(found.status.is_none(), "{:?}", found.status);
    desk.decide("web-1", kind::DENIED).await?;

    let second = desk.operator(bed, "outlived-2", &[]).await?;
    desk.failed_by_policy("web").await?;
    is_unsigned(&desk.becomes("web-1", "Denied").await?)?;
    let now = desk.requests().get("web-1").await?;
    ensure!(now.uid() == found.uid(), "another request");
    ensure!(desk.secrets().get_opt("web").await?.is_none());
    ensure!(second.stop().await?.success());
    Ok(())
}

/// Takes the right to approve from the operator; what would give it back.
async fn take_right_to_approve(bed: &Bed) -> Result<Value> {
    let release = bed.install_chart(&Value::Null).await?;
    let mut objects = release.objects().iter();
    let binding = objects.find(|object| {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        object["kind"] == "ClusterRoleBinding" && name.contains("-approve:")
    });
    let binding = binding
        .context("nothing gives the right to approve")?
        .clone();
    let name = binding["metadata"]["name"].as_str().context("no name")?;
    let bindings: Api<ClusterRoleBinding> = Api::all(bed.client().clone());
    bindings.delete(name, &DeleteParams::default()).await?;
    Ok(binding)
}

/// Waits until the API server goes by what the operator may: it takes a while to know of new policies
/// and rights.
async fn may_approve(bed: &Bed, wanted: bool) -> Result<()> {
    let elsewhere = bed.namespace("between-probe").await?;
    let key = PrivateKey::generate(KeyParameters::new(KeyAlgorithm::Ecdsa, None)?)?;
    let probe = request("probe", "ca", &key, json!({}))?;
    elsewhere.apply_all(&[probe]).await?;
    let client = bed.operator_access().await?.client().await?;
    let requests: Api<CertificateRequest> = Api::namespaced(client, elsewhere.name());
    let approved = RequestCondition::new(kind::APPROVED, true, POLICY, SAID);
    let patch = Patch::Merge(json!({"status": {"conditions": [approved]}}));
    let params = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    until("the right to approve", SOON, async || {
        let answer = requests.patch_status("probe", &params, &patch).await;
        ensure!(answer.is_ok() == wanted, "{:?}", answer.err());
        Ok(())
    })
    .await
}

/// While an approver denies all that it sees, each request is either approved and signed or denied
/// and not, whoever was first; and the Certificate says the same.
pub(crate) async fn who_decides_first_has_decided(bed: &Bed) -> Result<()> {
    let desk = Desk::new(bed, "race").await?;
    desk.ask("first", "ca", json!({})).await?;
    desk.issued("first", 1).await?;
    let changes = watcher(desk.requests(), watcher::Config::default()).default_backoff();
    let denying = changes
        .applied_objects()
        .map_err(anyhow::Error::from)
        .try_for_each_concurrent(None, async |request| {
            if request.status.is_none() {
                // Refused where it was approved in the meantime.
                let _ = desk.decide(&request.name_any(), kind::DENIED).await;
            }
            Ok(())
        });
    let names: Vec<String> = (0..12).map(|number| format!("web-{number}")).collect();
    let deciding = async {
        for (name, issuer) in names.iter().zip(ISSUERS.into_iter().cycle()) {
            desk.ask(name, issuer, json!({})).await?;
        }
        for name in &names {
            let is_decided = |condition: &Condition| match condition.type_.as_str() {
                kind::READY => condition.status == ConditionStatus::True,
                _ => condition.status == ConditionStatus::False,
            };
            until("a decision", SOON, async || {
                let status = desk.certificates().get(name).await?.status;
                let conditions = status.and_then(|status| status.conditions);
                let decided = conditions.into_iter().flatten().any(|one| is_decided(&one));
                ensure!(decided, "{name} is under way");
                Ok(())
            })
            .await?;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        ended = denying => ended.context("the watch ended")?,
        decided = deciding => decided?,
    }
    for name in &names {
        let status = desk.requests().get(&format!("{name}-1")).await?.status;
        let status = status.context("no status")?;
        let secret = desk.secrets().get_opt(name).await?;
        let is = |type_| condition::is_true(status.conditions.as_ref(), type_);
        match (is(kind::APPROVED), is(kind::DENIED)) {
            (true, false) => ensure!(status.certificate.is_some() && secret.is_some()),
            (false, true) => ensure!(status.certificate.is_none() && secret.is_none()),
            both => ensure!(false, "{name}: {both:?}"),
        }
    }
    Ok(())
}

/// Adds an approval beside the denial; what the API server says to that.
async fn approve_too(desk: &Desk, request: &str) -> Result<(), String> {
    let told = |error: kube::Error| error.to_string();
    let found = desk.requests().get(request).await.map_err(told)?;
    let mut with_both: Value = serde_json::to_value(found).map_err(|error| error.to_string())?;
    if let Some(conditions) = with_both["status"]["conditions"].as_array_mut() {
        conditions.push(json!({
            "type": kind::APPROVED, "status": "True", "reason": POLICY, "message": SAID,
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }));
    }
    let with_both = serde_json::from_value(with_both).map_err(|error| error.to_string())?;
    let requests = desk.requests();
    let params = PostParams::default();
    let written = requests.replace_status(request, &params, &with_both).await;
    written.map(drop).map_err(told)
}

/// A request of an issuer of another group is approved where the operator may do that, and left to
/// its own controller.
pub(crate) async fn other_groups_are_approved_and_left(bed: &Bed) -> Result<()> {
    let desk = Desk::new(bed, "other-group").await?;
    let name = desk.namespace.name();
    let account = bed.operator_user()?;
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [{
            "apiGroups": ["cert-manager.io"], "resources": ["signers"], "verbs": ["approve"],
            "resourceNames": ["storageclasses.storage.k8s.io/*"],
        }],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{
            "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": account,
        }],
    });
    bed.apply_all(&[role, binding]).await?;
    let key = PrivateKey::generate(KeyParameters::new(KeyAlgorithm::Ecdsa, None)?)?;
    let mut asked = request("theirs", "ca", &key, json!({}))?;
    // Any kind that the API server has serves as an issuer of another group.
    asked["spec"]["issuerRef"] =
        json!({"name": "ca", "group": "storage.k8s.io", "kind": "StorageClass"});
    desk.namespace.apply_all(&[asked]).await?;
    until("its approval", SOON, async || {
        let status = desk.requests().get("theirs").await?.status;
        let status = status.context("no status")?;
        ensure!(
            condition::is_true(status.conditions.as_ref(), kind::APPROVED),
            "{status:?}"
        );
        Ok(())
    })
    .await?;
    desk.ask("ours", "ca", json!({})).await?;
    desk.issued("ours", 1).await?;
    let status = desk.requests().get("theirs").await?.status;
    let status = status.context("no status")?;
    let conditions = status.conditions.unwrap_or_default();
    ensure!(
        conditions.len() == 1 && status.certificate.is_none(),
        "{conditions:?}"
    );
    Ok(())
}

pub(crate) fn is_unsigned(status: &CertificateRequestStatus) -> Result<()> {
    ensure!(
        status.certificate.is_none() && status.ca.is_none(),
        "{status:?}"
    );
    ensure!(!condition::is_true(
        status.conditions.as_ref(),
        kind::APPROVED
    ));
    Ok(())
}
