//! What to do next for a CertificateRequest. Pure.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;

use crate::{
    api::{
        condition::{self, RequestCondition, kind},
        reason::request as reason,
        request::CertificateRequestStatus,
    },
    cluster::events::Event,
    issuer::{
        IssuerView, Missing,
        kind::Signer,
        local::{Certificate, Outcome},
        order_name::RequestKind,
        order_request::{self, Draft, RequestInput, Said, Signing},
    },
    order::facts::OrderFacts,
    request::facts::RequestFacts,
};

/// The facts a step is decided on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The request.
    pub request: &'a RequestFacts,
    /// Whether requests are approved here; otherwise somebody else does.
    pub approver: bool,
    /// Which issuers' requests are handed to them here.
    pub served: Served,
    /// Its issuer.
    pub issuer: Result<&'a IssuerView, &'a Missing>,
    /// The Order it owns.
    pub order: Option<&'a Arc<OrderFacts>>,
    /// The profile that an Order is made for, or why it cannot be said.
    pub profile: Result<Option<&'a str>, &'a Said>,
    /// The certificate that it takes the place of, as the CA is told of it.
    pub replaces: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
}

/// Issuers by what they sign by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// ACME.
    pub acme: bool,
    /// A CA in a Secret.
    pub ca: bool,
    /// Nothing: requests sign themselves.
    pub self_signed: bool,
}

impl Served {
    /// No issuers at all.
    pub const NONE: Self = Self {
        acme: false,
        ca: false,
        self_signed: false,
    };

    /// Whether those that sign by `signer` are among them.
    pub fn has(self, signer: &Signer<'_>) -> bool {
        match signer {
            Signer::Acme(_) => self.acme,
            Signer::Ca(_) => self.ca,
            Signer::SelfSigned(_) => self.self_signed,
        }
    }
}

/// What to do, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The status to write, if it is another than the present one.
    pub status: Option<CertificateRequestStatus>,
    /// The Order to create.
    pub create: Option<Box<Draft>>,
    /// Whether the Order's certificate is to be taken over.
    pub take: bool,
    /// Whether it is to be signed here; the status is written with what comes of it.
    pub sign: bool,
    /// What to tell on the request.
    pub event: Option<Event>,
    /// When to look again although nothing has changed.
    pub look: Option<Duration>,
}

/// Message of the Approved condition, as people and tools know it from cert-manager.
const APPROVED_MESSAGE: &str = "Certificate request has been approved by cert-manager.io";
/// Message of the Ready condition of a denied request.
const DENIED_MESSAGE: &str = "The CertificateRequest was denied by an approval controller";
/// Message of the Ready condition of an issued request.
const ISSUED_MESSAGE: &str = "Certificate fetched from issuer successfully";

/// How long an approver may take before users are told that it is waited for: one that works takes
/// less, and most requests have one event less.
const PATIENCE: SignedDuration = SignedDuration::from_secs(5);

