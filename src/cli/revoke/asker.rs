//! What does the API server know of a Certificate, to who asks for a revocation?

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;

use crate::{
    api::{
        certificate::Certificate,
        issuance::Issuance,
        issuer::{ClusterIssuer, Issuer, IssuerSpec},
        names::{CLUSTER_ISSUER_KIND, annotation},
        request::CertificateRequest,
    },
    certificate::request,
    cli::revoke::RevokeError,
    cluster::{ObjectKey, RequestError, write},
    pki::certificate::CertificateFacts,
};

/// What the field of the annotation belongs to.
const MANAGER: &str = "certwright-revoke";
/// The namespace whose uid tells one cluster from another.
const OLDEST_NAMESPACE: &str = "kube-system";
/// Issuances of one Certificate that are looked at.
const MOST_RECORDS: u32 = 500;

/// Who asks, and about which Certificate.
pub(super) struct Asker {
    pub(super) client: Client,
    pub(super) key: ObjectKey,
}

impl Asker {
    pub(super) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.key.namespace)
    }

    /// The Certificate, if there is one.
    pub(super) async fn certificate(&self) -> Result<Option<Certificate>, RevokeError> {
        match write::get(&self.api::<Certificate>(), &self.key).await {
            Err(error) if error.status() == Some(404) => Err(RevokeError::NotInstalled),
            found => Ok(found?),
        }
    }

    /// What was issued for the Certificate, wherever the operator writes that down; `None` for who may
    /// not see it.
    pub(super) async fn records(&self) -> Result<Option<Vec<Issuance>>, RevokeError> {
        let of_it = format!(
            "spec.certificateRef.namespace={},spec.certificateRef.name={}",
            self.key.namespace, self.key.name
        );
        let of_it = ListParams::default().fields(&of_it).limit(MOST_RECORDS);
        let all: Api<Issuance> = Api::all(self.client.clone());
        match all.list(&of_it).await {
            Ok(list) => Ok(Some(list.items)),
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 404 => Err(RevokeError::NotInstalled),
            Err(error) => Err(RequestError::new::<Issuance>("list", &self.key, error).into()),
        }
    }

    /// The serial of the certificate that the last request was answered with. Not to be seen is no
    /// error: it only says more exactly what is meant.
    pub(super) async fn answered(&self, certificate: &Certificate) -> Option<String> {
        let revision = certificate.status.as_ref()?.revision?;
        let name = request::name(&self.key.name, revision);
        let found = self.api::<CertificateRequest>().get_opt(&name).await;
        let chain = found.ok()??.status?.certificate?;
        let leaf = CertificateFacts::from_pem(&chain.0).ok()?;
        Some(leaf.serial)
    }

    /// Which cluster this is, for who may see that.
    pub(super) async fn cluster(&self) -> Option<String> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let found = api.get_opt(OLDEST_NAMESPACE).await;
        found.ok()??.metadata.uid
    }

    /// The issuer of the Certificate, for who may see it.
    pub(super) async fn issuer(&self, certificate: &Certificate) -> Option<IssuerSpec> {
        let reference = &certificate.spec.issuer_ref;
        if reference.kind_or_default() == CLUSTER_ISSUER_KIND {
            let api: Api<ClusterIssuer> = Api::all(self.client.clone());
            let found = api.get_opt(&reference.name).await;
            return found.ok()?.map(|issuer| issuer.spec.0);
        }
        let found = self.api::<Issuer>().get_opt(&reference.name).await;
        found.ok()?.map(|issuer| issuer.spec)
    }

    /// Ask for it.
    pub(super) async fn annotate(&self, value: &str) -> Result<(), RequestError> {
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = json!({"metadata": {"annotations": {annotation::REVOKE: value}}});
        let patched = self
            .api::<Certificate>()
            .patch(&self.key.name, &params, &Patch::Merge(patch))
            .await;
        patched.map_err(|error| RequestError::new::<Certificate>("patch", &self.key, error))?;
        Ok(())
    }
}
