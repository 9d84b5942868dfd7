//! What to do next for an Order: from its status and its challenges to one step. Pure.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    api::{
        acme::Solver,
        order::{Authorization, State},
    },
    challenge::facts::{self as challenge, ChallengeFacts},
    cluster::ObjectKey,
    order::{
        facts::OrderFacts,
        selector::{Choice, SelectError, choose},
    },
};

/// The facts a step is decided on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The order.
    pub order: &'a OrderFacts,
    /// The challenges it owns.
    pub challenges: &'a [Arc<ChallengeFacts>],
    /// The solvers of its issuer.
    pub solvers: &'a [Solver],
}

/// The next step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Place the order at the CA.
    Place,
    /// Read the order again: it was placed, but what the CA answered is not stored.
    Read,
    /// Read what the CA wants to be proven.
    ReadAuthorizations,
    /// Make these challenges, delete those that nothing asks for any more.
    Solve {
        /// To create.
        create: Vec<NewChallenge>,
        /// To delete: name and uid.
        delete: Vec<(ObjectKey, String)>,
    },
    /// No solver fits: the user must change the issuer.
    NoSolver(SelectError),
    /// Challenges are being solved; the change of one of them wakes us.
    AwaitChallenges,
    /// Everything that had to be proven is: read the order and finalize it, or fetch the
    /// certificate. With the reason of a challenge that failed, if one did.
    Advance {
        /// Why a challenge failed.
        failed: Option<String>,
    },
    /// The order ended: delete these challenges, if any are left.
    Over(Vec<(ObjectKey, String)>),
}

/// A challenge to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct NewChallenge {
    /// Name, the same each time for the same authorization and challenge.
    pub name: String,
    /// The authorization at the CA.
    pub authorization_url: String,
    /// The name to prove, without the prefix of a wildcard.
    pub identifier: String,
    /// Whether the order names the wildcard.
    pub wildcard: bool,
    /// How.
    pub choice: Choice,
}

/// Decide the next step.
pub fn plan(situation: Situation<'_>) -> Step {
    let Situation {
        order,
        challenges,
        solvers: _,
    } = situation;
    let status = &order.status;
    let state = status.state;
    if state.is_some_and(State::is_failure) {
        // What failed stays, to be looked at; what still runs has lost its purpose. One that
        // cert-manager made takes its solver along.
        return Step::Over(
            challenges
                .iter()
                .filter(|challenge| !challenge.is_final() || challenge.has_foreign_route())
                .map(identity)
                .collect(),
        );
    }
    if order.has_certificate {
        return Step::Over(challenges.iter().map(identity).collect());
    }
    if status.url.as_deref().unwrap_or_default().is_empty() {
        return Step::Place;
    }
    if status
        .finalize_url
        .as_deref()
        .unwrap_or_default()
        .is_empty()
    {
        return Step::Read;
    }
    if state == Some(State::Valid) {
        return Step::Advance { failed: None };
    }
    let authorizations = status.authorizations.as_deref().unwrap_or_default();
    if authorizations.iter().any(is_unread) {
        return Step::ReadAuthorizations;
    }
    solve(situation, authorizations)
}

fn solve(situation: Situation<'_>, authorizations: &[Authorization]) -> Step {
    let Situation {
        order,
        challenges,
        solvers,
    } = situation;
    let mut wanted = BTreeMap::new();
    for authorization in authorizations {
        if authorization.initial_state == Some(State::Valid) {
            continue;
        }
        // A challenge that was made stands, whatever the issuer's solvers have become since.
        if let Some(known) = challenges
            .iter()
            .find(|challenge| challenge.spec.authorization_url == authorization.url)
        {
            wanted.insert(known.meta.key.name.to_string(), None);
            continue;
        }
        match choose(solvers, authorization, &order.labels, &order.annotations) {
            Ok(choice) => {
                let new = new_challenge(order, authorization, choice);
                wanted.insert(new.name.clone(), Some(new));
            }
            Err(error) => return Step::NoSolver(error),
        }
    }
    let delete: Vec<(ObjectKey, String)> = challenges
        .iter()
        .filter(|challenge| !wanted.contains_key(&*challenge.meta.key.name))
        .map(identity)
        .collect();
    let create: Vec<NewChallenge> = wanted.into_values().flatten().collect();
    if !create.is_empty() || !delete.is_empty() {
        return Step::Solve { create, delete };
    }
    if let Some(failed) = challenges.iter().find(|challenge| challenge.has_failed()) {
        return Step::Advance {
            failed: Some(failed.failure()),
        };
    }
    if challenges.iter().all(|challenge| challenge.is_final()) {
        return Step::Advance { failed: None };
    }
    Step::AwaitChallenges
}

