//! Where does a story of what is signed in the cluster play? A namespace with Issuer `ca`, a CA, and
//! Issuer `itself`, of what signs itself.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use certwright::api::{
    certificate::{Certificate, CertificateStatus},
    condition::{self, Condition, ConditionStatus, RequestCondition, kind},
    request::{CertificateRequest, CertificateRequestStatus},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use testbed::{
    Bed,
    namespace::Namespace,
    operator::{Operator, OperatorOptions},
    process::wait::until,
};

use crate::private_ca::{issuer, self_signed};

pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A namespace with these Issuers.
pub(crate) struct Desk {
    pub(crate) namespace: Namespace,
}

impl Desk {
    pub(crate) async fn new(bed: &Bed, name: &str) -> Result<Self> {
        let namespace = bed.namespace(name).await?;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ca"},
            "data": self_signed(name)?,
        });
        let spec = json!({"ca": {"secretName": "ca"}});
        namespace
            .apply_all(&[
                secret,
                issuer("Issuer", "ca", spec),
                issuer("Issuer", "itself", json!({"selfSigned": {}})),
            ])
            .await?;
        Ok(Self { namespace })
    }

    /// An operator for this namespace alone.
    pub(crate) async fn operator(&self, bed: &Bed, name: &str, args: &[&str]) -> Result<Operator> {
        bed.operator(&self.options(name, args)).await
    }

    pub(crate) fn options(&self, name: &str, args: &[&str]) -> OperatorOptions {
        let own = [
            format!("--namespace={}", self.namespace.name()),
            "--leader-elect=false".to_owned(),
        ];
        let args = args.iter().map(|arg| (*arg).to_owned());
        OperatorOptions {
            name: name.to_owned(),
            args: own.into_iter().chain(args).collect(),
            ..OperatorOptions::default()
        }
    }

    pub(crate) fn certificates(&self) -> Api<Certificate> {
        self.namespace.api()
    }

    pub(crate) fn requests(&self) -> Api<CertificateRequest> {
        self.namespace.api()
    }

    pub(crate) fn secrets(&self) -> Api<Secret> {
        self.namespace.api()
    }

    /// Ask for a Certificate of that Issuer, with `more` in its spec.
    pub(crate) async fn ask(&self, name: &str, issuer: &str, more: Value) -> Result<()> {
        let mut spec = json!({
            "secretName": name, "commonName": name, "issuerRef": {"name": issuer},
            "privateKey": {"algorithm": "ECDSA"},
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        let certificate = json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
            "metadata": {"name": name}, "spec": spec,
        });
        self.namespace.apply_all(&[certificate]).await
    }

    /// Change a Certificate.
    pub(crate) async fn change(&self, name: &str, patch: Value) -> Result<Certificate> {
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        Ok(self.certificates().patch(name, &params, &patch).await?)
    }

    /// Wait until the Certificate is ready and of that revision; its Secret.
    pub(crate) async fn issued(&self, name: &str, revision: i64) -> Result<Secret> {
        let found = until("the revision", SOON, async || {
            let found = self.certificates().get(name).await?;
            let status = found.status.unwrap_or_default();
            let ready = condition::find(status.conditions.as_ref(), kind::READY);
            let is_ready = ready.is_some_and(|ready| ready.status == ConditionStatus::True);
            ensure!(
                is_ready && status.revision == Some(revision),
                "{name}: {status:?}"
            );
            Ok(found.spec.secret_name)
        });
        Ok(self.secrets().get(&found.await?).await?)
    }

    /// Wait until a condition of a Certificate is like that.
    pub(crate) async fn condition(
        &self,
        name: &str,
        type_: &str,
        wanted: impl Fn(&Condition) -> bool,
    ) -> Result<CertificateStatus> {
        until(type_, SOON, async || {
            let status = self.certificates().get(name).await?.status;
            let status = status.context("no status")?;
            let found = condition::find(status.conditions.as_ref(), type_);
            ensure!(found.is_some_and(&wanted), "{name}: {found:?}");
            Ok(status)
        })
        .await
    }

    /// Wait until there is that request.
    pub(crate) async fn request(&self, name: &str) -> Result<CertificateRequest> {
        let found = until("the request", SOON, async || {
            Ok(self.requests().get(name).await?)
        });
        found.await.with_context(|| name.to_owned())
    }

    /// Approve or deny a request, as an approver of another kind does.
    pub(crate) async fn decide(&self, request: &str, type_: &str) -> Result<CertificateRequest> {
        let found = self.requests().get(request).await?;
        let status = found.status.unwrap_or_default();
        let mut conditions = status.conditions.unwrap_or_default();
        let decided = RequestCondition::new(type_, true, POLICY, SAID);
        condition::set(&mut conditions, decided, now());
        // Who has decided something else in the meantime is not overruled.
        let patch = Patch::Merge(json!({
            "metadata": {"resourceVersion": found.metadata.resource_version},
            "status": {"conditions": conditions},
        }));
        let params = PatchParams::default();
        let requests = self.requests();
        Ok(requests.patch_status(request, &params, &patch).await?)
    }

    /// Wait until the request has its Ready condition with that reason.
    pub(crate) async fn becomes(
        &self,
        request: &str,
        reason: &str,
    ) -> Result<CertificateRequestStatus> {
        until(reason, SOON, async || {
            let status = self.requests().get(request).await?.status;
            let status = status.context("no status")?;
            let ready = condition::find(status.conditions.as_ref(), kind::READY);
            let found = ready.and_then(|ready| ready.reason.as_deref());
            ensure!(found == Some(reason), "{request}: {ready:?}");
            Ok(status)
        })
        .await
    }

    /// Wait until the Certificate tells of the denial.
    pub(crate) async fn failed_by_policy(&self, certificate: &str) -> Result<()> {
        let told = self.condition(certificate, kind::ISSUING, |issuing| {
            let message = issuing.message.as_deref().unwrap_or_default();
            issuing.status == ConditionStatus::False
                && issuing.reason.as_deref() == Some(POLICY)
                && message.contains(SAID)
        });
        let status = told.await?;
        ensure!(status.failed_issuance_attempts == Some(1), "{status:?}");
        Ok(())
    }

    /// Ask for another issuance, as `cmctl renew` does.
    pub(crate) async fn renew(&self, certificate: &str) -> Result<()> {
        let found = self.certificates().get(certificate).await?;
        let status = found.status.unwrap_or_default();
        let mut conditions = status.conditions.unwrap_or_default();
        condition::remove(&mut conditions, kind::ISSUING);
        let issuing = Condition::new(
            kind::ISSUING,
            ConditionStatus::True,
            "ManuallyTriggered",
            "Certificate re-issuance manually triggered",
            found.metadata.generation,
        );
        condition::set(&mut conditions, issuing, now());
        let patch = Patch::Merge(json!({"status": {"conditions": conditions}}));
        let params = PatchParams::default();
        self.certificates()
            .patch_status(certificate, &params, &patch)
            .await?;
        Ok(())
    }

    /// The Secret with the key of an issuance of that Certificate that is under way.
    pub(crate) async fn next_key(&self, certificate: &str) -> Result<Option<Secret>> {
        let uid = self.certificates().get(certificate).await?.uid();
        let marked = ListParams::default().labels("cert-manager.io/next-private-key=true");
        let all = self.secrets().list(&marked).await?;
        Ok(all.into_iter().find(|secret| {
            let mut owners = secret.owner_references().iter();
            owners.any(|owner| Some(&owner.uid) == uid.as_ref())
        }))
    }
}

/// What approvers of another kind say.
pub(crate) const POLICY: &str = "policy.example.com";
/// In a sentence.
pub(crate) const SAID: &str = "as the policy has it";

pub(crate) fn now() -> jiff::Timestamp {
    certwright::cluster::Clock::default().now()
}