/// Decide what to do.
pub fn plan(situation: Situation<'_>) -> Plan {
    let Situation {
        request,
        approver,
        served,
        issuer,
        order,
        profile,
        replaces,
        now,
    } = situation;
    // Who works on the Certificate answers it, or makes another.
    if request.meta.deleting || request.is_over() || request.is_reuse() {
        return Plan::default();
    }
    let mut draft = StatusDraft {
        status: request.status.clone(),
        now,
    };
    let is_foreign = matches!(issuer, Err(Missing::Foreign { .. }));
    if request.is_true(kind::DENIED) {
        if is_foreign {
            return Plan::default();
        }
        draft.fail(reason::DENIED, DENIED_MESSAGE.to_owned());
        return draft.plan(request, None);
    }
    if !request.is_true(kind::APPROVED) {
        if !approver && is_foreign {
            return Plan::default();
        }
        if !approver {
            return await_approval(request, now);
        }
        draft.approve();
    }
    if served == Served::NONE {
        return draft.plan(request, None);
    }
    let issuer = match issuer {
        // Approved under the same rules, signed by its own controller.
        Err(Missing::Foreign { .. }) => return draft.plan(request, None),
        Err(missing) => {
            let said = Said {
                reason: reason::ISSUER_NOT_FOUND,
                message: missing.to_string(),
            };
            return draft.pending(request, said);
        }
        Ok(issuer) => issuer,
    };
    let signer = match issuer.usable() {
        Ok(signer) => signer,
        Err(why) => {
            let said = Said {
                reason: why.reason(),
                message: why.to_string(),
            };
            return draft.pending(request, said);
        }
    };
    if !served.has(&signer) {
        return draft.plan(request, None);
    }
    let acme = match signer {
        Signer::Acme(acme) => acme,
        Signer::Ca(_) | Signer::SelfSigned(_) => return draft.sign(request),
    };
    let profile = match (profile, order) {
        (Ok(profile), _) => profile,
        // An order that stands has its profile.
        (Err(_), Some(_)) => None,
        (Err(said), None) => return draft.pending(request, said.clone()),
    };
    let input = RequestInput {
        kind: RequestKind::CertificateRequest,
        key: &request.meta.key,
        uid: &request.meta.uid,
        labels: &request.labels,
        annotations: &request.annotations,
        issuer_ref: &request.issuer_ref,
        duration: request.duration.as_ref(),
        csr: request.csr.as_ref().map_err(String::as_str),
        profile,
        replaces: replaces.filter(|_| issuer.asks_renewal_info()),
    };
    let order = order.map(|order| order.input());
    match order_request::plan(input, acme, order) {
        Signing::Create(create) => {
            // One write says all: approved, and waiting for the order that follows it.
            draft.ready(
                reason::PENDING,
                order_request::waiting(&create.key()).message,
            );
            Plan {
                create: Some(create),
                ..draft.plan(request, None)
            }
        }
        Signing::Pending(said) => {
            draft.ready(reason::PENDING, said.message);
            draft.plan(request, None)
        }
        Signing::Failed(said) => draft.failed(request, said),
        Signing::Take => Plan {
            take: true,
            ..draft.plan(request, None)
        },
    }
}

fn await_approval(request: &RequestFacts, now: Timestamp) -> Plan {
    let created = request.meta.created;
    let told_at = created.and_then(|created| created.checked_add(PATIENCE).ok());
    if let Some(told_at) = told_at.filter(|at| now < *at) {
        return Plan {
            look: Some(now.duration_until(told_at).unsigned_abs()),
            ..Plan::default()
        };
    }
    let message = "Not signing CertificateRequest until it is Approved".to_owned();
    Plan {
        event: Some(Event::normal(reason::WAITING_FOR_APPROVAL, message)),
        ..Plan::default()
    }
}

/// Whether a request to `issuer` that is made now is approved and signed here without waiting for
/// anybody.
pub fn answers_at_once(
    approver: bool,
    served: Served,
    issuer: Result<&IssuerView, &Missing>,
) -> bool {
    let signer = issuer.ok().and_then(|issuer| issuer.usable().ok());
    approver
        && match signer {
            Some(signer @ (Signer::Ca(_) | Signer::SelfSigned(_))) => served.has(&signer),
            Some(Signer::Acme(_)) | None => false,
        }
}

/// The status of a request that was issued.
pub fn issued(
    request: &RequestFacts,
    certificate: Vec<u8>,
    now: Timestamp,
) -> CertificateRequestStatus {
    let mut draft = StatusDraft {
        status: request.status.clone(),
        now,
    };
    draft.set(kind::READY, true, reason::ISSUED, ISSUED_MESSAGE.to_owned());
    draft.status.certificate = Some(ByteString(certificate));
    draft.status
}

/// A certificate that is there already, for a request.
#[derive(Clone, Debug)]
pub struct Handed<'a> {
    /// Leaf and intermediates, PEM.
    pub chain_pem: &'a [u8],
    /// The CA, PEM.
    pub ca_pem: Option<&'a [u8]>,
    /// Which it is.
    pub message: String,
}

