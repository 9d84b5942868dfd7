//! Where does a story of lists of revoked certificates play? A CA of its own, an operator that serves
//! the lists, and what it keeps of them.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use certwright::{
    api::{
        certificate::Certificate,
        issuance::{Issuance, IssuanceState},
        issuer::IssuerStatus,
    },
    pki::{
        authority::Authority,
        certificate::CertificateFacts,
        crl::{RevocationList, SerialNumber, is_signed_by},
    },
};
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use testbed::{
    Bed,
    namespace::Namespace,
    operator::{Operator, OperatorOptions},
    process::{ports, tail, wait::until},
};

use crate::site::SOON;

/// Where the operator of the test bed keeps its records, and the Secrets of ClusterIssuers.
pub(crate) const OPERATORS: &str = "certwright";

/// A namespace with a CA that may sign lists, and Issuer `ca` of it.
pub(crate) struct Register<'a> {
    pub(crate) bed: &'a Bed,
    pub(crate) namespace: Namespace,
    /// Where lists are served.
    pub(crate) address: SocketAddr,
}

impl<'a> Register<'a> {
    pub(crate) async fn new(bed: &'a Bed, name: &str, usages: &[&str]) -> Result<Self> {
        let register = Self {
            bed,
            namespace: bed.namespace(name).await?,
            address: (Ipv4Addr::LOCALHOST, ports::free()?).into(),
        };
        let url = register.url(&register.path());
        register
            .namespace
            .apply_all(&[
                issuer("Issuer", "itself", json!({"selfSigned": {}})),
                issuer(
                    "Issuer",
                    "ca",
                    json!({"ca": {"secretName": "root", "crl": {"url": url}}}),
                ),
                json!({
                    "apiVersion": "cert-manager.io/v1", "kind": "Certificate",
                    "metadata": {"name": "root"},
                    "spec": {
                        "isCA": true, "commonName": "Root", "secretName": "root",
                        "privateKey": {"algorithm": "ECDSA"}, "usages": usages,
                        "issuerRef": {"name": "itself"},
                    },
                }),
            ])
            .await?;
        Ok(register)
    }

    /// An operator for this namespace alone.
    pub(crate) async fn operator(&self) -> Result<Operator> {
        let only = format!("--namespace={}", self.namespace.name());
        self.operator_with(&[&only]).await
    }

    pub(crate) async fn operator_with(&self, args: &[&str]) -> Result<Operator> {
        let address = format!("--crl-listen-address={}", self.address);
        let own = ["--leader-elect=false", "--deletion-delay=1s", &address];
        let options = OperatorOptions {
            name: format!("operator-{}", self.namespace.name()),
            args: own
                .iter()
                .chain(args)
                .map(|arg| (*arg).to_owned())
                .collect(),
            ..OperatorOptions::default()
        };
        self.bed.operator(&options).await
    }

    pub(crate) fn path(&self) -> String {
        format!("/crl/{}/ca.crl", self.namespace.name())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Ask `from` for a certificate, and wait for it.
    pub(crate) async fn issued(
        &self,
        name: &str,
        from: Value,
    ) -> Result<BTreeMap<String, ByteString>> {
        let certificate = json!({
            "apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": name},
            "spec": {
                "dnsNames": [format!("{name}.example")], "secretName": name, "issuerRef": from,
                "privateKey": {"algorithm": "ECDSA"}, "deletionPolicy": "Revoke",
            },
        });
        self.namespace.apply_all(&[certificate]).await?;
        self.namespace.ready(name, SOON).await?;
        self.secret(name).await
    }

    pub(crate) async fn secret(&self, name: &str) -> Result<BTreeMap<String, ByteString>> {
        let secret: Secret = self.namespace.api().get(name).await?;
        secret.data.context("an empty Secret")
    }

    pub(crate) async fn serial(&self, name: &str) -> Result<String> {
        let secret = self.secret(name).await?;
        Ok(CertificateFacts::from_pem(&secret["tls.crt"].0)?.serial)
    }

