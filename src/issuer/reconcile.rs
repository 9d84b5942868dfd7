//! Issuers and ClusterIssuers: check them, tell what came of it.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::ObjectReference;

use crate::{
    cluster::{Cache, Next, ObjectKey, Reconciler, write},
    issuer::{
        account::{Checked, status_after},
        acme,
        error::Error,
        facts::{IssuerFacts, IssuerResource},
        kind::Config,
        sessions::Sessions,
        view::{IssuerView, Issuers},
    },
};

/// The longest a reconcile may take: several requests to a CA far away.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// Reconciles the issuers of one kind.
pub struct IssuerReconciler<K: IssuerResource> {
    cache: Arc<Cache<IssuerFacts<K>>>,
    issuers: Issuers,
    sessions: Arc<Sessions>,
}

impl<K: IssuerResource> IssuerReconciler<K> {
    /// Reconciles what `cache` holds, which is one of those in `issuers`.
    pub fn new(
        cache: Arc<Cache<IssuerFacts<K>>>,
        issuers: Issuers,
        sessions: Arc<Sessions>,
    ) -> Self {
        Self {
            cache,
            issuers,
            sessions,
        }
    }

    async fn check(&self, issuer: &IssuerView) -> Checked {
        match issuer.config() {
            Config::Acme(acme) => acme::check(&self.sessions, issuer, acme).await,
            Config::Unsupported(unsupported) => Checked {
                account: issuer.status.acme.clone(),
                result: Err(Error::Unsupported(unsupported)),
            },
        }
    }
}

impl<K: IssuerResource> Reconciler for IssuerReconciler<K> {
    const NAME: &'static str = K::CONTROLLER;

    type Error = Error;

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(issuer) = self.issuers.get(K::KIND, key) else {
            return Ok(Next::Change);
        };
        if issuer.deleting {
            return Ok(Next::Change);
        }
        let checked = self.check(&issuer).await;
        if let Err(Error::Api(error)) = &checked.result
            && error.is_namespace_ending()
        {
            // The issuer follows its Secret: nothing to repair, nobody to tell.
            return Ok(Next::Change);
        }
        let status = status_after(
            &issuer.status,
            issuer.spec.acme.as_ref(),
            issuer.generation,
            &checked,
            self.sessions.clock().now(),
        );
        let api = K::api(self.sessions.cluster(), key);
        let version = &issuer.resource_version;
        if let Some(object) =
            write::patch_status(&api, key, version, &*issuer.status, &status).await?
        {
            self.cache.observe(object);
        }
        checked.result.map(|()| Next::Change)
    }

    fn reference(&self, key: &ObjectKey) -> Option<ObjectReference> {
        Some(self.issuers.get(K::KIND, key)?.reference())
    }
}
