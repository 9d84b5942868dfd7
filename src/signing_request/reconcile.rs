//! Working on a CertificateSigningRequest: gather the facts, plan, act.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::{
    certificates::v1::{CertificateSigningRequest, CertificateSigningRequestStatus},
    core::v1::ObjectReference,
};
use kube::{Api, Client};
use tracing::info;

use crate::{
    api::{
        names::signing_request as annotation,
        reason::{request as reason, signing_request as word},
    },
    cluster::{
        Cache, Clock, Next, ObjectKey, OwnerKey, Reconciler,
        events::{Event, Events},
        write,
    },
    issuer::{
        IssuerView, Issuers, LocalSigners, Sessions,
        kind::Signer,
        local::{Outcome, SigningInput},
        offered,
        order_request::{self, Draft, Said},
    },
    order::{
        brought::{Brought, brought},
        facts::{OrderFacts, OrderIndex},
        placing::{self, Placed},
    },
    request::{error::Error, plan::Served},
    signing_request::{
        access::may_reference,
        facts::{Asked, SigningRequestFacts},
        plan::{self, Situation, Step, Terms, plan},
    },
};

/// How soon an Order in the way of ours is looked at again: nothing wakes us when it goes.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Works on CertificateSigningRequests.
pub struct SigningRequestReconciler {
    /// For the API server.
    pub client: Client,
    /// The time.
    pub clock: Clock,
    /// CertificateSigningRequests for issuers of ours.
    pub requests: Arc<Cache<SigningRequestFacts>>,
    /// All Orders.
    pub orders: Arc<Cache<OrderFacts>>,
    /// All issuers.
    pub issuers: Issuers,
    /// What users are told.
    pub events: Events,
    /// Which issuers' requests are handed to them.
    pub served: Served,
    /// Those whose keys are in the cluster.
    pub local: Arc<LocalSigners>,
    /// What ACME servers offer is asked through them.
    pub sessions: Arc<Sessions>,
    /// Prefixes of annotations that are copied to Orders.
    pub copied_annotation_prefixes: Vec<String>,
}

impl Reconciler for SigningRequestReconciler {
    const NAME: &'static str = "certificatesigningrequests";
    type Error = Error;

    async fn reconcile(&self, key: &ObjectKey) -> Result<Next, Error> {
        let Some(request) = self.requests.get(key) else {
            return Ok(Next::Change);
        };
        let Some(asked) = &request.asked else {
            return Ok(Next::Change);
        };
        let signer = &asked.signer;
        let issuer = self
            .issuers
            .lookup(&signer.reference(), &signer.key.namespace);
        let orders = issuer.as_ref().map_or_else(
            |_| Vec::new(),
            |issuer| {
                // It is nowhere itself: its Order is where the issuer's Secrets are.
                let owner = OwnerKey::new(&issuer.secrets_namespace, request.meta.uid.as_str());
                self.orders.find(&OrderIndex::Owner(owner))
            },
        );
        let mut situation = Situation {
            request: &request,
            served: self.served,
            issuer: issuer.as_ref(),
            may_reference: None,
            order: orders.first(),
            profile: None,
            copied_annotation_prefixes: &self.copied_annotation_prefixes,
        };
        let mut step = plan(situation);
        if step == Step::Ask {
            let issuer = &asked.signer.key;
            let may = may_reference(&self.client, &asked.requester, issuer).await?;
            situation.may_reference = Some(may);
            step = plan(situation);
        }
        let mut next = Next::Change;
        let chosen = match (&step, &issuer) {
            (Step::ChooseProfile, Ok(issuer)) => {
                let csr = asked.csr.as_ref().ok();
                Some(offered::choose(&self.sessions, issuer, &asked.annotations, csr).await)
            }
            _ => None,
        };
        if let Some(chosen) = &chosen {
            situation.profile = Some(chosen.as_ref().map(Option::as_deref));
            step = plan(situation);
            if chosen.is_err() {
                next = Next::After(offered::RECHECK);
            }
        }
        match step {
            Step::Nothing | Step::Ask | Step::ChooseProfile => {}
            Step::Wait(event) => self.tell(&request, event),
            Step::Fail(said) => self.fail(&request, said).await?,
            Step::Sign(terms) => {
                if let Ok(issuer) = &issuer {
                    self.sign(&request, asked, issuer, &terms).await?;
                }
            }
            Step::Order(draft) => return self.order(&request, asked, *draft).await,
            Step::Take => {
                if let Some(order) = orders.first() {
                    self.take(&request, asked, order).await?;
                }
            }
        }
        Ok(next)
    }

    fn reference(&self, key: &ObjectKey) -> Option<ObjectReference> {
        self.requests.get(key).map(|request| reference(&request))
    }
}

