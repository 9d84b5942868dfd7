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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::reason::request as reason,
        certificate::stories::{World, spec},
        cluster::Facts,
    };

    /// Title, whether it is worked on, its state, and what it says.
    type Told = (&'static str, bool, Option<State>, &'static str);
    /// Why the issuer cannot sign, the order, and the challenges.
    type Known = (Option<&'static str>, Option<OrderStatus>, Vec<Told>);

    fn order(state: Option<State>, reason: Option<&str>) -> Option<OrderStatus> {
        Some(OrderStatus {
            state,
            reason: reason.map(Into::into),
            ..OrderStatus::default()
        })
    }

    fn tell(request: &RequestFacts, (issuer, order, challenges): &Known) -> String {
        let statuses: Vec<(String, ChallengeStatus)> = challenges
            .iter()
            .map(|(title, processing, state, reason)| {
                let status = ChallengeStatus {
                    processing: Some(*processing),
                    state: *state,
                    reason: Some((*reason).into()),
                    ..ChallengeStatus::default()
                };
                ((*title).to_owned(), status)
            })
            .collect();
        let challenges: Vec<Challenge<'_>> = statuses
            .iter()
            .map(|(title, status)| Challenge {
                title: title.clone(),
                status,
            })
            .collect();
        cause(&Chain {
            request,
            issuer: *issuer,
            order: order.as_ref().map(|status| Order {
                name: "web-1-7",
                status,
            }),
            challenges: &challenges,
        })
    }

    #[test]
    fn the_deepest_cause_is_told() {
        let pending = Some(State::Pending);
        let valid = Some(State::Valid);
        let seen = "http://www.example.com/.well-known/acme-challenge/tok answered 404 from \
                    198.51.100.7; next check in 10s";
        let waiting = "Waiting for HTTP-01 challenge propagation: \
                       http://www.example.com/.well-known/acme-challenge/tok answered 404 from \
                       198.51.100.7; next check in 10s";
        let with = |challenges: Vec<Told>| (None, order(pending, None), challenges);
        let table: [(Known, String); 12] = [
            (
                (None, None, vec![]),
                "Waiting for Issuer \"ca\" to sign CertificateRequest \"web-1\"".into(),
            ),
            (
                (
                    Some("Issuer \"ca\" is not ready: EAB Secret \"eab\" not found"),
                    order(pending, None),
                    vec![],
                ),
                "Issuer \"ca\" is not ready: EAB Secret \"eab\" not found".into(),
            ),
            (
                (None, order(None, None), vec![]),
                "Waiting for Order \"web-1-7\" to be placed at the ACME server".into(),
            ),
            (
                with(vec![]),
                "Waiting for Order \"web-1-7\", which the ACME server calls pending".into(),
            ),
            (
                (
                    None,
                    order(pending, Some("refused; next try in 5s")),
                    vec![],
                ),
                "Waiting for Order \"web-1-7\": refused; next try in 5s".into(),
            ),
            (
                with(vec![("HTTP-01 of www.example.com", true, pending, waiting)]),
                format!("Waiting for HTTP-01 of www.example.com: {seen}"),
            ),
            (
                with(vec![(
                    "DNS-01 of a.example",
                    true,
                    pending,
                    "TSIG: bad key",
                )]),
                "Waiting for DNS-01 of a.example: TSIG: bad key".into(),
            ),
            (
                with(vec![("HTTP-01 of a.example", true, None, "")]),
                "Waiting for HTTP-01 of a.example".into(),
            ),
            (
                with(vec![("HTTP-01 of a.example", false, None, "")]),
                "Waiting for a free slot for HTTP-01 of a.example".into(),
            ),
            // What says something comes first; what is over does not count.
            (
                with(vec![
                    (
                        "HTTP-01 of done.example",
                        true,
                        valid,
                        "Successfully authorized domain",
                    ),
                    ("HTTP-01 of later.example", false, pending, ""),
                    ("HTTP-01 of bad.example", true, pending, "refused"),
                ]),
                "Waiting for HTTP-01 of bad.example: refused (and 1 more challenge)".into(),
            ),
            (
                with(vec![
                    ("HTTP-01 of a.example", true, None, ""),
                    ("HTTP-01 of b.example", false, None, ""),
                    ("HTTP-01 of c.example", false, None, ""),
                ]),
                "Waiting for HTTP-01 of a.example (and 2 more challenges)".into(),
            ),
            (
                (
                    None,
                    order(Some(State::Processing), None),
                    vec![("HTTP-01 of done.example", true, valid, "")],
                ),
                "Waiting for Order \"web-1-7\", which the ACME server calls processing".into(),
            ),
        ];
        let mut world = World::new(spec());
        world.settle();
        let request = |world: &World| RequestFacts::reduce(world.requests["web-1"].clone());
        for (known, _) in &table {
            let said = tell(&request(&world), known);
            assert_eq!(said, "Waiting for approval of CertificateRequest \"web-1\"");
        }
        world.say("web-1", kind::APPROVED, true, "cert-manager.io", "approved");
        for (known, want) in &table {
            assert_eq!(tell(&request(&world), known), *want);
        }
        world.say(
            "web-1",
            kind::READY,
            false,
            reason::PENDING,
            "the CA is asked",
        );
        assert_eq!(
            tell(&request(&world), &(None, None, vec![])),
            "Waiting for CertificateRequest \"web-1\": the CA is asked"
        );
    }
}
