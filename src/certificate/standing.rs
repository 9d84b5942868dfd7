//! How does a request stand, as its conditions tell?

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::{
        condition::{AnyCondition, ConditionStatus, kind},
        reason::request as reason,
    },
    request::facts::RequestFacts,
};

/// How long a request may take before what it waits for is told: most take less.
const PATIENCE: SignedDuration = SignedDuration::from_secs(2);

/// How a request stands.
pub(super) enum Standing<'a> {
    /// For this reason, in a word and in a sentence.
    Failed(&'a str, &'a str),
    /// It says that there is a certificate.
    Issued,
    /// Its issuer may have said something.
    Pending { is_known: bool },
}

/// How `request` stands: a refusal counts more than what came of it.
pub(super) fn standing(request: &RequestFacts) -> Standing<'_> {
    for type_ in [kind::DENIED, kind::INVALID_REQUEST] {
        if let Some(refusal) = request.condition(type_)
            && refusal.status == ConditionStatus::True
        {
            return Standing::Failed(refusal.reason(), refusal.message());
        }
    }
    let Some(ready) = request.condition(kind::READY) else {
        return Standing::Pending { is_known: false };
    };
    match ready.reason() {
        reason::FAILED | reason::DENIED => Standing::Failed(ready.reason(), ready.message()),
        reason::ISSUED => Standing::Issued,
        _ if ready.status == ConditionStatus::True && request.has_certificate => Standing::Issued,
        _ => Standing::Pending { is_known: true },
    }
}

/// When `request` came to its end, if it is known.
pub(super) fn ended(request: &RequestFacts) -> Option<Timestamp> {
    if let Some(failed) = &request.status.failure_time {
        return Some(failed.0);
    }
    [kind::DENIED, kind::INVALID_REQUEST, kind::READY]
        .iter()
        .find_map(|type_| request.condition(type_))
        .and_then(|condition| Some(condition.last_transition_time()?.0))
}

/// Whether the request says that it was signed: then what was issued is to be read.
pub(super) fn is_issued(request: &RequestFacts) -> bool {
    matches!(standing(request), Standing::Issued)
}

/// Whether nothing comes of the request.
pub(super) fn is_failed(request: &RequestFacts) -> bool {
    matches!(standing(request), Standing::Failed(..))
}

/// Whether the request still waits for something.
pub(super) fn is_pending(request: &RequestFacts) -> bool {
    matches!(standing(request), Standing::Pending { .. })
}

/// Whether the request has waited so long that what it waits for is told.
pub(super) fn is_told(request: &RequestFacts, now: Timestamp) -> bool {
    told_at(request).is_none_or(|at| at <= now)
}

/// When what the request waits for is to be told.
pub(super) fn told_at(request: &RequestFacts) -> Option<Timestamp> {
    request.meta.created?.checked_add(PATIENCE).ok()
}
