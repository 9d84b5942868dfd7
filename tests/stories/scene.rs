//! Where does a story of what is no longer wanted play? A site, an operator, and records.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use certwright::api::{
    certificate::Certificate,
    issuance::{Issuance, IssuanceState},
};
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use testbed::{
    Bed,
    acme::PebbleOptions,
    bed::ZONE,
    operator::{Operator, OperatorOptions},
    process::{tail, wait::until},
};

use crate::site::{Issued, SOON, Site};

/// Where the operator of the test bed keeps its records.
const RECORDS: &str = "certwright";

/// A site whose names are proven by DNS, and the records of what is issued there.
pub(crate) struct Scene<'a> {
    pub(crate) site: Site<'a>,
    name: String,
}

impl<'a> Scene<'a> {
    pub(crate) async fn new(bed: &'a Bed, name: &str) -> Result<Self> {
        let options = PebbleOptions {
            rejected_nonces: 0,
            ..PebbleOptions::default()
        };
        let solvers = json!([{ "dns01": bed.dns01("tsig") }]);
        Ok(Self {
            site: Site::with(bed, name, &options, solvers).await?,
            name: name.to_owned(),
        })
    }

    /// An operator for this namespace alone.
    pub(crate) async fn operator(&self, args: &[&str]) -> Result<Operator> {
        let only = format!("--namespace={}", self.site.namespace.name());
        let args: Vec<&str> = args.iter().copied().chain([&*only]).collect();
        self.wide_operator(&args).await
    }

    /// An operator for every namespace, to which no other story has left any records.
    pub(crate) async fn wide_operator(&self, args: &[&str]) -> Result<Operator> {
        let elsewhere = format!(
            "spec.certificateRef.namespace!={}",
            self.site.namespace.name()
        );
        let elsewhere = ListParams::default().fields(&elsewhere);
        self.records()
            .delete_collection(&DeleteParams::default(), &elsewhere)
            .await?;
        let options = OperatorOptions {
            name: format!("operator-{}", self.name),
            args: args
                .iter()
                .copied()
                .chain(["--leader-elect=false"])
                .map(str::to_owned)
                .collect(),
            ..OperatorOptions::default()
        };
        self.site.bed.operator(&options).await
    }

    /// The host that the Certificate `name` is for.
    pub(crate) fn host(&self, name: &str) -> String {
        format!("{name}.{}.{ZONE}", self.site.namespace.name())
    }

    /// Ask for a Certificate of the host of its name, with this in its spec.
    pub(crate) async fn ask(&self, name: &str, spec: Value) -> Result<()> {
        let mut all = json!({
            "dnsNames": [self.host(name)],
            "privateKey": {"algorithm": "ECDSA"},
            "deletionPolicy": "Revoke",
        });
        let all = all.as_object_mut().context("no spec")?;
        for (field, value) in spec.as_object().context("no spec")? {
            match value {
                Value::Null => all.remove(field),
                value => all.insert(field.clone(), value.clone()),
            };
        }
        let all = Value::Object(all.clone());
        self.site.ask_for(name, all).await
    }

    /// Ask for one to be revoked when it goes, and wait until it is issued.
    pub(crate) async fn issued(&self, name: &str) -> Result<Issued> {
        self.ask(name, json!({})).await?;
        self.site.issued(name, &[&self.host(name)]).await
    }

    pub(crate) async fn delete(&self, certificate: &str) -> Result<()> {
        let api: Api<Certificate> = self.site.api();
        api.delete(certificate, &DeleteParams::default()).await?;
        Ok(())
    }

    /// The records of all namespaces.
    pub(crate) fn records(&self) -> Api<Issuance> {
        Api::namespaced(self.site.bed.client().clone(), RECORDS)
    }

    /// The Secrets beside the records.
    pub(crate) fn secrets_of_operator(&self) -> Api<Secret> {
        Api::namespaced(self.site.bed.client().clone(), RECORDS)
    }

    /// The records of what was issued for Certificates here, by serial.
    pub(crate) async fn all(&self) -> Result<BTreeMap<String, Issuance>> {
        let here = format!(
            "spec.certificateRef.namespace={}",
            self.site.namespace.name()
        );
        let list = ListParams::default().fields(&here);
        let all = self.records().list(&list).await?;
        let by_serial = |one: Issuance| (one.spec.serial.clone(), one);
        Ok(all.into_iter().map(by_serial).collect())
    }

    /// The record of that certificate.
    pub(crate) async fn record(&self, serial: &str) -> Result<Issuance> {
        let mut all = self.all().await?;
        all.remove(serial)
            .with_context(|| format!("no record of {serial}"))
    }

    /// Wait until the record of that certificate is in this state.
    pub(crate) async fn becomes(
        &self,
        serial: &str,
        state: IssuanceState,
        operator: &Operator,
    ) -> Result<Issuance> {
        let found = until(state.as_str(), SOON * 2, async || {
            let record = self.record(serial).await?;
            let status = record.status.clone().unwrap_or_default();
            ensure!(status.state == Some(state), "{status:?}");
            Ok(record)
        })
        .await;
        found.with_context(|| tail(&operator.log()))
    }

    /// What the CA says of it: `Valid`, or the number of the reason.
    pub(crate) async fn at_ca(&self, serial: &str) -> Result<String> {
        let status = self.site.pebble.certificate_status(serial).await?;
        Ok(match status["Status"].as_str() {
            Some("Revoked") => status["Reason"].to_string(),
            other => other.unwrap_or_default().to_owned(),
        })
    }

    /// Wait until there is no such Secret.
    pub(crate) async fn secret_goes(&self, name: &str) -> Result<()> {
        let secrets: Api<Secret> = self.site.api();
        until("the Secret to go", SOON, async || {
            ensure!(secrets.get_opt(name).await?.is_none(), "{name} stands");
            Ok(())
        })
        .await
    }

    pub(crate) async fn has_secret(&self, name: &str) -> Result<bool> {
        let secrets: Api<Secret> = self.site.api();
        Ok(secrets.get_opt(name).await?.is_some())
    }

    /// Annotate a Certificate; `None` takes the annotation away.
    pub(crate) async fn annotate(&self, name: &str, key: &str, value: Option<&str>) -> Result<()> {
        let api: Api<Certificate> = self.site.api();
        let patch = json!({"metadata": {"annotations": {key: value}}});
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    /// Wait for an event here that begins so.
    pub(crate) async fn told(&self, reason: &str, text: &str) -> Result<()> {
        let events: Api<Event> = self.site.api();
        until("the event", SOON, async || {
            let all = events.list(&ListParams::default()).await?;
            let told = all.iter().any(|event| {
                event.reason.as_deref() == Some(reason)
                    && event
                        .note
                        .as_ref()
                        .is_some_and(|note| note.starts_with(text))
            });
            ensure!(told, "{} events, none of them this one", all.items.len());
            Ok(())
        })
        .await
    }

    /// Let a record go on.
    pub(crate) async fn confirm(&self, record: &Issuance) -> Result<()> {
        let patch = json!({"metadata": {"annotations": {"certwright.io/confirm": "true"}}});
        let (name, patch) = (record.name_any(), Patch::Merge(patch));
        self.records()
            .patch(&name, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }
}
