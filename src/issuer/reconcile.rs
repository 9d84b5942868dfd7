//! Issuers and ClusterIssuers: check them, tell what came of it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;

use crate::{
    cluster::{Cache, Next, ObjectKey, Reconciler, write},
    issuer::{
        account::{Checked, Ready, status_after},
        acme,
        error::Error,
        facts::{IssuerFacts, IssuerResource},
        kind::Signer,
        local::LocalSigners,
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
    local: Arc<LocalSigners>,
}

impl<K: IssuerResource> IssuerReconciler<K> {
    /// Reconciles what `cache` holds, which is one of those in `issuers`.
    pub fn new(
        cache: Arc<Cache<IssuerFacts<K>>>,
        issuers: Issuers,
        sessions: Arc<Sessions>,
        local: Arc<LocalSigners>,
    ) -> Self {
        Self {
            cache,
            issuers,
            sessions,
            local,
        }
    }

    /// What `issuer` is, and when to look again if nothing changes.
    async fn check(&self, issuer: &IssuerView) -> (Checked, Next) {
        let plain = |result| Checked {
            account: None,
            result,
        };
        match issuer.signer() {
            Ok(Signer::Acme(acme)) => {
                let checked = acme::check(&self.sessions, issuer, acme).await;
                (checked, Next::Change)
            }
            Ok(Signer::Ca(ca)) => match self.local.check_ca(issuer, ca).await {
                Ok(change) => (plain(Ok(Ready::KeyPair)), self.at(change)),
                Err(error) => (plain(Err(error)), Next::Change),
            },
            Ok(Signer::SelfSigned(_)) => (plain(Ok(Ready::Always)), Next::Change),
            Err(unsupported) => {
                let checked = Checked {
                    account: issuer.status.acme.clone(),
                    result: Err(Error::Unsupported(unsupported)),
                };
                (checked, Next::Change)
            }
        }
    }

    fn at(&self, time: Option<Timestamp>) -> Next {
        let Some(time) = time else {
            return Next::Change;
        };
        let wait = time.duration_since(self.sessions.clock().now());
        Next::After(Duration::try_from(wait).unwrap_or_default())
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
        let (checked, next) = self.check(&issuer).await;
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
        checked.result.map(|_| next)
    }

    fn reference(&self, key: &ObjectKey) -> Option<ObjectReference> {
        Some(self.issuers.get(K::KIND, key)?.reference())
    }
}
