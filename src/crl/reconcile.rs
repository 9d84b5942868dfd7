//! Working on the list of an issuer: gather the facts, decide, sign, store, and say so on the issuer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use tokio::task::spawn_blocking;
use tracing::info;

use crate::{
    api::{
        condition::{self, Condition},
        issuer::{CaIssuer, ClusterIssuer, Issuer, RevocationListSpec},
    },
    cluster::{Cache, Clock, Next, ObjectKey, Reconciler, write},
    crl::{
        entries::entries,
        error::Error,
        facts::{ListFacts, kind_of, place_of, published_by},
        plan::{Plan, Situation, plan, validity},
        store::{Signed, Stored},
    },
    issuer::{IssuerKind, IssuerView, Issuers, LocalSigners, facts::IssuerResource},
    pki::{authority::Authority, crl::is_signed_by},
    retire::{
        facts::{IssuanceFacts, IssuanceIndex},
        record::ClusterId,
    },
};

/// A list is looked at again after this long: wall clocks jump, and machines sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);
/// What nothing tells of is looked at again after this long.
const RECHECK: Duration = Duration::from_secs(300);

/// Condition of an issuer: its list of revoked certificates is published.
pub const CONDITION: &str = "RevocationList";

/// Works on the lists of issuers of both kinds. The namespace of a ClusterIssuer is empty.
pub struct ListReconciler {
    /// For the API server.
    pub client: Client,
    /// What time it is.
    pub clock: Clock,
    /// Who publishes.
    pub issuers: Issuers,
    /// The ConfigMaps that hold lists.
    pub lists: Arc<Cache<ListFacts>>,
    /// What is revoked.
    pub issuances: Arc<Cache<IssuanceFacts>>,
    /// Signs.
    pub local: Arc<LocalSigners>,
    /// Records that came from elsewhere are not listed.
    pub cluster: Arc<ClusterId>,
    /// The last number that was given, by uid of the issuer.
    pub numbers: Mutex<HashMap<String, u64>>,
}

/// How it stands with a list: a reason, and words.
struct Said {
    holds: bool,
    reason: &'static str,
    message: String,
}

impl Said {
    fn no(reason: &'static str, message: String) -> Self {
        Self {
            holds: false,
            reason,
            message,
        }
    }
}

impl ListReconciler {
    async fn publish(
        &self,
        issuer: &IssuerView,
        ca: &CaIssuer,
        spec: &RevocationListSpec,
    ) -> Result<(Said, Next), Error> {
        let validity = match validity(spec) {
            Ok(validity) => validity,
            Err(problem) => return Ok((Said::no("InvalidConfig", problem), Next::Change)),
        };
        let authority = match self.local.list_authority(issuer, ca).await {
            Ok(authority) => authority,
            Err(error) if error.is_passing() => return Err(Error::Issuer(Box::new(error))),
            Err(error) => {
                let said = Said::no(error.condition_reason(), error.to_string());
                return Ok((said, Next::After(LONGEST_SLEEP)));
            }
        };
        if !authority.signs_lists() {
            return Ok((Said::no("CannotSign", cannot_sign(ca)), Next::Change));
        }
        let place = place_of(issuer);
        let now = self.clock.now();
        let records = self
            .issuances
            .find(&IssuanceIndex::List(issuer.key.clone()));
        let cluster = self.cluster.get().await?;
        let stored = self.stored(issuer, &place, &authority);
        let list = stored.as_ref().and_then(|stored| stored.list.as_ref());
        let given = self.last_number(&issuer.uid);
        let plan = plan(Situation {
            stored: list,
            last_number: list.map_or(given, |list| list.number.max(given)),
            wanted: entries(records.iter().map(AsRef::as_ref), &cluster, validity, now),
            validity,
            now,
        });
        let list = match plan {
            Plan::Keep(until) => return Ok((published(&place), at(now, until))),
            Plan::Wait(until) => {
                let said = match stored {
                    Some(_) => published(&place),
                    None => Said::no("Pending", "the list is about to be signed".to_owned()),
                };
                return Ok((said, at(now, until)));
            }
            Plan::Sign(list) => list,
        };
        let (number, entries, until) = (list.number, list.entries.len(), list.next_update);
        let signed = spawn_blocking(move || {
            let der = list.sign(&authority)?;
            Ok(Signed { list, der })
        });
        let signed: Result<Signed, crate::pki::Error> =
            signed.await.map_err(|source| Error::Ended {
                issuer: issuer.key.clone(),
                source,
            })?;
        let signed = match signed {
            Ok(signed) => signed,
            Err(error) => {
                let said = Said::no("SigningError", format!("the list is not signed: {error}"));
                return Ok((said, Next::After(RECHECK)));
            }
        };
        let stored = self.store(issuer, &place, signed).await?;
        self.give_number(&issuer.uid, number);
        match stored {
            Stored::Yes => {
                info!(%issuer, config_map = %place, number, entries, %until, "revocation list stored");
                // The ConfigMap comes back by the cache, and is judged.
                Ok((published(&place), Next::After(Duration::ZERO)))
            }
            Stored::Foreign => {
                let message = format!(
                    "ConfigMap {place} is not this issuer's, but has the name that its list needs: \
                     delete it"
                );
                Ok((Said::no("NameTaken", message), Next::After(RECHECK)))
            }
            Stored::TooLarge(size) => {
                let message = format!(
                    "the list of {entries} certificates takes {size} bytes, and a ConfigMap holds \
                     1048576 at most: those that were revoked last are not published. Make \
                     certificates that live shorter (spec.duration), or issue by another CA"
                );
                Ok((Said::no("TooLarge", message), Next::After(RECHECK)))
            }
        }
    }

