//! What does an issuance wait for, in one line?

use crate::{
    api::{
        challenge::ChallengeStatus,
        condition::{AnyCondition, kind},
        order::{OrderStatus, State},
    },
    request::facts::RequestFacts,
};

/// What is known of an issuance under way, from the request down to its challenges.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a> {
    /// The request.
    pub request: &'a RequestFacts,
    /// Why its issuer cannot sign now, if it cannot.
    pub issuer: Option<&'a str>,
    /// The order at the ACME server.
    pub order: Option<Order<'a>>,
    /// Its challenges.
    pub challenges: &'a [Challenge<'a>],
}

/// An Order, as far as it tells what it waits for.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Its name.
    pub name: &'a str,
    /// How far it is.
    pub status: &'a OrderStatus,
}

/// A Challenge, as far as it tells what it waits for.
#[derive(Clone, Debug)]
pub struct Challenge<'a> {
    /// What it proves, and how: `HTTP-01 of www.example.com`.
    pub title: String,
    /// How far it is.
    pub status: &'a ChallengeStatus,
}

/// What the request waits for: the step, the object, the cause, what was seen and from where, and
/// the next try, as far as they are known.
pub fn cause(chain: &Chain<'_>) -> String {
    let request = &chain.request.meta.key.name;
    if !chain.request.is_true(kind::APPROVED) {
        return format!("Waiting for approval of CertificateRequest {request:?}");
    }
    if let Some(problem) = chain.issuer {
        return problem.to_owned();
    }
    challenge(chain.challenges)
        .or_else(|| chain.order.as_ref().and_then(order))
        .or_else(|| ready_message(chain.request))
        .unwrap_or_else(|| {
            let issuer = &chain.request.issuer_ref;
            format!(
                "Waiting for {} {:?} to sign CertificateRequest {request:?}",
                issuer.kind_or_default(),
                issuer.name
            )
        })
}

/// The challenge that holds the order up: one that says what is wrong before one that says nothing,
/// and one that is worked on before one that waits for its turn.
fn challenge(challenges: &[Challenge<'_>]) -> Option<String> {
    let open: Vec<&Challenge<'_>> = challenges
        .iter()
        .filter(|challenge| !challenge.status.state.is_some_and(State::is_final))
        .collect();
    let rank = |challenge: &&&Challenge<'_>| match (
        challenge.status.processing == Some(true),
        said(challenge.status).is_some(),
    ) {
        (true, true) => 0,
        (false, true) => 1,
        (true, false) => 2,
        (false, false) => 3,
    };
    let first = open.iter().min_by_key(rank)?;
    let title = &first.title;
    let told = match said(first.status) {
        Some(reason) => format!("Waiting for {title}: {reason}"),
        None if first.status.processing == Some(true) => format!("Waiting for {title}"),
        None => format!("Waiting for a free slot for {title}"),
    };
    Some(match open.len() - 1 {
        0 => told,
        1 => format!("{told} (and 1 more challenge)"),
        more => format!("{told} (and {more} more challenges)"),
    })
}

/// What a challenge says, without the step that the title names already.
fn said(status: &ChallengeStatus) -> Option<&str> {
    let reason = status.reason.as_deref()?.trim();
    let reason = match reason.strip_prefix("Waiting for ") {
        Some(step) => step.split_once(": ").map_or(reason, |(_, said)| said),
        None => reason,
    };
    Some(reason).filter(|reason| !reason.is_empty())
}

fn order(order: &Order<'_>) -> Option<String> {
    let Order { name, status } = order;
    let reason = status.reason.as_deref().filter(|reason| !reason.is_empty());
    match (reason, status.state) {
        (Some(reason), _) => Some(format!("Waiting for Order {name:?}: {reason}")),
        (None, Some(state)) if state.is_final() => None,
        (None, Some(state)) => Some(format!(
            "Waiting for Order {name:?}, which the ACME server calls {}",
            state.as_str()
        )),
        (None, None) => Some(format!(
            "Waiting for Order {name:?} to be placed at the ACME server"
        )),
    }
}

fn ready_message(request: &RequestFacts) -> Option<String> {
    let said = request.condition(kind::READY)?.message();
    (!said.is_empty()).then(|| {
        format!(
            "Waiting for CertificateRequest {:?}: {said}",
            request.meta.key.name
        )
    })
}
