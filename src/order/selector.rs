//! Which solver of an issuer proves a name.

use std::collections::BTreeMap;

use crate::api::{
    acme::{Solver, SolverSelector},
    challenge::ChallengeType,
    names::annotation,
    order::{Authorization, OfferedChallenge},
};

/// The solver for an authorization and the challenge it answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// A copy of the issuer's solver, with the overrides of the order's annotations.
    pub solver: Solver,
    /// The kind of challenge.
    pub type_: ChallengeType,
    /// The challenge the server offers.
    pub offered: OfferedChallenge,
}

/// Why there is no solver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// More than one override annotation.
    #[error(
        "{count} of the annotations {name}, {class} and {class_name} are set: set one at the most",
        name = annotation::HTTP01_OVERRIDE_INGRESS_NAME,
        class = annotation::HTTP01_OVERRIDE_INGRESS_CLASS,
        class_name = annotation::HTTP01_OVERRIDE_INGRESS_CLASS_NAME
    )]
    Overrides {
        /// How many are set.
        count: usize,
    },
    /// No solver matches.
    #[error(
        "no solver of the issuer is for {name} and one of the challenges that the server offers \
         ({offered}): add one to spec.acme.solvers"
    )]
    NoSolver {
        /// The name, with the prefix of a wildcard.
        name: String,
        /// The challenge types offered.
        offered: String,
    },
}

/// How specific a match is: the greatest wins, among equals the first in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    has_selector: bool,
    names_it: bool,
    zone_segments: usize,
    labels: usize,
}

/// Choose among `solvers` for `authorization`, by the labels and annotations of its order.
///
/// A solver fits when the server offers its type of challenge and all parts of its selector match.
/// Naming the name beats the longest zone, which beats the number of labels.
pub fn choose(
    solvers: &[Solver],
    authorization: &Authorization,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
) -> Result<Choice, SelectError> {
    let identifier = authorization.identifier.as_deref().unwrap_or_default();
    let name = match authorization.wildcard {
        Some(true) => format!("*.{identifier}"),
        _ => identifier.to_owned(),
    };
    let offered = authorization.challenges.as_deref().unwrap_or_default();
    let mut best: Option<(Rank, Choice)> = None;
    for solver in solvers {
        let Some((type_, offered)) = answers(solver, offered) else {
            continue;
        };
        let Some(rank) = rank(solver.selector.as_ref(), &name, labels) else {
            continue;
        };
        if best.as_ref().is_none_or(|(known, _)| rank > *known) {
            let choice = Choice {
                solver: solver.clone(),
                type_,
                offered: offered.clone(),
            };
            best = Some((rank, choice));
        }
    }
    let Some((_, mut choice)) = best else {
        let types: Vec<&str> = offered
            .iter()
            .map(|challenge| challenge.type_.as_str())
            .collect();
        return Err(SelectError::NoSolver {
            name,
            offered: types.join(", "),
        });
    };
    override_ingress(&mut choice.solver, annotations)?;
    Ok(choice)
}

/// The challenge among `offered` that `solver` answers.
fn answers<'a>(
    solver: &Solver,
    offered: &'a [OfferedChallenge],
) -> Option<(ChallengeType, &'a OfferedChallenge)> {
    let find = |wanted: &str| {
        offered
            .iter()
            .find(|challenge| challenge.type_ == wanted && !challenge.token.is_empty())
    };
    let http01 = solver.http01.as_ref().and_then(|_| find("http-01"));
    let dns01 = solver.dns01.as_ref().and_then(|_| find("dns-01"));
    http01
        .map(|challenge| (ChallengeType::Http01, challenge))
        .or_else(|| dns01.map(|challenge| (ChallengeType::Dns01, challenge)))
}

