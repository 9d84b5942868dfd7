//! Who makes CertificateSigningRequests in a story, who decides on them, and what came of them?

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use certwright::pki::{
    csr::{CertificateSigningRequest as Pkcs10, RequestParameters},
    key::{KeyAlgorithm, KeyEncoding, KeyParameters, PrivateKey},
    names::Names,
    subject::{Subject, SubjectName},
};
use k8s_openapi::{
    ByteString,
    api::{
        authorization::v1::SubjectAccessReview,
        certificates::v1::{CertificateSigningRequest, CertificateSigningRequestStatus},
        events::v1::Event,
    },
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use testbed::{Bed, namespace::Namespace, process::wait::until, verify};

use crate::{private_ca::issuer, site::SOON};

/// Requests whose names begin with that of a namespace, and their issuers in it.
pub(crate) struct Place<'a> {
    pub(crate) namespace: Namespace,
    bed: &'a Bed,
    requests: Api<CertificateSigningRequest>,
}

/// What was issued, and for which key and host.
pub(crate) struct Issued {
    pub(crate) chain: Vec<u8>,
    pub(crate) host: String,
    key: PrivateKey,
}

impl<'a> Place<'a> {
    pub(crate) async fn new(bed: &'a Bed, name: &str) -> Result<Self> {
        Ok(Self {
            bed,
            namespace: bed.namespace(name).await?,
            requests: Api::all(bed.client().clone()),
        })
    }

    /// The full name of a request: it has no namespace.
    pub(crate) fn name(&self, short: &str) -> String {
        format!("{}-{short}", self.namespace.name())
    }

    pub(crate) fn issuer(&self, name: &str) -> String {
        format!("issuers.cert-manager.io/{}.{name}", self.namespace.name())
    }

