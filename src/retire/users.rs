//! Who uses a Secret that is to go, as the API server says?

use std::{collections::HashSet, fmt::Debug, sync::Arc};

use k8s_openapi::api::networking::v1::Ingress;
use kube::{
    Api, Resource,
    api::{ApiResource, DynamicObject, ListParams},
    core::GroupVersionKind,
};
use serde::de::DeserializeOwned;
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

/// The API group of Gateways.
const GATEWAY_API: &str = "gateway.networking.k8s.io";
/// Objects that are asked for at once.
const PAGE: u32 = 500;

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
        let told = |ingress: &Ingress| {
            let tls = ingress.spec.iter().flat_map(|spec| &spec.tls);
            let mut named = tls.flatten();
            let names = named.any(|tls| tls.secret_name.as_deref() == Some(&*secret.name));
            let key = ObjectKey::of(&ingress.metadata);
            names.then(|| format!("Ingress {key} names the Secret"))
        };
        let found = told_of(&ingresses, "Ingress", secret, told).await?;
        users.extend(found.unwrap_or_default());
        users.extend(self.gateways(secret).await?);
        users.extend(self.issuers(secret).await?);
        Ok(users)
    }

    /// The Gateways that name the Secret and may use it; none where there is no such API. Those of other
    /// namespaces may where a ReferenceGrant lets them: else a stranger could keep it for good.
    async fn gateways(&self, secret: &ObjectKey) -> Result<Vec<String>, RequestError> {
        let granted = self.granted(secret).await?;
        let resource = served("gateways", "Gateway", "v1");
        // Other namespaces are not ours to read where only one is watched.
        let everywhere = self.namespace.is_none() && !granted.is_empty();
        let api: Api<DynamicObject> = match everywhere {
            true => Api::all_with(self.client.clone(), &resource),
            false => Api::namespaced_with(self.client.clone(), &secret.namespace, &resource),
        };
        let told = |gateway: &DynamicObject| {
            let key = ObjectKey::of(&gateway.metadata);
            let may = key.namespace == secret.namespace || granted.contains(&*key.namespace);
            let names = names_secret(&gateway.data["spec"], &key.namespace, secret);
            (may && names).then(|| format!("Gateway {key} names the Secret"))
        };
        Ok(told_of(&api, "Gateway", secret, told)
            .await?
            .unwrap_or_default())
    }

    /// The namespaces whose Gateways a ReferenceGrant lets use the Secret.
    async fn granted(&self, secret: &ObjectKey) -> Result<HashSet<String>, RequestError> {
        for version in ["v1beta1", "v1"] {
            let resource = served("referencegrants", "ReferenceGrant", version);
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), &secret.namespace, &resource);
            let told = |grant: &DynamicObject| Some(grants(&grant.data["spec"], &secret.name));
            if let Some(found) = told_of(&api, "ReferenceGrant", secret, told).await? {
                return Ok(found.into_iter().flatten().collect());
            }
        }
        Ok(HashSet::new())
    }

    /// Certificates in other places that keep a copy.
    pub(super) fn elsewhere(&self, issuance: &IssuanceFacts) -> Vec<String> {
        let index = SecretIndex::Serial(issuance.serial.clone());
        let mut copies = self.caches.secrets.find(&index);
        copies.retain(|secret| {
            let key = &secret.meta.key;
            let keepers = CertificateIndex::Secret(key.clone());
            is_copy(issuance, secret) && !self.caches.certificates.find_keys(&keepers).is_empty()
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
    let found = told_of(api, K::KIND.as_str(), secret, told).await?;
    Ok(found.unwrap_or_default())
}

/// What is `told` of all objects behind `api`, a page at a time; `None` where the kind is not served.
async fn told_of<K: Clone + DeserializeOwned + Debug, T>(
    api: &Api<K>,
    kind: &str,
    secret: &ObjectKey,
    told: impl Fn(&K) -> Option<T>,
) -> Result<Option<Vec<T>>, RequestError> {
    let mut found = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = match api.list(&params).await {
            Ok(page) => page,
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
            Err(source) => {
                return Err(RequestError {
                    operation: "list",
                    kind: kind.to_owned(),
                    object: secret.clone(),
                    source: Box::new(source),
                });
            }
        };
        found.extend(page.items.iter().filter_map(&told));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(Some(found)),
        }
    }
}