/// How well `selector` fits; `None` when it does not.
fn rank(
    selector: Option<&SolverSelector>,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> Option<Rank> {
    let Some(SolverSelector {
        dns_names,
        dns_zones,
        match_labels,
    }) = selector
    else {
        return Some(Rank {
            has_selector: false,
            names_it: false,
            zone_segments: 0,
            labels: 0,
        });
    };
    let mut rank = Rank {
        has_selector: true,
        names_it: false,
        zone_segments: 0,
        labels: 0,
    };
    if let Some(names) = dns_names.as_deref().filter(|names| !names.is_empty()) {
        if !names.iter().any(|candidate| candidate == name) {
            return None;
        }
        rank.names_it = true;
    }
    if let Some(zones) = dns_zones.as_deref().filter(|zones| !zones.is_empty()) {
        rank.zone_segments = zones
            .iter()
            .filter_map(|zone| segments_in(name, zone))
            .max()?;
    }
    if let Some(wanted) = match_labels.as_ref().filter(|wanted| !wanted.is_empty()) {
        if wanted
            .iter()
            .any(|(key, value)| labels.get(key) != Some(value))
        {
            return None;
        }
        rank.labels = wanted.len();
    }
    Some(rank)
}

/// How many labels `zone` has, if `name` is in it.
fn segments_in(name: &str, zone: &str) -> Option<usize> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let zone = zone.trim_end_matches('.').to_ascii_lowercase();
    let inside = name == zone
        || name
            .strip_suffix(&zone)
            .is_some_and(|rest| rest.ends_with('.'));
    inside.then(|| zone.split('.').count())
}