    pub(crate) async fn delete(&self, certificate: &str) -> Result<()> {
        let api: Api<Certificate> = self.namespace.api();
        api.delete(certificate, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Change a Certificate.
    pub(crate) async fn patch(&self, certificate: &str, patch: Value) -> Result<()> {
        let api: Api<Certificate> = self.namespace.api();
        let params = PatchParams::default();
        api.patch(certificate, &params, &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    /// The records of what was issued here, by serial.
    pub(crate) async fn records(&self) -> Result<BTreeMap<String, Issuance>> {
        let here = format!("spec.certificateRef.namespace={}", self.namespace.name());
        let api: Api<Issuance> = Api::namespaced(self.bed.client().clone(), OPERATORS);
        let all = api.list(&ListParams::default().fields(&here)).await?;
        let by_serial = |one: Issuance| (one.spec.serial.clone(), one);
        Ok(all.into_iter().map(by_serial).collect())
    }

    /// Wait until the record of that certificate is in this state, and says something like this.
    pub(crate) async fn becomes(
        &self,
        serial: &str,
        state: IssuanceState,
        text: &str,
        operator: &Operator,
    ) -> Result<Issuance> {
        let found = until(state.as_str(), SOON * 2, async || {
            let record = self.records().await?.remove(serial);
            let record = record.with_context(|| format!("no record of {serial}"))?;
            let status = record.status.clone().unwrap_or_default();
            let message = status.message.clone().unwrap_or_default();
            ensure!(
                status.state == Some(state) && message.contains(text),
                "{status:?}"
            );
            Ok(record)
        })
        .await;
        found.with_context(|| tail(&operator.log()))
    }

    pub(crate) fn config_maps(&self) -> Api<ConfigMap> {
        self.namespace.api()
    }

    /// Wait for a list of Issuer `ca` that is signed by its present CA, and of which this holds.
    pub(crate) async fn list(
        &self,
        what: &str,
        holds: impl Fn(&RevocationList) -> bool,
    ) -> Result<RevocationList> {
        until(what, SOON * 2, async || {
            let root = self.secret("root").await?;
            let authority = Authority::from_pem(&root["tls.crt"].0, &root["tls.key"].0, None)?;
            let (list, der) = read(&self.config_maps(), "ca-crl").await?;
            ensure!(is_signed_by(&der, &authority), "another CA has signed it");
            ensure!(holds(&list), "{list:?}");
            Ok(list)
        })
        .await
    }

    /// What is served at that path: status, and body.
    pub(crate) async fn get(&self, path: &str) -> Result<(u16, Vec<u8>)> {
        let answer = testbed::web::client(&[])?
            .get(self.url(path))
            .send()
            .await?;
        Ok((answer.status().as_u16(), answer.bytes().await?.to_vec()))
    }
}

/// The list that a ConfigMap holds, both ways alike.
pub(crate) async fn read(
    config_maps: &Api<ConfigMap>,
    name: &str,
) -> Result<(RevocationList, Vec<u8>)> {
    let found = config_maps.get(name).await?;
    let der = found
        .binary_data
        .and_then(|mut data| data.remove("ca.crl.der"));
    let der = der.context("no DER")?.0;
    let pem = found.data.and_then(|mut data| data.remove("ca.crl"));
    ensure!(pem == Some(certwright::pki::crl::to_pem(&der)), "{pem:?}");
    Ok((RevocationList::from_der(&der)?, der))
}

pub(crate) fn number(serial: &str) -> Result<SerialNumber> {
    SerialNumber::from_hex(serial).with_context(|| format!("{serial} is no serial number"))
}

pub(crate) fn issuer(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "cert-manager.io/v1", "kind": kind,
        "metadata": {"name": name}, "spec": spec,
    })
}

/// What the issuer says of its list: whether it is published, and the message.
pub(crate) fn said(status: Option<&IssuerStatus>) -> Option<(bool, String)> {
    let conditions = status?.conditions.as_ref()?;
    let found = conditions
        .iter()
        .find(|one| one.type_ == "RevocationList")?;
    let message = found.message.clone().unwrap_or_default();
    Some((found.status.as_str() == "True", message))
}

/// Runs `openssl`: whether it agrees, and all that it printed; `None` with a note if it is not
/// installed.
pub(crate) fn openssl(arguments: &[&str]) -> Option<(bool, String)> {
    let Ok(output) = Command::new("openssl").args(arguments).output() else {
        eprintln!("openssl is not installed: its part of the story is skipped");
        return None;
    };
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    Some((output.status.success(), printed))
}