/// What to write of a request that is answered with a certificate that is there already.
pub fn handed_over(request: &RequestFacts, handed: Handed<'_>, now: Timestamp) -> Plan {
    let Handed {
        chain_pem,
        ca_pem,
        message,
    } = handed;
    let mut draft = StatusDraft {
        status: request.status.clone(),
        now,
    };
    draft.approve();
    draft.set(kind::READY, true, reason::ISSUED, message);
    draft.status.certificate = Some(ByteString(chain_pem.to_vec()));
    draft.status.ca = ca_pem.map(|pem| ByteString(pem.to_vec()));
    draft.plan(request, None)
}

/// What to write and tell once a request was to be signed here. `begun` is the status that the plan
/// was to write, which follows in the same write.
pub fn answered(
    request: &RequestFacts,
    begun: Option<CertificateRequestStatus>,
    outcome: Outcome,
    now: Timestamp,
) -> Plan {
    let mut draft = StatusDraft {
        status: begun.unwrap_or_else(|| request.status.clone()),
        now,
    };
    let Certificate {
        chain_pem,
        ca_pem,
        remark,
    } = match outcome {
        Outcome::Issued(certificate) => *certificate,
        Outcome::Pending(said) => return draft.pending(request, said),
        Outcome::Failed(said) => return draft.failed(request, said),
    };
    draft.set(kind::READY, true, reason::ISSUED, ISSUED_MESSAGE.to_owned());
    draft.status.certificate = Some(ByteString(chain_pem.into_bytes()));
    draft.status.ca = Some(ByteString(ca_pem.into_bytes()));
    let event = remark.map(|Said { reason, message }| Event::warning(reason, message));
    draft.plan(request, event)
}

/// What to do with a request that cannot be issued after all.
pub fn failed(request: &RequestFacts, said: Said, now: Timestamp) -> Plan {
    StatusDraft {
        status: request.status.clone(),
        now,
    }
    .failed(request, said)
}

/// What to do with a request that has to wait for what `said` tells.
pub fn pending(request: &RequestFacts, said: Said, now: Timestamp) -> Plan {
    StatusDraft {
        status: request.status.clone(),
        now,
    }
    .pending(request, said)
}

struct StatusDraft {
    status: CertificateRequestStatus,
    now: Timestamp,
}

impl StatusDraft {
    fn set(&mut self, type_: &str, status: bool, reason: &str, message: String) {
        let conditions = self.status.conditions.get_or_insert_default();
        let condition = RequestCondition::new(type_, status, reason, message);
        condition::set(conditions, condition, self.now);
    }

    fn approve(&mut self) {
        let message = APPROVED_MESSAGE.to_owned();
        self.set(kind::APPROVED, true, reason::APPROVED, message);
    }

    fn ready(&mut self, reason: &str, message: String) {
        self.set(kind::READY, false, reason, message);
    }

    fn fail(&mut self, reason: &str, message: String) {
        self.ready(reason, message);
        let now = condition::to_the_second(self.now);
        self.status.failure_time.get_or_insert(now);
    }

    /// Waiting, for a reason worth an event when it is new.
    fn pending(mut self, request: &RequestFacts, said: Said) -> Plan {
        let Said { reason, message } = said;
        self.ready(reason::PENDING, message.clone());
        self.plan(request, Some(Event::normal(reason, message)))
    }

    fn failed(mut self, request: &RequestFacts, said: Said) -> Plan {
        let Said { reason, message } = said;
        self.fail(reason::FAILED, message.clone());
        self.plan(request, Some(Event::warning(reason, message)))
    }

    fn sign(self, request: &RequestFacts) -> Plan {
        Plan {
            sign: true,
            ..self.plan(request, None)
        }
    }

    /// Write and tell only what is new.
    fn plan(self, request: &RequestFacts, event: Option<Event>) -> Plan {
        if self.status == request.status {
            return Plan::default();
        }
        Plan {
            status: Some(self.status),
            event,
            ..Plan::default()
        }
    }
}

#[cfg(test)]
mod tests;
