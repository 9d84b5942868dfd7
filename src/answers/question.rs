//! Of which names is DNS asked after a failed order, and by whose servers?

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use crate::{
    acme::ProblemType,
    api::{challenge::ChallengeType, order::State},
    challenge::facts::ChallengeFacts,
};

/// No more names of one order are looked at: one that changes is enough to try again.
const MOST_NAMES: usize = 8;

/// What a CA says of a name when the cause may lie in DNS, or where DNS leads.
const BY_DNS: [ProblemType; 6] = [
    ProblemType::Caa,
    ProblemType::Connection,
    ProblemType::Dns,
    ProblemType::IncorrectResponse,
    ProblemType::Tls,
    ProblemType::Unauthorized,
];

/// What DNS is asked about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// The name that was to be validated, without the prefix of a wildcard.
    pub name: String,
    /// How it was to be.
    pub way: Way,
}

/// How a name was to be validated: that tells what a CA looks at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// By what its addresses answer.
    Http01,
    /// By a record below it.
    Dns01 {
        /// The nameservers that the solver names.
        nameservers: Vec<String>,
    },
}

/// What to ask after the order failed that these `challenges` are of.
pub fn questions(challenges: &[Arc<ChallengeFacts>]) -> BTreeSet<Question> {
    let all: BTreeSet<Question> = challenges
        .iter()
        .filter(|challenge| may_lie_in_dns(challenge))
        // Addresses are proven without DNS.
        .filter(|challenge| challenge.spec.dns_name.parse::<IpAddr>().is_err())
        .map(|challenge| question(challenge))
        .collect();
    all.into_iter().take(MOST_NAMES).collect()
}

fn may_lie_in_dns(challenge: &ChallengeFacts) -> bool {
    match challenge.status.state {
        // The proof was not seen in time, by us or by the CA.
        Some(State::Expired) => true,
        Some(State::Invalid) => {
            let reason = challenge.status.reason.as_deref().unwrap_or_default();
            // As problems are written.
            let says = |kind: &ProblemType| reason.contains(&format!("({})", kind.as_str()));
            BY_DNS.iter().any(says)
        }
        // The CA was never asked, or would not be.
        Some(State::Errored) => false,
        Some(State::Valid | State::Ready | State::Pending | State::Processing) | None => false,
    }
}

fn question(challenge: &ChallengeFacts) -> Question {
    let spec = &challenge.spec;
    let way = match spec.type_ {
        ChallengeType::Http01 => Way::Http01,
        ChallengeType::Dns01 => {
            let solver = spec.solver.dns01.as_ref();
            let nameservers = solver.and_then(|solver| solver.nameservers.clone());
            Way::Dns01 {
                nameservers: nameservers.unwrap_or_default(),
            }
        }
    };
    Question {
        name: spec.dns_name.to_ascii_lowercase(),
        way,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{api::challenge::Challenge, cluster::Facts};

    fn challenge(name: &str, solver: Value, status: Value) -> Arc<ChallengeFacts> {
        let type_ = match solver.get("dns01") {
            Some(_) => "DNS-01",
            None => "HTTP-01",
        };
        let challenge: Challenge = serde_json::from_value(json!({
            "apiVersion": "acme.cert-manager.io/v1", "kind": "Challenge", "metadata": {},
            "spec": {
                "authorizationURL": "https://ca/a", "dnsName": name, "key": "k",
                "issuerRef": {"name": "ca"}, "solver": solver, "token": "t", "type": type_,
                "url": "https://ca/c", "wildcard": true,
            },
            "status": status,
        }))
        .unwrap();
        Arc::new(ChallengeFacts::reduce(challenge))
    }

    #[test]
    fn only_what_failed_by_dns_is_asked_about() {
        let invalid = |reason: &str| json!({"state": "invalid", "reason": reason});
        let table = [
            (invalid("no such name (dns)"), true),
            (invalid("refused (connection); see https://ca/help"), true),
            (invalid("got 404 (unauthorized)"), true),
            (invalid("forbidden (caa)"), true),
            (invalid("not the key (incorrectResponse)"), true),
            (invalid("too many (rateLimited)"), false),
            (
                invalid("the authorization was deactivated or revoked"),
                false,
            ),
            (json!({"state": "invalid"}), false),
            (
                json!({"state": "expired", "reason": "never seen (in time)"}),
                true,
            ),
            (
                json!({"state": "errored", "reason": "no TSIG (dns)"}),
                false,
            ),
            (json!({"state": "valid", "reason": "(dns)"}), false),
            (json!({"state": "pending", "reason": "(dns)"}), false),
            (json!({}), false),
        ];
        for (status, asked) in table {
            let one = challenge("WWW.example.com", json!({"http01": {}}), status.clone());
            let want = Question {
                name: "www.example.com".into(),
                way: Way::Http01,
            };
            let want = asked.then_some(want).into_iter().collect();
            assert_eq!(questions(&[one]), want, "{status}");
        }
    }

    #[test]
    fn each_name_is_asked_about_once_and_addresses_never() {
        let failed = json!({"state": "expired"});
        let dns01 = json!({"dns01": {"nameservers": ["192.0.2.1"]}});
        let one = |name: &str, solver: &Value| challenge(name, solver.clone(), failed.clone());
        let all = [
            // The name and the wildcard below it.
            one("example.com", &dns01),
            one("example.com", &dns01),
            one("192.0.2.1", &json!({"http01": {}})),
            one("2001:db8::1", &json!({"http01": {}})),
            one("a.example.com", &json!({"http01": {}})),
        ];
        let found: Vec<Question> = questions(&all).into_iter().collect();
        let nameservers = vec!["192.0.2.1".to_owned()];
        assert_eq!(
            found,
            [
                Question {
                    name: "a.example.com".into(),
                    way: Way::Http01
                },
                Question {
                    name: "example.com".into(),
                    way: Way::Dns01 { nameservers }
                },
            ]
        );
        let many: Vec<_> = (0..50)
            .map(|n| one(&format!("{n}.example.com"), &json!({"http01": {}})))
            .collect();
        assert_eq!(questions(&many).len(), MOST_NAMES);
    }
}
