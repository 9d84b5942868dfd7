//! Working on the list of an issuer: gather the facts, decide, sign, store, and say so on the issuer.

use std::{
    collections::{BTreeSet, HashMap},
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
        plan::{Plan, Situation, again, due, plan, validity},
        room::{Listed, SHARED, Waiting},
        store::{Signed, Stored},
    },
    issuer::{IssuerKind, IssuerView, Issuers, LocalSigners, facts::IssuerResource},
    pki::{
        authority::Authority,
        crl::{RevocationList, is_signed_by},
    },
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
    /// The most bytes of data that a ConfigMap may hold: [`MOST_BYTES`](crate::crl::MOST_BYTES).
    pub most_bytes: usize,
    /// Who has no room on a list.
    pub waiting: Arc<Waiting>,
    /// The last number that was given, by uid of the issuer.
    pub numbers: Mutex<HashMap<String, u64>>,
}

/// How it stands with a list: a reason, and words.
struct Said {
    holds: bool,
    reason: &'static str,
    message: String,
}

/// What became of a list.
enum Put {
    /// It stands.
    Done,
    /// It does not, and this is why.
    Said(Said),
    /// It does not, as it takes so many bytes.
    TooLarge(usize),
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
    /// Have the list of `issuer` published; what is to be said of it, if that is something new.
    async fn publish(
        &self,
        issuer: &IssuerView,
        ca: &CaIssuer,
        spec: &RevocationListSpec,
    ) -> Result<(Option<Said>, Next), Error> {
        let validity = match validity(spec) {
            Ok(validity) => validity,
            Err(problem) => return Ok((Some(Said::no("InvalidConfig", problem)), Next::Change)),
        };
        let authority = match self.local.list_authority(issuer, ca).await {
            Ok(authority) => authority,
            Err(error) if error.is_passing() => return Err(Error::Issuer(Box::new(error))),
            Err(error) => {
                let said = Said::no(error.condition_reason(), error.to_string());
                return Ok((Some(said), Next::After(LONGEST_SLEEP)));
            }
        };
        if !authority.signs_lists() {
            let said = Said::no("CannotSign", cannot_sign(ca));
            return Ok((Some(said), Next::Change));
        }
        let place = place_of(issuer);
        let now = self.clock.now();
        let records = self
            .issuances
            .find(&IssuanceIndex::List(issuer.key.clone()));
        let cluster = self.cluster.get().await?;
        let stored = self.stored(issuer, &place, &authority);
        let list = stored.as_ref().and_then(|stored| stored.list.as_ref());
        let last = self.lists.get(&place).filter(|last| last.is_of(issuer));
        let last = last.as_ref().and_then(|last| last.list.as_ref());
        let room = match issuer.kind {
            // It is all of one namespace.
            IssuerKind::Issuer => usize::MAX,
            IssuerKind::ClusterIssuer => SHARED,
        };
        let records = records.iter().map(AsRef::as_ref);
        let Listed { entries, waiting } = entries(records, &cluster, validity, room, last, now);
        let published = published(&place, waiting.len());
        self.waiting.note(&issuer.key, waiting);
        let given = self.last_number(&issuer.uid);
        let plan = plan(Situation {
            stored: list,
            last_number: list.map_or(given, |list| list.number.max(given)),
            wanted: entries,
            validity,
            now,
        });
        let list = match plan {
            Plan::Keep(until) => return Ok((Some(published), at(now, until))),
            Plan::Wait(until) => {
                let said = match stored {
                    // What was said of it stands until then.
                    Some(_) => None,
                    None => Some(Said::no(
                        "Pending",
                        "the list is about to be signed".to_owned(),
                    )),
                };
                return Ok((said, at(now, until)));
            }
            Plan::Sign(list) => list,
        };
        let entries = list.entries.len();
        let size = match self.put(issuer, &place, &authority, list.clone()).await? {
            // The ConfigMap comes back by the cache, and is judged.
            Put::Done => return Ok((Some(published), Next::After(Duration::ZERO))),
            Put::Said(said) => return Ok((Some(said), Next::After(RECHECK))),
            Put::TooLarge(size) => size,
        };
        // What is on the last one is not to be believed good again when that expires.
        let stands =
            stored.is_some_and(|stored| stored.list.as_ref().is_some_and(|l| now < due(l)));
        if let Some(last) = last
            && !stands
        {
            let again = again(list, last);
            self.put(issuer, &place, &authority, again).await?;
        }
        let message = format!(
            "the list of {entries} certificates takes {size} bytes, and a ConfigMap holds {} at \
             most: those that were revoked last are not published. Make certificates that live \
             shorter (spec.duration), or issue by another CA",
            self.most_bytes
        );
        let said = Said::no("TooLarge", message);
        Ok((Some(said), Next::After(RECHECK)))
    }

    /// Sign a list and store it.
    async fn put(
        &self,
        issuer: &IssuerView,
        place: &ObjectKey,
        authority: &Arc<Authority>,
        list: RevocationList,
    ) -> Result<Put, Error> {
        let (number, entries, until) = (list.number, list.entries.len(), list.next_update);
        let authority = Arc::clone(authority);
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
                let message = format!("the list is not signed: {error}");
                return Ok(Put::Said(Said::no("SigningError", message)));
            }
        };
        let stored = self.store(issuer, place, signed).await?;
        self.give_number(&issuer.uid, number);
        match stored {
            Stored::Yes => {
                info!(%issuer, config_map = %place, number, entries, %until, "revocation list stored");
                Ok(Put::Done)
            }
            Stored::Foreign => {
                let message = format!(
                    "ConfigMap {place} is not this issuer's, but has the name that its list needs: \
                     delete it"
                );
                Ok(Put::Said(Said::no("NameTaken", message)))
            }
            Stored::TooLarge(size) => Ok(Put::TooLarge(size)),
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
            stored.is_of(issuer) && stored.is_whole && is_signed_by(&stored.der, authority)
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
            self.waiting.note(key, BTreeSet::new());
            return Ok(Next::Change);
        };
        if issuer.deleting {
            return Ok(Next::Change);
        }
        let Some((ca, spec)) = published_by(&issuer) else {
            self.waiting.note(key, BTreeSet::new());
            self.withdraw(&issuer, &place_of(&issuer)).await?;
            self.tell(&issuer, None).await?;
            return Ok(Next::Change);
        };
        let (said, next) = self.publish(&issuer, ca, spec).await?;
        if let Some(said) = said {
            self.tell(&issuer, Some(said)).await?;
        }
        Ok(next)
    }

    fn reference(&self, key: &ObjectKey) -> Option<ObjectReference> {
        Some(self.issuers.get(kind_of(key), key)?.reference())
    }
}

fn published(place: &ObjectKey, waiting: usize) -> Said {
    let remark = match waiting {
        0 => String::new(),
        waiting => format!(
            "; namespaces without room on it for what they revoked last: {waiting} (their Issuances say so)"
        ),
    };
    Said {
        holds: true,
        reason: "Published",
        message: format!("The list of revoked certificates is in ConfigMap {place}{remark}"),
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
