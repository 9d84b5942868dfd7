//! Has the next request failed, and nobody has counted that?

use crate::{
    api::condition::{AnyCondition, kind},
    certificate::{
        facts::CertificateFacts,
        fit,
        plan::Requests,
        standing::{Standing, ended, standing},
    },
    request::facts::RequestFacts,
};

/// Why the next request failed, in a word and in a sentence, where that has not been counted: its key
/// went with the process that made both. A new request would be one that nobody has denied.
pub(super) fn failure<'a>(
    certificate: &CertificateFacts,
    requests: &Requests<'a>,
) -> Option<(&'a str, &'a str)> {
    let [request] = requests.next.as_slice() else {
        return None;
    };
    let Standing::Failed(reason, message) = standing(request) else {
        return None;
    };
    let ended = ended(request)?;
    let counted = certificate.status.last_failure_time.as_ref();
    let is_counted = counted.is_some_and(|at| at.0 >= ended);
    // Somebody asks for another try.
    let asked = certificate
        .condition(kind::ISSUING)
        .filter(|_| certificate.is_issuing())
        .and_then(AnyCondition::last_transition_time);
    let is_earlier = asked.is_some_and(|asked| ended < asked.0);
    (!is_counted && !is_earlier && is_for(request, certificate)).then_some((reason, message))
}

/// Whether `request` asks for what `certificate` says now.
pub(super) fn is_for(request: &RequestFacts, certificate: &CertificateFacts) -> bool {
    let violations = fit::violations(request, &certificate.spec);
    violations.is_ok_and(|fields| fields.is_empty())
        && fit::another_profile(request, certificate).is_none()
}
