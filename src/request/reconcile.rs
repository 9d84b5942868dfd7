//! Working on a CertificateRequest: gather the facts, plan, act.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use tracing::info;

use crate::{
    api::{
        names::annotation,
        reason::request as reason,
        request::{CertificateRequest, CertificateRequestStatus},
    },
    cluster::{
        Cache, Clock, Next, ObjectKey, Reconciler, RequestError,
        events::Events,
        write::{self, api_of},
    },
    issuer::{
        IssuerView, Issuers, LocalSigners, Sessions,
        local::{Outcome, SigningError, SigningInput},
        offered,
        order_request::{self, Draft, Said},
    },
    order::{
        brought::{Brought, brought},
        facts::{OrderFacts, OrderIndex},
        placing::{self, Placed},
    },
    pki::key::PrivateKey,
    request::{
        error::Error,
        facts::RequestFacts,
        in_hand::InHand,
        plan::{self, Plan, Served, Situation, plan},
    },
};

/// Works on CertificateRequests. Cheap to clone.
#[derive(Clone)]
pub struct RequestReconciler {
    /// For the API server.
    pub client: Client,
    /// The time.
    pub clock: Clock,
    /// All CertificateRequests.
    pub requests: Arc<Cache<RequestFacts>>,
    /// All Orders.
    pub orders: Arc<Cache<OrderFacts>>,
    /// All issuers.
    pub issuers: Issuers,
    /// What users are told.
    pub events: Events,
    /// Whether requests are approved here.
    pub approver: bool,
    /// Which issuers' requests are handed to them.
    pub served: Served,
    /// Those whose keys are in the cluster.
    pub local: Arc<LocalSigners>,
    /// What ACME servers offer is asked through them.
    pub sessions: Arc<Sessions>,
    /// Which certificates are replaced.
    pub replaced: Replaced,
    /// Requests that are answered while their Certificate is worked on.
    pub in_hand: InHand,
}

/// The certificate that the one a request asks for takes the place of, as renewal information
/// identifies it (RFC 9773, 4.1).
pub type Replaced = Arc<dyn Fn(&RequestFacts) -> Option<String> + Send + Sync>;

impl Reconciler for RequestReconciler {
    const NAME: &'static str = "certificaterequests";
    type Error = Error;

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(request) = self.requests.get(key) else {
            return Ok(Next::Change);
        };
        if self.in_hand.holds(&request) {
            return Ok(Next::Change);
        }
        let issuer = self.issuers.lookup(&request.issuer_ref, &key.namespace);
        let orders = self
            .orders
            .find(&OrderIndex::Owner(request.meta.as_owner()));
        // An order that stands says it itself.
        let replaces = match orders.is_empty() {
            true => (self.replaced)(&request),
            false => None,
        };
        let profile = match &issuer {
            Ok(issuer) if orders.is_empty() && !request.is_over() => {
                let csr = request.csr.as_ref().ok();
                offered::choose(&self.sessions, issuer, &request.annotations, csr).await
            }
            Ok(_) | Err(_) => Ok(None),
        };
        let plan = plan(Situation {
            request: &request,
            approver: self.approver,
            served: self.served,
            issuer: issuer.as_ref(),
            order: orders.first(),
            profile: profile.as_ref().map(Option::as_deref),
            replaces: replaces.as_deref(),
            now: self.clock.now(),
        });
        if plan.sign
            && let Ok(issuer) = &issuer
        {
            self.sign(&request, issuer, plan.status).await?;
            return Ok(Next::Change);
        }
        let next = plan.look.map_or(Next::Change, Next::After);
        self.act(request, orders.first(), plan).await?;
        Ok(match profile {
            Ok(_) => next,
            Err(_) => next.sooner(Next::After(offered::RECHECK)),
        })
    }

    fn reference(&self, key: &ObjectKey) -> Option<ObjectReference> {
        self.requests.get(key).map(|request| reference(&request))
    }
}

