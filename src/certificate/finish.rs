//! When is an issuance over, and how is that said?

use crate::{
    api::{
        condition::{AnyCondition, kind},
        names::annotation,
        reason::certificate as reason,
    },
    certificate::{
        action::{Action, Event, Plan},
        facts::Situation,
        plan::{Requests, no_window},
        policy::{self, View, Violation},
        status::Draft,
    },
    request::facts::RequestFacts,
};

/// Say that an issuance is over, if it is but for that: the Secret holds what its request was
/// answered. After a crash its key may stand nowhere else any more.
pub(super) fn finish(situation: &Situation, requests: &Requests<'_>) -> Option<Plan> {
    let [request] = requests.next.as_slice() else {
        return None;
    };
    let (issued, secret) = (situation.issued.as_ref()?, situation.secret.as_ref()?);
    let leaf = &issued.certificate.as_ref().ok()?.leaf;
    let csr = request.csr.as_ref().ok()?;
    let is_over = issued.request == request.meta.key
        && secret.chain == Some(issued.chain)
        && secret.key.read()?.public_key == leaf.public_key
        && csr.public_key == leaf.public_key
        && situation.now <= leaf.not_after
        && secret.annotation(annotation::CERTIFICATE_NAME)
            == Some(&situation.certificate.meta.key.name);
    is_over.then(|| succeed(situation, requests, request))
}

/// What came of `request`, for the user.
fn told(request: &RequestFacts) -> Event {
    let ready = request
        .condition(kind::READY)
        .filter(|_| request.is_reuse());
    match ready {
        Some(ready) => Event::normal(reason::CERTIFICATE_REUSED, ready.message()),
        None => Event::normal(
            reason::ISSUING,
            "The certificate has been successfully issued",
        ),
    }
}

/// Say that the issuance of `request` is over.
fn succeed(situation: &Situation, requests: &Requests<'_>, request: &RequestFacts) -> Plan {
    let mut draft = Draft::of(situation);
    let windows = draft.dates();
    draft.succeeded(situation.certificate.next_revision());
    let view = View {
        current: Some(request),
        ..requests.view(situation)
    };
    let problem = policy::readiness(view).or_else(|| {
        windows.map(|problem| {
            Violation::new(
                reason::WINDOW_ERROR,
                format!("Could not calculate renewal time: {problem}"),
            )
        })
    });
    let event = problem.as_ref().and_then(no_window);
    match problem {
        None => draft.ready(),
        Some(violation) => draft.not_ready(violation),
    }
    let mut actions: Vec<Action> = draft.into_action().into_iter().collect();
    actions.extend(event);
    actions.push(Action::Publish(told(request)));
    Plan::act(actions)
}