    /// An Issuer of that CA.
    pub(crate) async fn ca(
        &self,
        name: &str,
        data: &BTreeMap<&'static str, ByteString>,
    ) -> Result<()> {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data,
        });
        let spec = json!({"ca": {"secretName": name}});
        let objects = [secret, issuer("Issuer", name, spec)];
        self.namespace.apply_all(&objects).await
    }

    /// A client of a new ServiceAccount that may make requests, and nothing else.
    pub(crate) async fn somebody(&self, name: &str) -> Result<Client> {
        let role = self.name(name);
        let subject = json!({
            "kind": "ServiceAccount", "name": name, "namespace": self.namespace.name(),
        });
        let objects = [
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
                "metadata": {"name": role},
                "rules": [{
                    "apiGroups": ["certificates.k8s.io"],
                    "resources": ["certificatesigningrequests"], "verbs": ["create"],
                }],
            }),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
                "metadata": {"name": role},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role,
                },
                "subjects": [subject],
            }),
        ];
        self.namespace.apply_all(&objects).await?;
        let access = self.bed.access();
        let access = access
            .with_service_account(self.bed.client(), self.namespace.name(), name)
            .await?;
        access.client().await
    }

    /// Let the ServiceAccount use that Issuer; `*` for all.
    pub(crate) async fn grant(&self, account: &str, issuer: &str) -> Result<()> {
        let objects = [
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                "metadata": {"name": account},
                "rules": [{
                    "apiGroups": ["cert-manager.io"], "resources": ["signers"],
                    "verbs": ["reference"], "resourceNames": [issuer],
                }],
            }),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": account},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account,
                },
                "subjects": [{
                    "kind": "ServiceAccount", "name": account, "namespace": self.namespace.name(),
                }],
            }),
        ];
        self.namespace.apply_all(&objects).await?;
        // The API server goes by what its own watch has brought.
        let review =
            serde_json::from_value::<SubjectAccessReview>(json!({"metadata": {}, "spec": {
                "user": format!("system:serviceaccount:{}:{account}", self.namespace.name()),
                "resourceAttributes": {
                    "group": "cert-manager.io", "resource": "signers", "verb": "reference",
                    "namespace": self.namespace.name(), "name": issuer,
                },
            }}))?;
        let reviews = Api::all(self.bed.client().clone());
        until("the right is known", SOON, async || {
            let answer = reviews.create(&PostParams::default(), &review).await?;
            ensure!(answer.status.is_some_and(|status| status.allowed));
            Ok(())
        })
        .await
    }

    /// Ask `signer` for a server's certificate, as an admin; answers the key.
    pub(crate) async fn ask(&self, name: &str, signer: &str, change: Value) -> Result<PrivateKey> {
        self.ask_for(name, signer, change, HOST).await
    }

    pub(crate) async fn ask_for(
        &self,
        name: &str,
        signer: &str,
        change: Value,
        host: &str,
    ) -> Result<PrivateKey> {
        let client = self.bed.client().clone();
        self.create(client, name, signer, change, host).await
    }

    pub(crate) async fn ask_as(
        &self,
        client: Client,
        name: &str,
        signer: &str,
        change: Value,
    ) -> Result<PrivateKey> {
        self.create(client, name, signer, change, HOST).await
    }

    async fn create(
        &self,
        client: Client,
        name: &str,
        signer: &str,
        change: Value,
        host: &str,
    ) -> Result<PrivateKey> {
        let key = PrivateKey::generate(KeyParameters::new(KeyAlgorithm::Ecdsa, None)?)?;
        let common_name = change["commonName"].as_str().unwrap_or_default();
        let parameters = RequestParameters {
            names: Names {
                dns: vec![host.to_owned()],
                ..Names::default()
            },
            subject: SubjectName::Fields(Subject {
                common_name: common_name.to_owned(),
                ..Subject::default()
            }),
            omit_usages: true,
            ..RequestParameters::default()
        };
        let pem = Pkcs10::build(&parameters, &key)?.to_pem();
        let request = serde_json::from_value(json!({
            "metadata": {
                "name": self.name(name),
                "annotations": change["metadata"]["annotations"],
            },
            "spec": {
                "signerName": signer,
                "request": ByteString(pem.into_bytes()),
                "usages": ["digital signature", "server auth"],
                "expirationSeconds": change["spec"]["expirationSeconds"],
            },
        }))?;
        let requests: Api<CertificateSigningRequest> = Api::all(client);
        requests.create(&PostParams::default(), &request).await?;
        Ok(key)
    }

    /// Approve or deny.
    pub(crate) async fn decide(&self, name: &str, type_: &str) -> Result<()> {
        let condition = json!({"type": type_, "status": "True", "reason": "Story", "message": ""});
        let patch = Patch::Merge(json!({"status": {"conditions": [condition]}}));
        let params = PatchParams::default();
        let name = self.name(name);
        self.requests.patch_approval(&name, &params, &patch).await?;
        Ok(())
    }

    /// Ask, approve, and wait for the certificate.
    pub(crate) async fn issued(&self, name: &str, signer: &str, change: Value) -> Result<Issued> {
        let key = self.ask(name, signer, change).await?;
        self.decide(name, "Approved").await?;
        self.certificate(name, key).await
    }

    /// Wait for the certificate.
    pub(crate) async fn certificate(&self, name: &str, key: PrivateKey) -> Result<Issued> {
        let chain = until("the certificate", SOON, async || {
            let status = self.status(name).await?;
            let told = json!(status.conditions).to_string();
            status
                .certificate
                .with_context(|| format!("{name}: {told}"))
        })
        .await?;
        let status = self.status(name).await?;
        assert_eq!(conditions(&status), ["Approved"]);
        Ok(Issued {
            chain: chain.0,
            key,
            host: HOST.to_owned(),
        })
    }

    /// Wait until it failed for that reason; answers the message.
    pub(crate) async fn failed(&self, name: &str, reason: &str) -> Result<String> {
        until("the failure", SOON, async || {
            let status = self.status(name).await?;
            let mut conditions = status.conditions.iter().flatten();
            let failed = conditions.find(|condition| condition.type_ == "Failed");
            let failed = failed.with_context(|| format!("{name} has not failed"))?;
            ensure!(failed.reason.as_deref() == Some(reason), "{failed:?}");
            ensure!(failed.last_transition_time.is_some(), "{failed:?}");
            failed.message.clone().context("no message")
        })
        .await
    }

    /// Wait for an event with that reason.
    pub(crate) async fn event(&self, name: &str, reason: &str) -> Result<()> {
        let events: Api<Event> = Api::namespaced(self.bed.client().clone(), "default");
        let name = self.name(name);
        let field = format!("regarding.name={name}");
        until("the event", SOON, async || {
            let events = events.list(&ListParams::default().fields(&field)).await?;
            let reasons: Vec<&str> = events.iter().filter_map(|e| e.reason.as_deref()).collect();
            ensure!(reasons.contains(&reason), "{name}: {reasons:?}");
            Ok(())
        })
        .await
    }

    pub(crate) async fn status(&self, name: &str) -> Result<CertificateSigningRequestStatus> {
        let request = self.requests.get(&self.name(name)).await?;
        Ok(request.status.unwrap_or_default())
    }

    /// Delete what has no namespace.
    pub(crate) async fn end(&self) -> Result<()> {
        let ours = |name: &str| name.starts_with(&format!("{}-", self.namespace.name()));
        let all = self.requests.list_metadata(&ListParams::default()).await?;
        for request in all.iter().filter(|request| ours(&request.name_any())) {
            let params = DeleteParams::default();
            self.requests.delete(&request.name_any(), &params).await?;
        }
        Ok(())
    }
}

/// The name that is asked for where it does not matter.
const HOST: &str = "www.example";

impl Issued {
    /// Hold it against these roots, its key and its name.
    pub(crate) fn is_good(&self, roots: &[String]) -> Result<()> {
        let key = self.key.to_pem(KeyEncoding::Pkcs8)?;
        let data = BTreeMap::from([
            ("tls.crt".to_owned(), ByteString(self.chain.clone())),
            ("tls.key".to_owned(), ByteString(key.as_bytes().to_vec())),
        ]);
        verify::secret(&data, roots, std::slice::from_ref(&self.host))?;
        Ok(())
    }
}

/// The types of its conditions.
pub(crate) fn conditions(status: &CertificateSigningRequestStatus) -> Vec<String> {
    let conditions = status.conditions.iter().flatten();
    conditions.map(|found| found.type_.clone()).collect()
}