impl RequestReconciler {
    async fn act(
        &self,
        request: Arc<RequestFacts>,
        order: Option<&Arc<OrderFacts>>,
        plan: Plan,
    ) -> Result<(), Error> {
        let Plan {
            status,
            create,
            take,
            sign: _,
            event,
            look: _,
        } = plan;
        let request = match status {
            Some(status) => self.store(&request, &status).await?,
            None => request,
        };
        if let Some(event) = event {
            self.events.tell(reference(&request), event);
        }
        if let Some(draft) = create {
            self.create_order(&request, *draft).await?;
        }
        if take && let Some(order) = order {
            self.take(&request, order).await?;
        }
        Ok(())
    }

    /// Have `request` signed, and write what came of it together with what was to be written before.
    async fn sign(
        &self,
        request: &RequestFacts,
        issuer: &IssuerView,
        begun: Option<CertificateRequestStatus>,
    ) -> Result<(), Error> {
        // Otherwise it is not planned to be signed here.
        if let Some(outcome) = self.outcome(request, issuer, None).await? {
            let plan = plan::answered(request, begun, outcome, self.clock.now());
            self.finish(request, plan).await?;
        }
        Ok(())
    }

    /// What becomes of `request` at `issuer`, if that signs here; its `key` may be at hand.
    pub(super) async fn outcome(
        &self,
        request: &RequestFacts,
        issuer: &IssuerView,
        key: Option<&Arc<PrivateKey>>,
    ) -> Result<Option<Outcome>, SigningError> {
        let input = SigningInput {
            namespace: &request.meta.key.namespace,
            annotations: &request.annotations,
            key_annotation: annotation::PRIVATE_KEY_SECRET_NAME,
            duration: request.duration.as_ref(),
            is_ca: request.is_ca == Some(true),
            usages: request.usages.as_deref().unwrap_or_default(),
            ca_may_sign: true,
            csr: request.csr.as_ref().map_err(String::as_str),
            request: &request.request.0,
            key,
        };
        self.local.sign(issuer, &input).await
    }

    async fn create_order(&self, request: &RequestFacts, draft: Draft) -> Result<(), Error> {
        let key = draft.key();
        let pem = request.request.clone();
        match placing::place(&self.client, &self.orders, draft, pem).await? {
            Placed::New | Placed::Ours => Ok(()),
            Placed::Taken => {
                let said = order_request::name_taken(&key);
                let plan = plan::pending(request, said, self.clock.now());
                self.finish(request, plan).await
            }
        }
    }

    async fn take(&self, request: &RequestFacts, order: &OrderFacts) -> Result<(), Error> {
        let csr = request.csr.as_ref().map_err(String::as_str);
        match brought(&self.client, &order.meta.key, csr).await? {
            Brought::Certificate(certificate) => {
                let status = plan::issued(request, certificate, self.clock.now());
                self.store(request, &status).await?;
                info!("certificate issued");
            }
            Brought::Unfit(message) => {
                let reason = reason::DECODE_ERROR;
                let said = Said { reason, message };
                let plan = plan::failed(request, said, self.clock.now());
                self.finish(request, plan).await?;
            }
            Brought::Nothing => {}
        }
        Ok(())
    }

    pub(super) async fn finish(&self, request: &RequestFacts, plan: Plan) -> Result<(), Error> {
        let Plan {
            status,
            create: _,
            take: _,
            sign: _,
            event,
            look: _,
        } = plan;
        if let Some(status) = status {
            self.store(request, &status).await?;
        }
        if let Some(event) = event {
            self.events.tell(reference(request), event);
        }
        Ok(())
    }

    /// Store the status; answers the request as it is then.
    async fn store(
        &self,
        request: &RequestFacts,
        status: &CertificateRequestStatus,
    ) -> Result<Arc<RequestFacts>, Error> {
        let key = &request.meta.key;
        let api = api_of::<CertificateRequest>(&self.client, key);
        let version = &request.meta.resource_version;
        write::patch_status(&api, &self.requests, key, version, &request.status, status).await?;
        let known = self.requests.get(key);
        known.ok_or_else(|| Error::Request(RequestError::stale::<CertificateRequest>(key)))
    }
}

fn reference(request: &RequestFacts) -> ObjectReference {
    request
        .meta
        .reference("cert-manager.io/v1", "CertificateRequest")
}