impl SigningRequestReconciler {
    /// Have it signed by an issuer whose key is in the cluster.
    async fn sign(
        &self,
        request: &SigningRequestFacts,
        asked: &Asked,
        issuer: &IssuerView,
        terms: &Terms,
    ) -> Result<(), Error> {
        let input = SigningInput {
            namespace: &issuer.secrets_namespace,
            annotations: &asked.annotations,
            key_annotation: annotation::PRIVATE_KEY_SECRET_NAME,
            duration: Some(&terms.lifetime),
            is_ca: asked.is_ca(),
            usages: &terms.usages,
            // Who approved it saw the usages, and no others are given.
            ca_may_sign: false,
            csr: asked.csr.as_ref().map_err(String::as_str),
            request: &asked.request.0,
            key: None,
        };
        // Otherwise it is not planned to be signed here.
        let Some(outcome) = self.local.sign(issuer, &input).await? else {
            return Ok(());
        };
        match outcome {
            Outcome::Issued(certificate) => {
                let message = match issuer.signer() {
                    Ok(Signer::SelfSigned(_)) => SELF_SIGNED,
                    Ok(Signer::Ca(_) | Signer::Acme(_)) | Err(_) => FETCHED,
                };
                let chain = certificate.chain_pem.into_bytes();
                self.issued(request, chain, message).await?;
                if let Some(remark) = certificate.remark {
                    self.warn(request, remark);
                }
            }
            Outcome::Pending(Said { reason, message }) => {
                let reason = match reason {
                    reason::MISSING_SECRET => word::SECRET_NOT_FOUND,
                    other => other,
                };
                self.warn(request, Said { reason, message });
            }
            Outcome::Failed(said) => self.fail(request, said).await?,
        }
        Ok(())
    }

    async fn order(
        &self,
        request: &SigningRequestFacts,
        asked: &Asked,
        draft: Draft,
    ) -> Result<Next, Error> {
        let key = draft.key();
        let pem = asked.request.clone();
        match placing::place(&self.client, &self.orders, draft, pem).await? {
            Placed::New => {
                let message = format!("Created Order resource {key}");
                self.tell(request, Event::normal(reason::ORDER_CREATED, message));
                Ok(Next::Change)
            }
            Placed::Ours => Ok(Next::Change),
            Placed::Taken => {
                self.warn(request, order_request::name_taken(&key));
                Ok(Next::After(LOOK_AGAIN))
            }
        }
    }

    async fn take(
        &self,
        request: &SigningRequestFacts,
        asked: &Asked,
        order: &OrderFacts,
    ) -> Result<(), Error> {
        let csr = asked.csr.as_ref().map_err(String::as_str);
        match brought(&self.client, &order.meta.key, csr).await? {
            Brought::Certificate(certificate) => self.issued(request, certificate, FETCHED).await,
            Brought::Unfit(message) => {
                let reason = word::ORDER_BAD_CERTIFICATE;
                self.fail(request, Said { reason, message }).await
            }
            Brought::Nothing => Ok(()),
        }
    }

    async fn issued(
        &self,
        request: &SigningRequestFacts,
        certificate: Vec<u8>,
        message: &str,
    ) -> Result<(), Error> {
        self.store(request, &plan::issued(request, certificate))
            .await?;
        info!("certificate issued");
        self.tell(request, Event::normal(reason::CERTIFICATE_ISSUED, message));
        Ok(())
    }

    async fn fail(&self, request: &SigningRequestFacts, said: Said) -> Result<(), Error> {
        info!(reason = said.reason, message = said.message, "failed");
        let status = plan::failed(request, &said, self.clock.now());
        self.store(request, &status).await?;
        self.warn(request, said);
        Ok(())
    }

    async fn store(
        &self,
        request: &SigningRequestFacts,
        status: &CertificateSigningRequestStatus,
    ) -> Result<(), Error> {
        let key = &request.meta.key;
        let api: Api<CertificateSigningRequest> = Api::all(self.client.clone());
        let version = &request.meta.resource_version;
        write::patch_status(&api, &self.requests, key, version, &request.status, status).await?;
        Ok(())
    }

    fn warn(&self, request: &SigningRequestFacts, said: Said) {
        let Said { reason, message } = said;
        self.tell(request, Event::warning(reason, message));
    }

    fn tell(&self, request: &SigningRequestFacts, event: Event) {
        self.events.tell(reference(request), event);
    }
}

/// Told of a certificate that an issuer made.
const FETCHED: &str = "Certificate fetched from issuer successfully";
/// Told of a certificate that is signed by its own key.
const SELF_SIGNED: &str = "Certificate self signed successfully";

fn reference(request: &SigningRequestFacts) -> ObjectReference {
    request
        .meta
        .reference("certificates.k8s.io/v1", "CertificateSigningRequest")
}
