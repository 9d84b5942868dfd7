//! Working on an Order: gather the facts, plan, act.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt, stream};
use instant_acme::OrderStatus as AtCa;
use k8s_openapi::{ByteString, api::core::v1::ObjectReference};
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
    issuer::{AccountId, IssuerView, Issuers, Missing, Sessions, limits::Limits, refusal::CaError},
    order::{
        error::Error,
        exchange::{adopt, authorization_status, challenge, identifiers},
        facts::OrderFacts,
        ledger::{Ledger, Line},
        limits::{Names, What},
        plan::{NewChallenge, Situation, Step, plan},
    },
    pki::csr::request_der,
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

    /// Until when the order waits for its turn, if the limits of the CA are reached.
    async fn must_wait(
        &self,
        order: &OrderFacts,
        issuer: &IssuerView,
    ) -> Result<Option<Next>, Error> {
        let Some((account, limits)) = counted(issuer) else {
            return Ok(None);
        };
        let limits = match order.spec.replaces {
            None => limits,
            // Who renews at the CA's word is exempt, but not from what it costs to fail.
            Some(_) => limits.of_failures(),
        };
        let names = Names::of(&identifiers(&order.spec));
        let line = self.line(order, &account, &limits, &names);
        let Err(full) = self.ledger.admit(line).await? else {
            return Ok(None);
        };
        self.note(order, full.message(&limits)).await?;
        let wait = Duration::try_from(line.now.duration_until(full.at)).unwrap_or_default();
        Ok(Some(Next::After(wait)))
    }

    fn line<'a>(
        &self,
        order: &'a OrderFacts,
        account: &'a AccountId,
        limits: &'a Limits,
        names: &'a Names,
    ) -> Line<'a> {
        Line {
            account,
            limits,
            order: &order.meta.key,
            uid: &order.meta.uid,
            names,
            now: self.clock.now(),
        }
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

    /// What the CA says of its limits counts more than our own count.
    fn learn(&self, error: &CaError, line: Line<'_>) {
        let (Some(until), Some(problem)) = (error.retry_at(), error.problem()) else {
            return;
        };
        if let Some(what) = What::of_refusal(&problem.detail, line.names) {
            self.ledger.refused(line, &what, until);
        }
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

    /// Everything is proven, or something failed: see what the CA makes of it.
    async fn advance(
        &self,
        order: &OrderFacts,
        issuer: &IssuerView,
        session: &Session,
        failed: Option<String>,
    ) -> Result<Next, Error> {
        let url = order.status.url.as_deref().unwrap_or_default();
        let mut at_ca = session.order(url).await.map_err(|error| self.ca(error))?;
        if at_ca.status.known() == Some(&AtCa::Ready) {
            let csr = request_der(&order.spec.request.0)?;
            at_ca = match session.finalize(&at_ca, &csr).await {
                Ok(finalized) => finalized,
                Err(error) => {
                    let error = self.ca(error);
                    // An earlier try may have been heard: what the order has become tells.
                    let read = session.order(url).await.map_err(|error| self.ca(error))?;
                    match read.status.known() {
                        Some(AtCa::Valid | AtCa::Processing | AtCa::Invalid) => read,
                        _ => return Err(error.into()),
                    }
                }
            };
        }
        match at_ca.status.known() {
            Some(AtCa::Valid) => {
                let Some(url) = at_ca.certificate.as_deref() else {
                    return Ok(Next::After(self.pace.wait(&order.meta.key)));
                };
                self.take_certificate(order, issuer, session, url).await?;
                Ok(Next::Change)
            }
            Some(AtCa::Invalid) => {
                let said = at_ca.error.as_ref().map(ToString::to_string);
                let reason = match (failed, said) {
                    (Some(failed), _) => failed,
                    (None, Some(said)) => said,
                    (None, None) => {
                        "the CA found the order invalid, and did not say why".to_owned()
                    }
                };
                self.fail(order, Some(issuer), State::Invalid, reason)
                    .await?;
                Ok(Next::Change)
            }
            Some(AtCa::Pending) if let Some(failed) = failed => {
                // A challenge was given up here before the CA gave up the authorization.
                self.fail(order, Some(issuer), State::Invalid, failed)
                    .await?;
                Ok(Next::Change)
            }
            Some(AtCa::Pending | AtCa::Processing | AtCa::Ready) | None => {
                let wait = self.pace.wait(&order.meta.key);
                let asked = at_ca.retry_after.and_then(|retry| {
                    let now = self.clock.now();
                    Duration::try_from(retry.until(now).duration_since(now)).ok()
                });
                // The CA's word is for others: an order is often done long before it says.
                Ok(Next::After(asked.map_or(wait, |asked| asked.min(wait))))
            }
        }
    }

    async fn take_certificate(
        &self,
        order: &OrderFacts,
        issuer: &IssuerView,
        session: &Session,
        url: &str,
    ) -> Result<(), Error> {
        let acme = issuer.usable_acme().ok();
        let preferred = acme.and_then(|acme| acme.preferred_chain.as_deref());
        let chain = match preferred.filter(|name| !name.is_empty()) {
            Some(name) => session.certificate_preferring(url, name).await,
            None => session.certificate(url).await,
        };
        let chain = chain.map_err(|error| self.ca(error))?;
        let status = OrderStatus {
            certificate: Some(ByteString(chain.pem.into_bytes())),
            state: Some(State::Valid),
            reason: None,
            ..order.status.clone()
        };
        self.store(order, status).await?;
        self.pace.reset(&order.meta.key);
        if let Some((account, limits)) = counted(issuer) {
            let names = Names::of(&identifiers(&order.spec));
            let line = self.line(order, &account, &limits, &names);
            self.ledger.ended(line);
        }
        info!("order complete");
        Ok(())
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
    async fn fail(
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

    /// No certificate comes of an order that was placed, and perhaps some name was not validated.
    async fn count_failure(&self, order: &OrderFacts, issuer: &IssuerView) -> Result<(), Error> {
        let was_placed = order
            .status
            .url
            .as_deref()
            .is_some_and(|url| !url.is_empty());
        let counted = counted(issuer).filter(|_| was_placed);
        let Some((account, limits)) = counted else {
            return Ok(());
        };
        let names = Names::of(&identifiers(&order.spec));
        let line = self.line(order, &account, &limits, &names);
        // It may have been placed before this process began.
        self.ledger.open(line.account).await?;
        if order.spec.replaces.is_none() {
            self.ledger.failed(line);
        }
        let not_validated = self.not_validated(order);
        if !not_validated.is_empty() {
            self.ledger.not_validated(line, &not_validated);
        }
        // What it costs is counted first, so that nobody slips in between.
        self.ledger.ended(line);
        Ok(())
    }

    /// The names of `order` that the CA could not validate.
    fn not_validated(&self, order: &OrderFacts) -> BTreeSet<String> {
        let owner = ChallengeIndex::Owner(order.meta.as_owner());
        let challenges = self.challenges.find(&owner).into_iter();
        challenges
            .filter(|challenge| challenge.status.state == Some(State::Invalid))
            .map(|challenge| challenge.spec.dns_name.to_ascii_lowercase())
            .collect()
    }

    /// Store what the order waits for, if that is new; answers whether it was.
    async fn note(&self, order: &OrderFacts, why: String) -> Result<bool, Error> {
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

    async fn store(&self, order: &OrderFacts, status: OrderStatus) -> Result<(), Error> {
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

    fn ca(&self, error: acme::Error) -> CaError {
        CaError::new(error, self.clock.now())
    }
}

/// The account that orders of `issuer` count for, and how many its CA takes, if any are counted.
fn counted(issuer: &IssuerView) -> Option<(AccountId, Limits)> {
    // An issuer with other limits is not ready, and says so.
    let limits = issuer.limits().ok()?;
    let limits = Some(limits).filter(|limits| !limits.is_empty());
    issuer.account().zip(limits)
}

fn reference(order: &OrderFacts) -> ObjectReference {
    order.meta.reference("acme.cert-manager.io/v1", "Order")
}