/// Apply the annotation that overrides where the challenge's path is served.
fn override_ingress(
    solver: &mut Solver,
    annotations: &BTreeMap<String, String>,
) -> Result<(), SelectError> {
    let given = |key: &str| {
        annotations
            .get(key)
            .filter(|value| !value.is_empty())
            .cloned()
    };
    let name = given(annotation::HTTP01_OVERRIDE_INGRESS_NAME);
    let class = given(annotation::HTTP01_OVERRIDE_INGRESS_CLASS);
    let ingress_class_name = given(annotation::HTTP01_OVERRIDE_INGRESS_CLASS_NAME);
    let set = [&name, &class, &ingress_class_name]
        .iter()
        .filter(|value| value.is_some())
        .count();
    let Some(ingress) = solver
        .http01
        .as_mut()
        .and_then(|http01| http01.ingress.as_mut())
    else {
        return Ok(());
    };
    match set {
        0 => Ok(()),
        1 => {
            ingress.name = name;
            ingress.class = class;
            ingress.ingress_class_name = ingress_class_name;
            Ok(())
        }
        count => Err(SelectError::Overrides { count }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn authorization(identifier: &str, wildcard: bool, types: &[&str]) -> Authorization {
        Authorization {
            identifier: Some(identifier.into()),
            wildcard: Some(wildcard),
            challenges: Some(
                types
                    .iter()
                    .map(|type_| OfferedChallenge {
                        token: "token".into(),
                        type_: (*type_).into(),
                        url: format!("https://ca/{type_}"),
                    })
                    .collect(),
            ),
            ..Default::default()
        }
    }

    fn solvers(value: Value) -> Vec<Solver> {
        serde_json::from_value(value).unwrap()
    }

    fn http(class: &str, selector: Value) -> Value {
        json!({"http01": {"ingress": {"ingressClassName": class}}, "selector": selector})
    }

    fn class_of(choice: &Choice) -> String {
        let ingress = choice
            .solver
            .http01
            .as_ref()
            .and_then(|http01| http01.ingress.as_ref());
        ingress
            .and_then(|ingress| ingress.ingress_class_name.clone())
            .unwrap_or_default()
    }

    #[test]
    fn the_most_specific_solver_wins() {
        let all = json!([
            http("default", json!(null)),
            http("empty", json!({})),
            http("zone", json!({"dnsZones": ["example.com"]})),
            http("subzone", json!({"dnsZones": ["org", "b.example.com"]})),
            http("labels", json!({"matchLabels": {"team": "a"}})),
            http(
                "zone-and-labels",
                json!({"dnsZones": ["example.com"], "matchLabels": {"team": "a"}})
            ),
            http("name", json!({"dnsNames": ["www.example.com"]})),
            http("name-again", json!({"dnsNames": ["www.example.com"]})),
        ]);
        let team: BTreeMap<String, String> = [("team".to_owned(), "a".to_owned())].into();
        let none = BTreeMap::new();
        let table = [
            ("www.example.com", &none, "name"),
            ("a.example.com", &none, "zone"),
            ("a.example.com", &team, "zone-and-labels"),
            ("a.b.example.com", &team, "subzone"),
            ("B.Example.com.", &none, "subzone"),
            ("notexample.com", &none, "empty"),
            ("notexample.com", &team, "labels"),
        ];
        for (name, labels, expected) in table {
            let authorization = authorization(name, false, &["http-01", "dns-01"]);
            let choice = choose(&solvers(all.clone()), &authorization, labels, &none).unwrap();
            assert_eq!(class_of(&choice), expected, "{name}");
        }
    }

    #[test]
    fn only_types_that_are_offered_count() {
        let all = solvers(json!([
            {"http01": {"ingress": {}}, "selector": {"dnsZones": ["example.com"]}},
            {"dns01": {"rfc2136": {"nameserver": "ns"}}},
        ]));
        let none = BTreeMap::new();
        let wild = authorization("example.com", true, &["dns-01", "dns-persist-01"]);
        let choice = choose(&all, &wild, &none, &none).unwrap();
        assert_eq!(
            (choice.type_, choice.offered.url),
            (ChallengeType::Dns01, "https://ca/dns-01".into())
        );
        let odd = authorization("example.com", false, &["tls-alpn-01"]);
        let error = choose(&all, &odd, &none, &none).unwrap_err().to_string();
        assert!(
            error.contains("example.com") && error.contains("tls-alpn-01"),
            "{error}"
        );
    }

    #[test]
    fn a_wildcard_is_looked_up_by_its_full_name() {
        let all = solvers(json!([
            {"dns01": {"rfc2136": {"nameserver": "apex"}}, "selector": {"dnsNames": ["example.com"]}},
            {"dns01": {"rfc2136": {"nameserver": "wild"}}, "selector": {"dnsNames": ["*.example.com"]}},
        ]));
        let none = BTreeMap::new();
        for (wildcard, expected) in [(false, "apex"), (true, "wild")] {
            let authorization = authorization("example.com", wildcard, &["dns-01"]);
            let choice = choose(&all, &authorization, &none, &none).unwrap();
            let rfc2136 = choice.solver.dns01.unwrap().rfc2136.unwrap();
            assert_eq!(rfc2136.nameserver, expected);
        }
    }

    #[test]
    fn one_annotation_overrides_the_ingress() {
        let all = solvers(json!([{"http01": {"ingress": {"class": "nginx"}}}]));
        let none = BTreeMap::new();
        let name = authorization("example.com", false, &["http-01"]);
        let one: BTreeMap<String, String> = [(
            annotation::HTTP01_OVERRIDE_INGRESS_NAME.to_owned(),
            "web".to_owned(),
        )]
        .into();
        let ingress = choose(&all, &name, &none, &one)
            .unwrap()
            .solver
            .http01
            .unwrap()
            .ingress
            .unwrap();
        assert_eq!(
            (ingress.name.as_deref(), ingress.class),
            (Some("web"), None)
        );
        let mut two = one.clone();
        two.insert(
            annotation::HTTP01_OVERRIDE_INGRESS_CLASS.to_owned(),
            "traefik".to_owned(),
        );
        assert_eq!(
            choose(&all, &name, &none, &two),
            Err(SelectError::Overrides { count: 2 })
        );
    }
}