/// A kind of the Gateway API.
fn served(plural: &str, kind: &str, version: &str) -> ApiResource {
    let kind = GroupVersionKind::gvk(GATEWAY_API, version, kind);
    ApiResource::from_gvk_with_plural(&kind, plural)
}

/// Whether `secret` holds what the record is about, with its key: the certificate alone is public, and
/// anybody may put it into a Secret.
fn is_copy(issuance: &IssuanceFacts, secret: &SecretFacts) -> bool {
    let (Some(leaf), Some(key)) = (secret.leaf.read(), secret.key.read()) else {
        return false;
    };
    secret.meta.key != issuance.secret
        && key.public_key == leaf.public_key
        && issuance.is_of(&leaf.serial, &leaf.public_key.to_string())
}

/// The namespaces whose Gateways a ReferenceGrant lets use the Secret `name` of its own.
fn grants(spec: &Value, name: &str) -> Vec<String> {
    let list = |entry: &str| spec[entry].as_array().into_iter().flatten();
    let is_to = |to: &Value| {
        let of_name = to["name"].as_str();
        // The core group is the empty one.
        to["kind"] == "Secret"
            && to["group"].as_str().unwrap_or_default().is_empty()
            && of_name.is_none_or(|of| of.is_empty() || of == name)
    };
    if !list("to").any(is_to) {
        return Vec::new();
    }
    let from =
        list("from").filter(|from| from["group"] == GATEWAY_API && from["kind"] == "Gateway");
    let namespaces = from.filter_map(|from| from["namespace"].as_str());
    namespaces.map(str::to_owned).collect()
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

    #[test]
    fn gateways_elsewhere_need_a_grant() {
        let to = |to: Value| json!({"from": [{"group": GATEWAY_API, "kind": "Gateway", "namespace": "infra"}], "to": [to]});
        let from = |from: Value| json!({"from": [from], "to": [{"group": "", "kind": "Secret"}]});
        let infra: &[&str] = &["infra"];
        let table = [
            (to(json!({"group": "", "kind": "Secret"})), infra),
            (
                to(json!({"group": "", "kind": "Secret", "name": "tls"})),
                infra,
            ),
            (
                to(json!({"group": "", "kind": "Secret", "name": "other"})),
                &[],
            ),
            (to(json!({"group": "", "kind": "Service"})), &[]),
            (
                from(json!({"group": GATEWAY_API, "kind": "HTTPRoute", "namespace": "infra"})),
                &[],
            ),
            (json!({}), &[]),
        ];
        for (spec, want) in table {
            assert_eq!(grants(&spec, "tls"), want, "{spec}");
        }
    }

    #[test]
    fn who_keeps_a_copy_has_the_key_too() {
        use k8s_openapi::{ByteString, api::core::v1::Secret};
        use rcgen::{CertificateParams, KeyPair};

        use crate::{
            api::names::secret_key::{CERTIFICATE, PRIVATE_KEY},
            cluster::Facts,
            retire::samples,
        };

        let (own, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let params = CertificateParams::new(vec!["www.example".to_owned()]).unwrap();
        let chain = params.self_signed(&own).unwrap().pem();
        let secret = |name: &str, key: &str| {
            let entry = |text: &str| ByteString(text.as_bytes().to_vec());
            let mut secret = Secret::default();
            secret.metadata.namespace = Some("web".to_owned());
            secret.metadata.name = Some(name.to_owned());
            let data = [(CERTIFICATE, entry(&chain)), (PRIVATE_KEY, entry(key))];
            secret.data = Some(data.map(|(name, value)| (name.to_owned(), value)).into());
            SecretFacts::reduce(secret)
        };
        let (own, other) = (own.serialize_pem(), other.serialize_pem());
        let copy = secret("copy", &own);
        let mut issuance = samples::issuance();
        let leaf = copy.leaf.read().unwrap();
        issuance.serial = leaf.serial.clone();
        issuance.public_key = leaf.public_key.to_string();
        let table = [
            ("copy", own.as_str(), true),
            // Anybody can do this.
            ("copy", "", false),
            ("copy", &other, false),
            // Its own Secret is no copy.
            ("www-tls", &own, false),
        ];
        for (name, key, want) in table {
            assert_eq!(is_copy(&issuance, &secret(name, key)), want, "{name}");
        }
        issuance.serial = "another".to_owned();
        assert!(!is_copy(&issuance, &copy));
    }
}
