//! Looking at DNS while Certificates wait after a failure, and ending a wait that DNS has no reason
//! for any more.
//!
//! Beside the Certificate's own reconcile, so that a nameserver that is slow or down holds up nobody:
//! the ordinary wait stands whatever comes of this.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::ObjectReference;
use tracing::{debug, info};

use crate::{
    answers::{
        look::Looker,
        plan::{Look, Wait},
        question::{Question, questions},
        watches::Watches,
    },
    api::reason::certificate as reason,
    challenge::facts::{ChallengeFacts, ChallengeIndex},
    cluster::{
        Cache, Class, Clock, Next, ObjectKey, OwnerKey, Queue, ReconcileError, Reconciler,
        events::{EventType, Events},
    },
    order::facts::{OrderFacts, OrderIndex},
};

/// Looks at DNS for Certificates that wait.
pub struct AnswersReconciler {
    /// The time.
    pub clock: Clock,
    /// All Orders.
    pub orders: Arc<Cache<OrderFacts>>,
    /// All Challenges.
    pub challenges: Arc<Cache<ChallengeFacts>>,
    /// Asks nameservers.
    pub looker: Looker,
    /// The waits.
    pub watches: Arc<Watches>,
    /// Of Certificates: for those that need not wait any longer.
    pub certificates: Queue,
    /// What users are told.
    pub events: Events,
}

/// Nothing: that DNS gives no answer is one, too.
#[derive(Debug, thiserror::Error)]
pub enum Error {}

impl ReconcileError for Error {
    fn class(&self) -> Class {
        match *self {}
    }

    fn reason(&self) -> Option<&'static str> {
        match *self {}
    }
}

impl Reconciler for AnswersReconciler {
    const NAME: &'static str = "certificates-dns-answers";
    type Error = Error;

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let now = self.clock.now();
        let wait = match self.watches.look(key, now) {
            Some((wait, Look::Now)) => wait,
            Some((_, look @ (Look::At(_) | Look::Never))) => return Ok(next(look, &self.clock)),
            None => return Ok(Next::Change),
        };
        let seen = self.looker.look(self.questions(key, &wait)).await;
        debug!(?seen, "looked at DNS");
        match self.watches.saw(key, &wait, seen, self.clock.now()) {
            Ok(name) => {
                info!(name, "DNS changed, the next try is brought forward");
                self.events.publish(
                    reference(key, &wait),
                    EventType::Normal,
                    reason::DNS_CHANGED,
                    format!("DNS of {name} changed: the next try is brought forward"),
                );
                self.certificates.add(key.clone());
                Ok(Next::Change)
            }
            Err(look) => Ok(next(look, &self.clock)),
        }
    }

    fn reference(&self, key: &ObjectKey) -> Option<ObjectReference> {
        let (wait, _) = self.watches.look(key, self.clock.now())?;
        Some(reference(key, &wait))
    }
}

impl AnswersReconciler {
    /// What to ask: the failed Order keeps the Challenges that failed.
    fn questions(&self, key: &ObjectKey, wait: &Wait) -> BTreeSet<Question> {
        let request = OwnerKey::new(&key.namespace, wait.request.as_str());
        let orders = self.orders.find(&OrderIndex::Owner(request));
        let challenges: Vec<_> = orders
            .iter()
            .flat_map(|order| {
                let owner = ChallengeIndex::Owner(order.meta.as_owner());
                self.challenges.find(&owner)
            })
            .collect();
        questions(&challenges)
    }
}

fn next(look: Look, clock: &Clock) -> Next {
    match look {
        Look::Now => Next::After(Duration::ZERO),
        Look::At(at) => {
            let wait = clock.now().duration_until(at);
            Next::After(Duration::try_from(wait).unwrap_or_default())
        }
        Look::Never => Next::Change,
    }
}

fn reference(key: &ObjectKey, wait: &Wait) -> ObjectReference {
    ObjectReference {
        api_version: Some("cert-manager.io/v1".to_owned()),
        kind: Some("Certificate".to_owned()),
        namespace: Some(key.namespace.to_string()),
        name: Some(key.name.to_string()),
        uid: Some(wait.certificate.clone()),
        ..ObjectReference::default()
    }
}
