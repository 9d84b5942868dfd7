//! What to do next for a CertificateSigningRequest. Pure.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    ByteString,
    api::certificates::v1::{CertificateSigningRequestCondition, CertificateSigningRequestStatus},
};

use crate::{
    api::{
        condition,
        duration::{DEFAULT_LIFETIME, Duration},
        names::signing_request as annotation,
        reason::{request as reason, signing_request as word},
        usage::KeyUsage,
    },
    certificate::request::copied_annotations,
    cluster::{ObjectKey, events::Event},
    issuer::{
        IssuerKind, IssuerView, Missing,
        kind::Signer,
        order_name::RequestKind,
        order_request::{self, Draft, RequestInput, Said, Signing},
    },
    order::facts::OrderFacts,
    request::plan::Served,
    signing_request::facts::{Asked, SigningRequestFacts},
};

/// Shortest lifetime that may be asked for: the least of `spec.expirationSeconds`, however it is
/// asked for.
const MIN_LIFETIME: SignedDuration = SignedDuration::from_mins(10);

/// The facts a step is decided on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The request.
    pub request: &'a SigningRequestFacts,
    /// Which issuers' requests are handed to them here.
    pub served: Served,
    /// Its issuer.
    pub issuer: Result<&'a IssuerView, &'a Missing>,
    /// Whether the requester may use the issuer, if that was asked.
    pub may_reference: Option<bool>,
    /// The Order it owns.
    pub order: Option<&'a Arc<OrderFacts>>,
    /// The profile that an Order is made for, or why it cannot be said, once that was found out.
    pub profile: Option<Result<Option<&'a str>, &'a Said>>,
    /// Prefixes of annotations that are copied to Orders.
    pub copied_annotation_prefixes: &'a [String],
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It is over, or not for us.
    Nothing,
    /// Tell what is waited for.
    Wait(Event),
    /// Ask whether the requester may use the issuer, and plan again.
    Ask,
    /// Find out which profile to order, and plan again.
    ChooseProfile,
    /// It failed for good.
    Fail(Said),
    /// Have it signed by the issuer, whose key is in the cluster.
    Sign(Terms),
    /// Make this Order.
    Order(Box<Draft>),
    /// Take over the Order's certificate.
    Take,
}

/// What is to be signed, beside what the signing request says.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// For how long.
    pub lifetime: Duration,
    /// For what.
    pub usages: Vec<KeyUsage>,
}

/// Decide what to do.
pub fn plan(situation: Situation<'_>) -> Step {
    let Situation {
        request,
        served,
        issuer,
        may_reference,
        order,
        profile,
        copied_annotation_prefixes,
    } = situation;
    let Some(asked) = request.asked.as_ref().filter(|_| !request.meta.deleting) else {
        return Step::Nothing;
    };
    if !request.is_approved() {
        let message = "Waiting for the Approved condition before issuing".to_owned();
        return Step::Wait(Event::normal(word::WAITING_APPROVAL, message));
    }
    let issuer = match issuer {
        Ok(issuer) => issuer,
        Err(missing) => return warn(reason::ISSUER_NOT_FOUND, not_found(asked, missing)),
    };
    // Of which kind it is comes before whether it is ready: that may be another's to say.
    let signer = match (issuer.signer(), issuer.usable()) {
        (Ok(signer), _) => signer,
        (Err(_), Err(why)) => return warn(why.reason(), why.to_string()),
        (Err(_), Ok(_)) => return Step::Nothing,
    };
    if !served.has(&signer) {
        return Step::Nothing;
    }
    let is_ordered = matches!(signer, Signer::Acme(_)) && order.is_some_and(|o| !o.is_over());
    if issuer.kind == IssuerKind::Issuer {
        match may_reference {
            Some(true) => {}
            // Asked before the order was made, and again before its certificate is handed over.
            None if is_ordered => {}
            Some(false) => {
                let message = format!(
                    "Requester may not reference Namespaced Issuer {}: it takes verb \"reference\" \
                     on signers.cert-manager.io in that namespace",
                    issuer.key
                );
                return fail(word::DENIED_REFERENCE, message);
            }
            None => return Step::Ask,
        }
    }
    let lifetime = match lifetime(asked) {
        Ok(lifetime) => lifetime,
        Err(said) => return Step::Fail(said),
    };
    if let Err(why) = issuer.usable() {
        return warn(why.reason(), why.to_string());
    }
    let acme = match signer {
        Signer::Acme(acme) => acme,
        Signer::Ca(_) => return sign(asked, lifetime, reason::SIGNING_ERROR),
        Signer::SelfSigned(_) => return sign(asked, lifetime, reason::ERROR_GENERATING),
    };
    let profile = match (order, profile) {
        // An order that stands has its profile.
        (Some(_), _) => None,
        (None, None) => return Step::ChooseProfile,
        (None, Some(Ok(profile))) => profile,
        (None, Some(Err(Said { reason, message }))) => {
            return warn(reason, message.clone());
        }
    };
    let annotations = copied_annotations(&asked.annotations, copied_annotation_prefixes);
    let namespace = Arc::clone(&issuer.secrets_namespace);
    let input = RequestInput {
        kind: RequestKind::CertificateSigningRequest,
        key: &ObjectKey::new(namespace, Arc::clone(&request.meta.key.name)),
        uid: &request.meta.uid,
        labels: &asked.labels,
        annotations: &annotations,
        issuer_ref: &asked.signer.reference(),
        duration: Some(&lifetime),
        csr: asked.csr.as_ref().map_err(String::as_str),
        profile,
        replaces: None,
    };
    let order = order.map(|order| order.input());
    match order_request::plan(input, acme, order) {
        Signing::Create(draft) => Step::Order(draft),
        Signing::Pending(Said { reason, message }) => Step::Wait(Event::normal(reason, message)),
        Signing::Failed(said) => Step::Fail(said),
        Signing::Take => Step::Take,
    }
}

