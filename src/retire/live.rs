//! What does the API server say, just before something that cannot be undone?

use std::sync::Arc;

use k8s_openapi::{
    api::{core::v1::Secret, networking::v1::Ingress},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, CustomResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
    core::GroupVersionKind,
};
use serde_json::Value;

use crate::{
    api::{certificate::Certificate, names::secret_key},
    cluster::{
        Meta, ObjectKey, RequestError,
        write::{self, api_of},
    },
    pki::certificate::leaf_der,
    retire::{
        facts::{Definition, IssuanceFacts, Live, Stored},
        reconcile::IssuanceReconciler,
        share::Share,
    },
};

/// A Secret, as it was when it was looked at.
pub(super) struct Seen {
    /// Its uid and version.
    pub(super) meta: Meta,
    /// Whether it holds the certificate.
    pub(super) stored: Stored,
}

impl IssuanceReconciler {
    /// Ask for everything that speaks for or against going on.
    pub(super) async fn ask(&self, issuance: &IssuanceFacts) -> Result<Live, RequestError> {
        let mut is_kept = self
            .is_kept(&issuance.certificate, &issuance.uid, &issuance.secret)
            .await?;
        for share in &issuance.also_in {
            is_kept = is_kept || self.keeps(share).await?;
        }
        // After the Certificate: where there is no definition, there is no Certificate either.
        let definition = self.definition().await?;
        let stored = self.secret(issuance, &issuance.secret).await?.stored;
        let used_by = match stored {
            Stored::This => self.users(issuance).await?,
            Stored::Gone | Stored::Other => self.elsewhere(issuance),
        };
        Ok(Live {
            is_kept,
            definition,
            used_by,
            stored,
        })
    }

    /// The same about another Secret that it is in. That others keep it does not count.
    pub(super) async fn ask_about(
        &self,
        issuance: &IssuanceFacts,
        share: &Share,
    ) -> Result<Live, RequestError> {
        let is_kept = self.keeps(share).await?;
        let definition = self.definition().await?;
        let stored = self.secret(issuance, &share.secret).await?.stored;
        let used_by = match stored {
            Stored::This => self.routes(&share.secret).await?,
            Stored::Gone | Stored::Other => Vec::new(),
        };
        Ok(Live {
            is_kept,
            definition,
            used_by,
            stored,
        })
    }

    async fn keeps(&self, share: &Share) -> Result<bool, RequestError> {
        let namespace = Arc::clone(&share.secret.namespace);
        let certificate = ObjectKey::new(namespace, Arc::clone(&share.certificate));
        self.is_kept(&certificate, &share.uid, &share.secret).await
    }

    /// Whether there is the Certificate `uid`, or another of its name for the same Secret.
    async fn is_kept(
        &self,
        key: &ObjectKey,
        uid: &str,
        secret: &ObjectKey,
    ) -> Result<bool, RequestError> {
        let found = match write::get(&api_of::<Certificate>(&self.client, key), key).await {
            // The kind is not served: the definition tells.
            Err(error) if error.status() == Some(404) => None,
            found => found?,
        };
        Ok(found.is_some_and(|found| {
            found.metadata.uid.as_deref() == Some(uid) || found.spec.secret_name == *secret.name
        }))
    }

    async fn definition(&self) -> Result<Definition, RequestError> {
        let key = ObjectKey::cluster(Certificate::crd_name());
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let Some(found) = write::get(&api, &key).await? else {
            return Ok(Definition::Ending);
        };
        let meta = Meta::of(&found.metadata);
        Ok(match meta.created {
            Some(created) if !meta.deleting => Definition::Since(created),
            Some(_) | None => Definition::Ending,
        })
    }

    /// The Secret `key`, and whether it still holds the certificate.
    pub(super) async fn secret(
        &self,
        issuance: &IssuanceFacts,
        key: &ObjectKey,
    ) -> Result<Seen, RequestError> {
        let Some(found) = write::get(&api_of::<Secret>(&self.client, key), key).await? else {
            return Ok(Seen {
                meta: Meta::of(&Default::default()),
                stored: Stored::Gone,
            });
        };
        let meta = Meta::of(&found.metadata);
        let mut data = found.data.unwrap_or_default();
        let chain = data.remove(secret_key::CERTIFICATE).unwrap_or_default();
        crate::certificate::secret::wipe(&mut data);
        let is_this = leaf_der(&chain.0).is_ok_and(|der| issuance.is_record_of(&der));
        let stored = if is_this { Stored::This } else { Stored::Other };
        Ok(Seen { meta, stored })
    }

    /// Who uses the Secret, in words.
    async fn users(&self, issuance: &IssuanceFacts) -> Result<Vec<String>, RequestError> {
        let mut users = self.elsewhere(issuance);
        users.extend(self.routes(&issuance.secret).await?);
        Ok(users)
    }

    /// The Ingresses and Gateways that name the Secret, in words.
    async fn routes(&self, secret: &ObjectKey) -> Result<Vec<String>, RequestError> {
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

    /// Certificates in other places that keep a copy. Looked through once per certificate that goes.
    fn elsewhere(&self, issuance: &IssuanceFacts) -> Vec<String> {
        use crate::certificate::facts::CertificateIndex;

        let mut copies = Vec::new();
        self.caches.secrets.for_each(|secret| {
            let is_copy = secret.meta.key != issuance.secret
                && secret
                    .leaf
                    .read()
                    .is_some_and(|leaf| issuance.is_of(&leaf.serial, &leaf.public_key.to_string()));
            if is_copy {
                copies.push(secret.meta.key.clone());
            }
        });
        copies.retain(|copy| {
            let keepers = CertificateIndex::Secret(copy.clone());
            !self.caches.certificates.find_keys(&keepers).is_empty()
        });
        let told = |copy| format!("a Certificate keeps the same certificate in Secret {copy}");
        copies.into_iter().map(told).collect()
    }
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
