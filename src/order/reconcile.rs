//! Working on an Order: gather the facts, plan, act.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use tracing::{debug, info};

use crate::{
    acme::{self, Session, order::OrderRequest, renewal::parse_identifier},
    api::{
        challenge::Challenge,
        condition,
        order::{Authorization, Order, OrderStatus, State},
        reason::acme as reason,
    },
    challenge::facts::{ChallengeFacts, ChallengeIndex},
    cluster::{
        Cache, Clock, Next, ObjectKey, Reconciler,
        events::{EventType, Events},
        pace::Pace,
        pause::Pauses,
        write::{self, Created, api_of},
    },
    issuer::{IssuerView, Issuers, Missing, Sessions, refusal::CaError},
    order::{
        counting::counted,
        error::Error,
        exchange::{adopt, authorization_status, challenge, identifiers},
        facts::OrderFacts,
        ledger::Ledger,
        limits::Names,
        plan::{NewChallenge, Situation, Step, plan},
    },
};

/// Authorizations read at the same time.
const PARALLEL_READS: usize = 8;

/// Works on Orders.
pub struct OrderReconciler {
    /// For the API server.
    pub client: Client,
    /// The time.
    pub clock: Clock,
    /// All Orders.
    pub orders: Arc<Cache<OrderFacts>>,
    /// All Challenges.
    pub challenges: Arc<Cache<ChallengeFacts>>,
    /// All issuers.
    pub issuers: Issuers,
    /// Their accounts.
    pub sessions: Arc<Sessions>,
    /// What users are told.
    pub events: Events,
    /// How soon an order that the CA works on is read again.
    pub pace: Pace,
    /// When CAs want to be asked again.
    pub pauses: Pauses,
    /// What was ordered from each account.
    pub ledger: Arc<Ledger>,
}

impl Reconciler for OrderReconciler {
    const NAME: &'static str = "orders";
    type Error = Error;

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(order) = self.orders.get(key) else {
            self.pace.reset(key);
            self.ledger.gone(key);
            self.pauses.forget(key);
            return Ok(Next::Change);
        };
        if order.meta.deleting {
            return Ok(Next::Change);
        }
        // What comes of the step is about this issuer, whatever it has become meanwhile.
        let issuer = self
            .issuers
            .lookup(&order.spec.issuer_ref, &order.meta.key.namespace);
        match self.step(&order, issuer.as_ref()).await {
            Err(Error::Ca(error)) if error.is_refusal() => {
                let issuer = issuer.as_ref().ok();
                self.fail(&order, issuer, State::Errored, error.to_string())
                    .await?;
                Ok(Next::Change)
            }
            Err(error @ (Error::Ca(_) | Error::Account(_))) => {
                if let Error::Ca(error) = &error
                    && error.is_lost_account()
                    && let Ok(issuer) = &issuer
                {
                    self.sessions.lose_account(issuer);
                }
                // Of an account, the issuer says when it is of use again.
                if let Error::Ca(error) = &error {
                    self.pauses.note(key, error.class(), self.clock.now());
                }
                // The reason is where the Certificate finds what it waits for.
                self.note(&order, error.to_string()).await?;
                Err(error)
            }
            result => result,
        }
    }

    fn reference(&self, key: &ObjectKey) -> Option<ObjectReference> {
        self.orders.get(key).map(|order| reference(&order))
    }
}

impl OrderReconciler {
    async fn step(
        &self,
        order: &OrderFacts,
        issuer: Result<&IssuerView, &Missing>,
    ) -> Result<Next, Error> {
        let challenges = self
            .challenges
            .find(&ChallengeIndex::Owner(order.meta.as_owner()));
        if order.is_over() {
            let step = plan(Situation {
                order,
                challenges: &challenges,
                solvers: &[],
            });
            return self.act(order, None, step).await;
        }
        let issuer = match issuer {
            Ok(issuer) => issuer,
            Err(missing) => {
                self.note(order, missing.to_string()).await?;
                return Ok(Next::Change);
            }
        };
        let acme = match issuer.usable_acme() {
            Ok(acme) => acme,
            Err(why) => {
                self.note(order, why.to_string()).await?;
                return Ok(Next::Change);
            }
        };
        let solvers = acme.solvers.as_deref().unwrap_or_default();
        let step = plan(Situation {
            order,
            challenges: &challenges,
            solvers,
        });
        debug!(?step, "planned");
        self.act(order, Some(issuer), step).await
    }

    async fn act(
        &self,
        order: &OrderFacts,
        issuer: Option<&IssuerView>,
        step: Step,
    ) -> Result<Next, Error> {
        match step {
            Step::Over(challenges) => {
                for (key, uid) in challenges {
                    self.delete_challenge(&key, &uid).await?;
                }
                return Ok(Next::Change);
            }
            Step::AwaitChallenges => return Ok(Next::Change),
            Step::NoSolver(error) => {
                let message = error.to_string();
                if self.note(order, message.clone()).await? {
                    self.warn(order, reason::SOLVER, message);
                }
                return Ok(Next::Change);
            }
            Step::Place
            | Step::Read
            | Step::ReadAuthorizations
            | Step::Solve { .. }
            | Step::Advance { .. } => {}
        }
        let Some(issuer) = issuer else {
            return Ok(Next::Change);
        };
        if let Some(left) = self.pauses.left(&order.meta.key, self.clock.now()) {
            return Ok(Next::After(left));
        }
        let session = self.sessions.session(issuer).await?;
        match step {
            Step::Place => {
                if let Some(full) = self.must_wait(order, issuer).await? {
                    return Ok(full);
                }
                let placed = self.place(order, issuer, &session).await?;
                info!(url = placed.url, "order placed");
                self.store(order, adopt(&order.status, &placed)).await?;
            }
            Step::Read => {
                let url = order.status.url.as_deref().unwrap_or_default();
                let read = session.order(url).await.map_err(|error| self.ca(error))?;
                self.store(order, adopt(&order.status, &read)).await?;
            }
            Step::ReadAuthorizations => self.read_authorizations(order, &session).await?,
            Step::Solve { create, delete } => {
                for new in create {
                    self.create_challenge(order, &session, new).await?;
                }
                for (key, uid) in delete {
                    self.delete_challenge(&key, &uid).await?;
                }
            }
            Step::Advance { failed } => {
                return self.advance(order, issuer, &session, failed).await;
            }
            Step::Over(_) | Step::AwaitChallenges | Step::NoSolver(_) => {}
        }
        Ok(Next::Change)
    }

