//! Ingresses that ask for a certificate by annotation: not served yet, and told so.

use std::{
    collections::HashSet,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::api::{core::v1::ObjectReference, networking::v1::Ingress};
use kube::core::PartialObjectMeta;

use crate::{
    api::names::ingress as annotation,
    cluster::{
        Cache, Class, Facts, Meta, Next, ObjectKey, ReconcileError, Reconciler,
        events::{EventType, Events},
    },
};

/// Reason of the event.
const NOT_SUPPORTED: &str = "NotSupported";

/// What is kept of an Ingress: whether it asks for a certificate.
#[derive(Clone, Debug)]
pub struct RouteFacts {
    meta: Meta,
    asks: Option<&'static str>,
}

impl Facts for RouteFacts {
    type Object = PartialObjectMeta<Ingress>;
    type Index = ();

    fn reduce(object: Self::Object) -> Self {
        let annotations = object.metadata.annotations.as_ref();
        let has = |key: &&str| annotations.is_some_and(|all| all.contains_key(*key));
        let asks = [
            annotation::CLUSTER_ISSUER,
            annotation::ISSUER,
            annotation::TLS_ACME,
        ];
        Self {
            meta: Meta::of(&object.metadata),
            asks: asks.into_iter().find(has),
        }
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn indexes(&self) -> Vec<()> {
        Vec::new()
    }
}

impl RouteFacts {
    /// Whether it asks for a certificate.
    pub fn asks(&self) -> bool {
        self.asks.is_some()
    }
}

/// Tells the owners of Ingresses what does not happen.
pub struct RouteReconciler {
    /// All Ingresses.
    pub routes: Arc<Cache<RouteFacts>>,
    /// What users are told.
    pub events: Events,
    /// Who was told since the start of the process, by uid.
    pub told: Mutex<HashSet<String>>,
}

impl ReconcileError for Infallible {
    fn class(&self) -> Class {
        match *self {}
    }

    fn reason(&self) -> Option<&'static str> {
        match *self {}
    }
}

impl Reconciler for RouteReconciler {
    const NAME: &'static str = "ingress-shim";
    type Error = Infallible;

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Infallible> {
        let Some(route) = self.routes.get(key) else {
            return Ok(Next::Change);
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asks) = route.asks
            && told.insert(route.meta.uid.clone())
        {
            let message = format!(
                "annotation {asks}: this version of certwright makes no Certificates for \
                 Ingresses; create a Certificate with the Secret and the hosts of spec.tls"
            );
            self.events.publish(
                reference(&route),
                EventType::Warning,
                NOT_SUPPORTED,
                message,
            );
        }
        Ok(Next::Change)
    }

    fn reference(&self, key: &ObjectKey) -> Option<ObjectReference> {
        self.routes.get(key).map(|route| reference(&route))
    }
}

fn reference(route: &RouteFacts) -> ObjectReference {
    route.meta.reference("networking.k8s.io/v1", "Ingress")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn annotations_of_cert_manager_ask() {
        let table = [
            (json!({}), false),
            (json!({"cert-manager.io/issuer": "le"}), true),
            (json!({"cert-manager.io/cluster-issuer": "le"}), true),
            (json!({"kubernetes.io/tls-acme": "true"}), true),
            (json!({"kubernetes.io/ingress.class": "nginx"}), false),
        ];
        for (annotations, asks) in table {
            let object: PartialObjectMeta<Ingress> = serde_json::from_value(json!({
                "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                "metadata": {"name": "web", "annotations": annotations},
            }))
            .unwrap();
            assert_eq!(RouteFacts::reduce(object).asks(), asks, "{annotations}");
        }
    }
}