    /// The list that is stored, if it is that of `issuer`, signed by its present CA, and as it was
    /// written.
    fn stored(
        &self,
        issuer: &IssuerView,
        place: &ObjectKey,
        authority: &Authority,
    ) -> Option<Arc<ListFacts>> {
        self.lists.get(place).filter(|stored| {
            stored.meta.controller.as_ref() == Some(&issuer.uid)
                && stored.is_whole
                && is_signed_by(&stored.der, authority)
        })
    }

    fn last_number(&self, uid: &str) -> u64 {
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.get(uid).copied().unwrap_or_default()
    }

    fn give_number(&self, uid: &str, number: u64) {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.insert(uid.to_owned(), number);
    }

    /// Say on the issuer how it stands with its list; `None`: it has none.
    async fn tell(&self, issuer: &IssuerView, said: Option<Said>) -> Result<(), Error> {
        match issuer.kind {
            IssuerKind::Issuer => {
                let cache = Arc::clone(&self.issuers.namespaced);
                self.write::<Issuer>(issuer, said, &cache).await
            }
            IssuerKind::ClusterIssuer => {
                let cache = Arc::clone(&self.issuers.cluster);
                self.write::<ClusterIssuer>(issuer, said, &cache).await
            }
        }
    }

    async fn write<K: IssuerResource>(
        &self,
        issuer: &IssuerView,
        said: Option<Said>,
        cache: &Cache<crate::issuer::IssuerFacts<K>>,
    ) -> Result<(), Error> {
        let mut status = (*issuer.status).clone();
        match said {
            Some(Said {
                holds,
                reason,
                message,
            }) => {
                let generation = Some(issuer.generation);
                let new = Condition::new(CONDITION, holds, reason, message, generation);
                let conditions = status.conditions.get_or_insert_default();
                condition::set(conditions, new, self.clock.now());
            }
            None => {
                if let Some(conditions) = &mut status.conditions {
                    conditions.retain(|condition| condition.type_ != CONDITION);
                }
            }
        }
        let api = K::api(&self.client, &issuer.key);
        let version = &issuer.resource_version;
        let old = &*issuer.status;
        write::patch_status(&api, cache, &issuer.key, version, old, &status).await?;
        Ok(())
    }
}

impl Reconciler for ListReconciler {
    const NAME: &'static str = "revocation-lists";
    type Error = Error;

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(issuer) = self.issuers.get(kind_of(key), key) else {
            // What it owns goes with it.
            return Ok(Next::Change);
        };
        if issuer.deleting {
            return Ok(Next::Change);
        }
        let Some((ca, spec)) = published_by(&issuer) else {
            self.withdraw(&issuer, &place_of(&issuer)).await?;
            self.tell(&issuer, None).await?;
            return Ok(Next::Change);
        };
        let (said, next) = self.publish(&issuer, ca, spec).await?;
        self.tell(&issuer, Some(said)).await?;
        Ok(next)
    }

    fn reference(&self, key: &ObjectKey) -> Option<ObjectReference> {
        Some(self.issuers.get(kind_of(key), key)?.reference())
    }
}

fn published(place: &ObjectKey) -> Said {
    Said {
        holds: true,
        reason: "Published",
        message: format!("The list of revoked certificates is in ConfigMap {place}"),
    }
}

fn cannot_sign(ca: &CaIssuer) -> String {
    format!(
        "the CA in Secret {:?} may not sign revocation lists: add \"crl sign\" beside \"cert sign\" \
         to spec.usages of its Certificate, or bring a CA along whose key usage allows it",
        ca.secret_name
    )
}

fn at(now: Timestamp, until: Timestamp) -> Next {
    let wait = Duration::try_from(now.duration_until(until)).unwrap_or_default();
    Next::After(wait.min(LONGEST_SLEEP))
}
