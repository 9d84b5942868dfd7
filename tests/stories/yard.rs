//! Where does a story of certificates play that nobody can revoke?

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use certwright::api::{
    certificate::Certificate,
    issuance::{Issuance, IssuanceState},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use serde_json::{Value, json};
use testbed::{
    Bed,
    namespace::Namespace,
    operator::{Operator, OperatorOptions},
    process::{tail, wait::until},
};

use crate::{
    register::{OPERATORS, issuer},
    site::SOON,
};

/// A namespace with issuers of whom nobody is told that something is revoked.
pub(crate) struct Yard<'a> {
    bed: &'a Bed,
    pub(crate) namespace: Namespace,
}

impl<'a> Yard<'a> {
    pub(crate) async fn new(bed: &'a Bed, name: &str) -> Result<Self> {
        let namespace = bed.namespace(name).await?;
        // The operator of the test bed retains.
        let itself = json!({"selfSigned": {}, "deletionPolicy": "Revoke"});
        let quiet = json!({"selfSigned": {}, "deletionPolicy": "Retain"});
        namespace
            .apply_all(&[
                issuer("Issuer", "itself", itself),
                issuer("Issuer", "quiet", quiet),
                issuer("Issuer", "ca", json!({"ca": {"secretName": "root"}})),
            ])
            .await?;
        let yard = Self { bed, namespace };
        let usages = ["cert sign", "crl sign"];
        let root = json!({"isCA": true, "commonName": "Root", "usages": usages});
        yard.ask("root", "itself", root).await?;
        Ok(yard)
    }

    /// An operator for this namespace alone.
    pub(crate) async fn operator(&self, args: &[&str]) -> Result<Operator> {
        let own = ["--leader-elect=false"];
        self.start("operator", &[&own, args].concat()).await
    }

    /// One of several, that takes over quickly.
    pub(crate) async fn replica(&self, name: &str) -> Result<Operator> {
        let args = [
            "--deletion-delay=1s",
            "--leader-election-lease-duration=4s",
            "--leader-election-renew-deadline=3s",
            "--leader-election-retry-period=1s",
        ];
        self.start(name, &args).await
    }

    async fn start(&self, name: &str, args: &[&str]) -> Result<Operator> {
        let only = format!("--namespace={}", self.namespace.name());
        let args = args.iter().copied().chain([&*only]);
        let options = OperatorOptions {
            name: format!("{name}-{}", self.namespace.name()),
            args: args.map(str::to_owned).collect(),
            ..OperatorOptions::default()
        };
        self.bed.operator(&options).await
    }

    pub(crate) async fn ask(&self, name: &str, from: &str, spec: Value) -> Result<()> {
        let mut all = json!({
            "dnsNames": [format!("{name}.example")], "secretName": name,
            "issuerRef": {"name": from}, "privateKey": {"algorithm": "ECDSA"},
        });
        for (field, value) in spec.as_object().context("no spec")? {
            all[field] = value.clone();
        }
        let certificate = json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
            "metadata": {"name": name}, "spec": all,
        });
        self.namespace.apply_all(&[certificate]).await
    }

    pub(crate) async fn issued(&self, name: &str, from: &str, spec: Value) -> Result<()> {
        self.ask(name, from, spec).await?;
        self.namespace.ready(name, SOON).await?;
        Ok(())
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<()> {
        let certificates: Api<Certificate> = self.namespace.api();
        certificates.delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    pub(crate) async fn has_secret(&self, name: &str) -> Result<bool> {
        let secrets: Api<Secret> = self.namespace.api();
        Ok(secrets.get_opt(name).await?.is_some())
    }

    pub(crate) async fn secret_goes(&self, name: &str, operator: &Operator) -> Result<()> {
        let gone = until("the Secret to go", SOON, async || {
            ensure!(!self.has_secret(name).await?, "{name} stands");
            Ok(())
        });
        gone.await.with_context(|| tail(&operator.log()))
    }

    pub(crate) fn issuances(&self) -> Api<Issuance> {
        Api::namespaced(self.bed.client().clone(), OPERATORS)
    }

    /// The records of what was issued here, by the name of the Certificate.
    pub(crate) async fn records(&self) -> Result<BTreeMap<String, Issuance>> {
        let here = format!("spec.certificateRef.namespace={}", self.namespace.name());
        let all = self.issuances();
        let all = all.list(&ListParams::default().fields(&here)).await?;
        let by_name = |one: Issuance| (one.spec.certificate_ref.name.clone(), one);
        Ok(all.into_iter().map(by_name).collect())
    }

    pub(crate) async fn becomes(
        &self,
        name: &str,
        state: IssuanceState,
        operator: &Operator,
    ) -> Result<Issuance> {
        let found = until(state.as_str(), SOON * 2, async || {
            let record = self.records().await?.remove(name);
            let record = record.with_context(|| format!("no record of {name}"))?;
            let status = record.status.clone().unwrap_or_default();
            ensure!(status.state == Some(state), "{status:?}");
            Ok(record)
        });
        found.await.with_context(|| tail(&operator.log()))
    }
}