fn is_unread(authorization: &Authorization) -> bool {
    authorization
        .identifier
        .as_deref()
        .unwrap_or_default()
        .is_empty()
        || (authorization.initial_state != Some(State::Valid)
            && authorization
                .challenges
                .as_deref()
                .unwrap_or_default()
                .is_empty())
}

fn new_challenge(
    order: &OrderFacts,
    authorization: &Authorization,
    choice: Choice,
) -> NewChallenge {
    let number = challenge::number(&order.meta.uid, &authorization.url, &choice.offered.url);
    NewChallenge {
        name: format!("{}-{number}", order.meta.key.name),
        authorization_url: authorization.url.clone(),
        identifier: authorization.identifier.clone().unwrap_or_default(),
        wildcard: authorization.wildcard == Some(true),
        choice,
    }
}

fn identity(challenge: &Arc<ChallengeFacts>) -> (ObjectKey, String) {
    (challenge.meta.key.clone(), challenge.meta.uid.clone())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use kube::api::ObjectMeta;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        api::{challenge::Challenge, order::Order},
        cluster::Facts,
    };

    fn order(status: Value) -> OrderFacts {
        let order: Order = serde_json::from_value(json!({
            "apiVersion": "acme.cert-manager.io/v1", "kind": "Order",
            "metadata": {"namespace": "ns", "name": "web-1-77", "uid": "o"},
            "spec": {"dnsNames": ["example.com"], "issuerRef": {"name": "ca"}, "request": "YQ=="},
            "status": status,
        }))
        .unwrap();
        OrderFacts::reduce(order)
    }

    fn challenge(name: &str, authorization: &str, status: Value) -> Arc<ChallengeFacts> {
        let mut challenge: Challenge = serde_json::from_value(json!({
            "apiVersion": "acme.cert-manager.io/v1", "kind": "Challenge", "metadata": {},
            "spec": {
                "authorizationURL": authorization, "dnsName": "example.com", "key": "k",
                "issuerRef": {"name": "ca"}, "solver": {}, "token": "t", "type": "HTTP-01",
                "url": "https://ca/c",
            },
            "status": status,
        }))
        .unwrap();
        challenge.metadata = ObjectMeta {
            namespace: Some("ns".into()),
            name: Some(name.into()),
            uid: Some(format!("uid-{name}")),
            ..Default::default()
        };
        Arc::new(ChallengeFacts::reduce(challenge))
    }

    fn solvers() -> Vec<Solver> {
        serde_json::from_value(json!([{"http01": {"ingress": {}}}])).unwrap()
    }

    fn authorization(url: &str, initial: &str) -> Value {
        json!({
            "url": url, "identifier": "example.com", "initialState": initial, "wildcard": false,
            "challenges": [{"type": "http-01", "url": format!("{url}/http"), "token": "t"}],
        })
    }

    fn placed(authorizations: Value) -> OrderFacts {
        order(json!({
            "url": "https://ca/o", "finalizeURL": "https://ca/o/f", "state": "pending",
            "authorizations": authorizations,
        }))
    }

    fn step(order: &OrderFacts, challenges: &[Arc<ChallengeFacts>]) -> Step {
        plan(Situation {
            order,
            challenges,
            solvers: &solvers(),
        })
    }

    #[test]
    fn the_states_before_the_challenges() {
        assert_eq!(step(&order(json!(null)), &[]), Step::Place);
        assert_eq!(
            step(&order(json!({"url": "https://ca/o"})), &[]),
            Step::Read
        );
        assert_eq!(
            step(&placed(json!([{"url": "https://ca/a"}])), &[]),
            Step::ReadAuthorizations
        );
    }

    #[test]
    fn a_challenge_per_authorization_that_is_not_valid_yet() {
        let order = placed(json!([
            authorization("a", "pending"),
            authorization("b", "valid")
        ]));
        let Step::Solve { create, delete } = step(&order, &[]) else {
            panic!("must solve")
        };
        assert_eq!((create.len(), delete.len()), (1, 0));
        assert_eq!(create[0].authorization_url, "a");
        let again = step(&order, &[]);
        assert_eq!(
            again,
            Step::Solve {
                create: create.clone(),
                delete
            },
            "same name each time"
        );
        let made = challenge(&create[0].name, "a", json!({"state": "pending"}));
        assert_eq!(step(&order, &[made]), Step::AwaitChallenges);
    }

    #[test]
    fn a_challenge_that_stands_is_not_made_again_when_solvers_change() {
        let order = placed(json!([authorization("a", "pending")]));
        let made = challenge("old-name", "a", json!({"state": "pending"}));
        let step = plan(Situation {
            order: &order,
            challenges: &[made],
            solvers: &[],
        });
        assert_eq!(step, Step::AwaitChallenges);
    }

    #[test]
    fn leftovers_are_deleted() {
        let order = placed(json!([authorization("b", "valid")]));
        let made = challenge("left", "a", json!({}));
        let expected = vec![(ObjectKey::new("ns", "left"), "uid-left".to_owned())];
        assert_eq!(
            step(&order, &[made]),
            Step::Solve {
                create: vec![],
                delete: expected
            }
        );
    }

    #[test]
    fn the_outcome_of_the_challenges_moves_the_order_on() {
        let order = placed(json!([
            authorization("a", "pending"),
            authorization("b", "pending")
        ]));
        let valid = challenge("1", "a", json!({"state": "valid"}));
        let waiting = challenge("2", "b", json!({"state": "pending"}));
        let done = challenge("2", "b", json!({"state": "valid"}));
        let broken = challenge("2", "b", json!({"state": "invalid", "reason": "404"}));
        assert_eq!(
            step(&order, &[valid.clone(), waiting]),
            Step::AwaitChallenges
        );
        assert_eq!(
            step(&order, &[valid.clone(), done]),
            Step::Advance { failed: None }
        );
        let Step::Advance {
            failed: Some(reason),
        } = step(&order, &[valid, broken])
        else {
            panic!("must advance")
        };
        assert_eq!(reason, "HTTP-01 of example.com: 404");
    }

    #[test]
    fn all_authorizations_valid_from_the_start_need_no_challenge() {
        let order = placed(json!([authorization("a", "valid")]));
        assert_eq!(step(&order, &[]), Step::Advance { failed: None });
    }

    #[test]
    fn without_a_solver_the_order_waits_and_says_so() {
        let order = placed(json!([authorization("a", "pending")]));
        let step = plan(Situation {
            order: &order,
            challenges: &[],
            solvers: &[],
        });
        assert!(
            matches!(step, Step::NoSolver(SelectError::NoSolver { .. })),
            "{step:?}"
        );
    }

    #[test]
    fn an_order_that_ended_cleans_up() {
        let running = challenge("1", "a", json!({"state": "pending"}));
        let own = format!("web-1-77-{}", challenge::number("", "b", "https://ca/c"));
        let failed = challenge(&own, "b", json!({"state": "invalid"}));
        let identity = |name: &str| (ObjectKey::new("ns", name), format!("uid-{name}"));
        let invalid = order(json!({"url": "u", "state": "invalid"}));
        let all = [running.clone(), failed];
        assert_eq!(step(&invalid, &all), Step::Over(vec![identity("1")]));
        // One of cert-manager's, which has a solver pod.
        let theirs = challenge("2", "b", json!({"state": "invalid"}));
        let all = [running, theirs];
        let both = vec![identity("1"), identity("2")];
        assert_eq!(step(&invalid, &all), Step::Over(both));
        let certificate = ByteString(b"pem".to_vec());
        let valid = order(json!({"url": "u", "state": "valid", "certificate": certificate}));
        assert_eq!(
            step(&valid, &all),
            Step::Over(vec![identity("1"), identity("2")])
        );
        let unfetched = order(json!({"url": "u", "finalizeURL": "f", "state": "valid"}));
        assert_eq!(step(&unfetched, &all), Step::Advance { failed: None });
    }
}
