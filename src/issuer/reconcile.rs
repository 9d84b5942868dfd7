//! Issuers and ClusterIssuers: check them, tell what came of it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;

use crate::{
    cluster::{Cache, Next, ObjectKey, Reconciler, write},
    issuer::{
        acme, ca,
        error::Error,
        facts::{IssuerFacts, IssuerResource},
        kind::Signer,
        local::LocalSigners,
        rotation::{Rotations, record::Identity},
        sessions::Sessions,
        status::{Checked, Ready, status_after},
        view::{IssuerView, Issuers},
    },
};

/// The longest a reconcile may take: several requests to a CA far away.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// A CA is looked at again after this long: wall clocks jump, and machines sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// Reconciles the issuers of one kind.
pub struct IssuerReconciler<K: IssuerResource> {
    cache: Arc<Cache<IssuerFacts<K>>>,
    issuers: Issuers,
    sessions: Arc<Sessions>,
    local: Arc<LocalSigners>,
    rotations: Arc<Rotations>,
}

/// What a look at an issuer has found.
struct Look {
    checked: Checked,
    /// When to look again if nothing changes.
    next: Next,
    /// Its CA, and the Secret that is in.
    authority: Option<(Identity, ObjectKey)>,
}

impl<K: IssuerResource> IssuerReconciler<K> {
    /// Reconciles what `cache` holds, which is one of those in `issuers`.
    pub fn new(
        cache: Arc<Cache<IssuerFacts<K>>>,
        issuers: Issuers,
        sessions: Arc<Sessions>,
        local: Arc<LocalSigners>,
        rotations: Arc<Rotations>,
    ) -> Self {
        Self {
            cache,
            issuers,
            sessions,
            local,
            rotations,
        }
    }

    async fn check(&self, issuer: &IssuerView) -> Look {
        let look = |checked| Look {
            checked,
            next: Next::Change,
            authority: None,
        };
        let plain = |result| {
            look(Checked {
                account: None,
                result,
            })
        };
        match issuer.signer() {
            Ok(Signer::Acme(acme)) => look(acme::check(&self.sessions, issuer, acme).await),
            Ok(Signer::Ca(ca)) => match self.local.check_ca(issuer, ca).await {
                Ok((authority, change)) => Look {
                    next: self.at(change),
                    authority: Some((authority, ca::place(issuer, ca))),
                    ..plain(Ok(Ready::KeyPair))
                },
                Err(error) => plain(Err(error)),
            },
            Ok(Signer::SelfSigned(_)) => plain(Ok(Ready::Always)),
            Err(unsupported) => look(Checked {
                account: issuer.status.acme.clone(),
                result: Err(Error::Unsupported(unsupported)),
            }),
        }
    }

    fn at(&self, time: Option<Timestamp>) -> Next {
        let Some(time) = time else {
            return Next::Change;
        };
        let wait = time.duration_since(self.sessions.clock().now());
        Next::After(
            Duration::try_from(wait)
                .unwrap_or_default()
                .min(LONGEST_SLEEP),
        )
    }
}

impl<K: IssuerResource> Reconciler for IssuerReconciler<K> {
    const NAME: &'static str = K::CONTROLLER;

    type Error = Error;

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(issuer) = self.issuers.get(K::KIND, key) else {
            self.rotations.forget(K::KIND, key).await?;
            return Ok(Next::Change);
        };
        if issuer.deleting {
            return Ok(Next::Change);
        }
        let Look {
            checked,
            next,
            authority,
        } = self.check(&issuer).await;
        if let Err(Error::Api(error)) = &checked.result
            && error.is_namespace_ending()
        {
            // The issuer follows its Secret: nothing to repair, nobody to tell.
            return Ok(Next::Change);
        }
        let now = self.sessions.clock().now();
        let rotation = match authority {
            Some((present, secret)) => self.rotations.served(&issuer, secret, present, now).await,
            None => {
                if !matches!(issuer.signer(), Ok(Signer::Ca(_))) {
                    self.rotations.stop(&issuer);
                }
                Ok(None)
            }
        };
        let mut status = status_after(
            &issuer.status,
            issuer.spec.acme.as_ref(),
            issuer.generation,
            &checked,
            now,
        );
        if checked.result.is_ok() {
            self.rotations.tell(&issuer, &mut status, now);
        }
        let api = K::api(self.sessions.cluster(), key);
        let version = &issuer.resource_version;
        write::patch_status(&api, &self.cache, key, version, &*issuer.status, &status).await?;
        checked.result?;
        Ok(next.sooner(self.at(rotation?)))
    }

    fn reference(&self, key: &ObjectKey) -> Option<ObjectReference> {
        Some(self.issuers.get(K::KIND, key)?.reference())
    }
}
