//! Who uses a Secret that is to go, as the API server says?

use std::sync::Arc;

use k8s_openapi::api::networking::v1::Ingress;
use kube::{
    Api, Resource,
    api::{ApiResource, DynamicObject, ListParams},
    core::GroupVersionKind,
};
use serde_json::Value;

use crate::{
    api::issuer::{ClusterIssuer, Issuer},
    certificate::{
        facts::CertificateIndex,
        secret::{SecretFacts, SecretIndex},
    },
    cluster::{ObjectKey, RequestError, unread::Unread, write::api_of},
    issuer::{facts::IssuerResource, named},
    retire::{facts::IssuanceFacts, reconcile::IssuanceReconciler},
};

impl IssuanceReconciler {
    /// Who uses the Secret, in words.
    pub(super) async fn users(
        &self,
        issuance: &IssuanceFacts,
    ) -> Result<Vec<String>, RequestError> {
        let mut users = self.elsewhere(issuance);
        users.extend(self.routes_and_issuers(&issuance.secret).await?);
        Ok(users)
    }

    /// Whoever names the Secret, in words.
    pub(super) async fn routes_and_issuers(
        &self,
        secret: &ObjectKey,
    ) -> Result<Vec<String>, RequestError> {
        let mut users = Vec::new();
        let ingresses: Api<Ingress> = api_of(&self.client, secret);
        let all = ingresses.list(&ListParams::default()).await;
        let all = all.map_err(|error| RequestError::new::<Ingress>("list", secret, error))?;
        for ingress in all {
            let spec = ingress.spec.unwrap_or_default();
            let mut named = spec.tls.iter().flatten();
            if named.any(|tls| tls.secret_name.as_deref() == Some(&*secret.name)) {
                let name = ingress.metadata.name.unwrap_or_default();
                users.push(format!(
                    "Ingress {}/{name} names the Secret",
                    secret.namespace
                ));
            }
        }
        users.extend(self.gateways(secret).await?);
        users.extend(self.issuers(secret).await?);
        Ok(users)
    }

    /// The Gateways that name the Secret; none where there is no such API.
    async fn gateways(&self, secret: &ObjectKey) -> Result<Vec<String>, RequestError> {
        let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "Gateway");
        let resource = ApiResource::from_gvk_with_plural(&kind, "gateways");
        let api: Api<DynamicObject> = match &self.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let all = match api.list(&ListParams::default()).await {
            Ok(all) => all,
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Vec::new()),
            Err(source) => {
                return Err(RequestError {
                    operation: "list",
                    kind: "Gateway".to_owned(),
                    object: secret.clone(),
                    source: Box::new(source),
                });
            }
        };
        let naming = all.iter().filter(|gateway| {
            let namespace = gateway.metadata.namespace.as_deref().unwrap_or_default();
            names_secret(&gateway.data["spec"], namespace, secret)
        });
        let told = naming.map(|gateway| {
            let key = ObjectKey::of(&gateway.metadata);
            format!("Gateway {key} names the Secret")
        });
        Ok(told.collect())
    }

    /// Certificates in other places that keep a copy.
    pub(super) fn elsewhere(&self, issuance: &IssuanceFacts) -> Vec<String> {
        let index = SecretIndex::Serial(issuance.serial.clone());
        let mut copies = self.caches.secrets.find(&index);
        copies.retain(|secret| {
            let key = &secret.meta.key;
            let is_copy = *key != issuance.secret
                && secret
                    .leaf
                    .read()
                    .is_some_and(|leaf| issuance.is_of(&leaf.serial, &leaf.public_key.to_string()));
            let keepers = CertificateIndex::Secret(key.clone());
            is_copy && !self.caches.certificates.find_keys(&keepers).is_empty()
        });
        let told = |secret: &Arc<SecretFacts>| {
            let key = &secret.meta.key;
            format!("a Certificate keeps the same certificate in Secret {key}")
        };
        copies.iter().map(told).collect()
    }

    /// The issuers that name the Secret: as their CA, for their account, or to log in somewhere. Those of
    /// a kind that we cannot sign by too.
    async fn issuers(&self, secret: &ObjectKey) -> Result<Vec<String>, RequestError> {
        let namespaced: Api<Unread<Issuer>> =
            Api::namespaced(self.client.clone(), &secret.namespace);
        let mut users = naming(&namespaced, secret).await?;
        let of_cluster = &self.caches.issuers.cluster_resource_namespace;
        if self.namespace.is_none() && *secret.namespace == **of_cluster {
            let cluster: Api<Unread<ClusterIssuer>> = Api::all(self.client.clone());
            users.extend(naming(&cluster, secret).await?);
        }
        Ok(users)
    }
}

/// The issuers behind `api` that name `secret`.
async fn naming<K: IssuerResource>(
    api: &Api<Unread<K>>,
    secret: &ObjectKey,
) -> Result<Vec<String>, RequestError> {
    let all = api.list(&ListParams::default()).await;
    let all = all.map_err(|error| RequestError::new::<K>("list", secret, error))?;
    let told = |issuer: &Unread<K>| {
        let key = ObjectKey::of(issuer.meta());
        let kind = K::KIND;
        match issuer.read() {
            Ok(read) => named::secrets(read.spec())
                .contains(&*secret.name)
                .then(|| format!("{kind} {key} names the Secret")),
            Err(_) => Some(format!(
                "{kind} {key} cannot be read, and may name the Secret"
            )),
        }
    };
    Ok(all.iter().filter_map(told).collect())
}

/// Whether a listener of a Gateway in `namespace` takes its certificate from `secret`.
fn names_secret(spec: &Value, namespace: &str, secret: &ObjectKey) -> bool {
    let listeners = spec["listeners"].as_array().into_iter().flatten();
    let mut references = listeners
        .filter_map(|listener| listener["tls"]["certificateRefs"].as_array())
        .flatten();
    references.any(|reference| {
        let of = reference["namespace"].as_str().unwrap_or(namespace);
        reference["name"] == *secret.name && of == &*secret.namespace
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn gateways_name_secrets_of_their_own_or_another_namespace() {
        let secret = ObjectKey::new("web", "tls");
        let spec = |reference: Value| json!({"listeners": [{}, {"tls": {"certificateRefs": [{"name": "a"}, reference]}}]});
        let table = [
            ("web", json!({"name": "tls"}), true),
            ("infra", json!({"name": "tls"}), false),
            ("infra", json!({"name": "tls", "namespace": "web"}), true),
            ("web", json!({"name": "tls", "namespace": "infra"}), false),
            ("web", json!({"name": "other"}), false),
        ];
        for (namespace, reference, want) in table {
            let found = names_secret(&spec(reference.clone()), namespace, &secret);
            assert_eq!(found, want, "{namespace}: {reference}");
        }
        assert!(!names_secret(&json!({}), "web", &secret));
    }
}