    async fn place(
        &self,
        order: &OrderFacts,
        issuer: &IssuerView,
        session: &Session,
    ) -> Result<acme::order::Order, Error> {
        let spec = &order.spec;
        let identifiers = identifiers(spec);
        let not_after = spec
            .duration
            .as_ref()
            .and_then(|duration| self.clock.now().checked_add(duration.parse().ok()?).ok());
        let replaces = spec.replaces.as_deref().and_then(parse_identifier);
        let request = OrderRequest {
            identifiers: &identifiers,
            not_after,
            profile: spec.profile.as_deref(),
            replaces,
        };
        let placed = session
            .new_order(&request)
            .await
            .map_err(|error| self.ca(error));
        if let Some((account, limits)) = counted(issuer) {
            let names = Names::of(&identifiers);
            let line = self.line(order, &account, &limits, &names);
            match &placed {
                // The CA left `replaces` out: it counts.
                Ok(placed) if placed.replaces.is_none() => self.ledger.placed(line),
                Ok(_) => {}
                Err(error) => {
                    self.ledger.ended(line);
                    self.learn(error, line);
                }
            }
        }
        Ok(placed?)
    }

    async fn read_authorizations(
        &self,
        order: &OrderFacts,
        session: &Session,
    ) -> Result<(), Error> {
        let known = order.status.authorizations.as_deref().unwrap_or_default();
        // Owned URLs, for the futures outlive no loan of the list.
        let reads: Vec<_> = known
            .iter()
            .map(|authorization| self.read_authorization(session, authorization.url.clone()))
            .collect();
        let read: Vec<Authorization> = stream::iter(reads)
            .buffered(PARALLEL_READS)
            .try_collect()
            .await?;
        let status = OrderStatus {
            authorizations: Some(read),
            reason: None,
            ..order.status.clone()
        };
        self.store(order, status).await?;
        Ok(())
    }

    async fn read_authorization(
        &self,
        session: &Session,
        url: String,
    ) -> Result<Authorization, CaError> {
        let read = session.authorization(&url).await;
        Ok(authorization_status(&read.map_err(|error| self.ca(error))?))
    }

    async fn create_challenge(
        &self,
        order: &OrderFacts,
        session: &Session,
        new: NewChallenge,
    ) -> Result<(), Error> {
        let challenge = challenge(order, session, new);
        let key = ObjectKey::of(&challenge.metadata);
        let api = api_of::<Challenge>(&self.client, &key);
        match write::create(&api, &challenge).await? {
            Created::New(created) => self.challenges.observe(created),
            Created::Exists => {
                // Ours, made before a restart or not yet brought by the watch; the name holds our
                // uid, and only the operator may create Challenges.
                if let Some(standing) = write::get(&api, &key).await? {
                    self.challenges.observe(standing);
                }
            }
        }
        Ok(())
    }

    async fn delete_challenge(&self, key: &ObjectKey, uid: &str) -> Result<(), Error> {
        let known = self.challenges.get(key);
        if known
            .as_ref()
            .is_some_and(|challenge| challenge.meta.deleting)
        {
            return Ok(());
        }
        write::delete(&api_of::<Challenge>(&self.client, key), key, uid).await?;
        Ok(())
    }

    /// Store that the order failed, and tell.
    pub(super) async fn fail(
        &self,
        order: &OrderFacts,
        issuer: Option<&IssuerView>,
        state: State,
        why: String,
    ) -> Result<(), Error> {
        info!(state = state.as_str(), why, "order failed");
        if let Some(issuer) = issuer {
            self.count_failure(order, issuer).await?;
        }
        let status = OrderStatus {
            state: Some(state),
            reason: Some(why),
            failure_time: Some(condition::to_the_second(self.clock.now())),
            ..order.status.clone()
        };
        self.store(order, status).await?;
        self.pace.reset(&order.meta.key);
        Ok(())
    }

    /// Store what the order waits for, if that is new; answers whether it was.
    pub(super) async fn note(&self, order: &OrderFacts, why: String) -> Result<bool, Error> {
        if order.status.reason.as_ref() == Some(&why) {
            return Ok(false);
        }
        let status = OrderStatus {
            reason: Some(why),
            ..order.status.clone()
        };
        self.store(order, status).await?;
        Ok(true)
    }

    pub(super) async fn store(&self, order: &OrderFacts, status: OrderStatus) -> Result<(), Error> {
        let key = &order.meta.key;
        let api = api_of::<Order>(&self.client, key);
        let version = &order.meta.resource_version;
        write::patch_status(&api, &self.orders, key, version, &order.status, &status).await?;
        Ok(())
    }

    fn warn(&self, order: &OrderFacts, reason: &'static str, message: String) {
        self.events
            .publish(reference(order), EventType::Warning, reason, message);
    }

    pub(super) fn ca(&self, error: acme::Error) -> CaError {
        CaError::new(error, self.clock.now())
    }
}

fn reference(order: &OrderFacts) -> ObjectReference {
    order.meta.reference("acme.cert-manager.io/v1", "Order")
}