/// The status of a request that was issued.
pub fn issued(
    request: &SigningRequestFacts,
    certificate: Vec<u8>,
) -> CertificateSigningRequestStatus {
    CertificateSigningRequestStatus {
        certificate: Some(ByteString(certificate)),
        ..request.status.clone()
    }
}

/// The status of a request that failed for good.
pub fn failed(
    request: &SigningRequestFacts,
    said: &Said,
    now: Timestamp,
) -> CertificateSigningRequestStatus {
    let mut status = request.status.clone();
    let now = condition::to_the_second(now);
    let conditions = status.conditions.get_or_insert_default();
    conditions.push(CertificateSigningRequestCondition {
        type_: SigningRequestFacts::FAILED.to_owned(),
        status: "True".to_owned(),
        reason: Some(said.reason.to_owned()),
        message: Some(said.message.clone()),
        last_transition_time: Some(now.clone()),
        last_update_time: Some(now),
    });
    status
}

fn sign(asked: &Asked, lifetime: Duration, reason: &'static str) -> Step {
    match &asked.usages {
        Ok(usages) => Step::Sign(Terms {
            lifetime,
            usages: usages.clone(),
        }),
        Err(error) => fail(reason, format!("spec.usages: {error}")),
    }
}

/// The annotation comes first: it is older than the field.
fn lifetime(asked: &Asked) -> Result<Duration, Said> {
    let (lifetime, seconds) = match asked.annotations.get(annotation::DURATION) {
        Some(text) => {
            let lifetime = Duration::from(text.as_str());
            let parsed = lifetime.parse().map_err(|error| Said {
                reason: word::ERROR_PARSE_DURATION,
                message: format!(
                    "Failed to parse requested duration: annotation {:?}: {error}",
                    annotation::DURATION
                ),
            })?;
            (lifetime, parsed)
        }
        None => {
            let seconds = asked.expiration_seconds;
            let lifetime = seconds.map_or(DEFAULT_LIFETIME, |seconds| {
                SignedDuration::from_secs(seconds.into())
            });
            (lifetime.into(), lifetime)
        }
    };
    if seconds < MIN_LIFETIME {
        return Err(Said {
            reason: word::INVALID_DURATION,
            message: format!(
                "CertificateSigningRequest minimum allowed duration is {}, requested {lifetime}",
                Duration::from(MIN_LIFETIME)
            ),
        });
    }
    Ok(lifetime)
}

fn not_found(asked: &Asked, missing: &Missing) -> String {
    let signer = &asked.signer;
    if signer.kind == IssuerKind::Issuer && signer.key.namespace.is_empty() {
        return format!(
            "the signer name has no namespace: make the request again for \
             issuers.cert-manager.io/NAMESPACE.{}",
            signer.key.name
        );
    }
    missing.to_string()
}

fn warn(reason: &'static str, message: String) -> Step {
    Step::Wait(Event::warning(reason, message))
}

fn fail(reason: &'static str, message: String) -> Step {
    Step::Fail(Said { reason, message })
}

#[cfg(test)]
mod tests;
