//! How the path of a challenge is added to an Ingress that is somebody else's, and taken out. Pure.

use k8s_openapi::api::networking::v1::{HTTPIngressRuleValue, Ingress};

use crate::{
    challenge::facts::ChallengeFacts,
    solver::http01::route::{PathType, host, path, rule},
};

/// Lead the path of `challenge` to its Service, before any other path of its host. Answers whether
/// that changed anything.
pub fn add_path(ingress: &mut Ingress, challenge: &ChallengeFacts, path_type: PathType) -> bool {
    let host = host(challenge);
    let rules = ingress
        .spec
        .get_or_insert_default()
        .rules
        .get_or_insert_default();
    let wanted = path(challenge, path_type);
    match rules.iter_mut().find(|rule| rule.host == host) {
        Some(rule) => {
            let http = rule
                .http
                .get_or_insert_with(|| HTTPIngressRuleValue { paths: Vec::new() });
            if http.paths.contains(&wanted) {
                return false;
            }
            // cert-manager's, perhaps: of two the first would be taken, or none.
            http.paths.retain(|path| path.path != wanted.path);
            http.paths.insert(0, wanted);
        }
        None => rules.push(rule(challenge, host, path_type)),
    }
    true
}

/// Take the path of `challenge` out again, and a rule that has no path left. Answers whether that
/// changed anything.
pub fn remove_path(ingress: &mut Ingress, challenge: &ChallengeFacts) -> bool {
    let host = host(challenge);
    let Some(rules) = ingress.spec.as_mut().and_then(|spec| spec.rules.as_mut()) else {
        return false;
    };
    let ours = path(challenge, PathType::Exact);
    let mut changed = false;
    rules.retain_mut(|rule| {
        if rule.host != host {
            return true;
        }
        let Some(http) = &mut rule.http else {
            return true;
        };
        let before = http.paths.len();
        // By the path, which has the token in it: the rest may have been another when it was added,
        // by cert-manager perhaps.
        http.paths.retain(|path| path.path != ours.path);
        let removed = http.paths.len() < before;
        changed |= removed;
        !(removed && http.paths.is_empty())
    });
    changed
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{api::challenge::Challenge, cluster::Facts};

    fn challenge(dns_name: &str) -> ChallengeFacts {
        let challenge: Challenge = serde_json::from_value(json!({
            "apiVersion": "acme.cert-manager.io/v1", "kind": "Challenge",
            "metadata": {"namespace": "ns", "name": "c", "uid": "u"},
            "spec": {
                "authorizationURL": "a", "dnsName": dns_name, "key": "k", "url": "c",
                "issuerRef": {"name": "ca"}, "solver": {}, "token": "tok", "type": "HTTP-01",
            },
        }))
        .unwrap();
        ChallengeFacts::reduce(challenge)
    }

    fn ingress(rules: Value) -> Ingress {
        serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": {"rules": rules}}))
            .unwrap()
    }

    fn app(host: &str) -> Value {
        json!({"host": host, "http": {"paths": [{
            "path": "/", "pathType": "Prefix",
            "backend": {"service": {"name": "app", "port": {"number": 80}}},
        }]}})
    }

    #[test]
    fn adding_and_removing_leaves_what_was_there() {
        let table = [
            json!([]),
            json!([app("example.com")]),
            json!([app("example.org"), app("example.com")]),
            json!([{"host": "example.org"}]),
        ];
        let challenge = challenge("example.com");
        for rules in table {
            let before = ingress(rules.clone());
            let mut edited = before.clone();
            assert!(
                add_path(&mut edited, &challenge, PathType::Exact),
                "{rules}"
            );
            assert!(
                !add_path(&mut edited, &challenge, PathType::Exact),
                "twice is once: {rules}"
            );
            let rules = edited.spec.as_ref().unwrap().rules.as_ref().unwrap();
            let rule = rules
                .iter()
                .rfind(|rule| rule.host.as_deref() == Some("example.com"));
            let first = &rule.unwrap().http.as_ref().unwrap().paths[0];
            assert_eq!(
                first.path.as_deref(),
                Some("/.well-known/acme-challenge/tok")
            );
            assert!(remove_path(&mut edited, &challenge));
            assert!(!remove_path(&mut edited, &challenge));
            assert_eq!(edited, before);
        }
    }

    #[test]
    fn the_path_of_a_predecessor_is_taken_over() {
        let challenge = challenge("example.com");
        let mut rule = app("example.com");
        let theirs = json!({
            "path": "/.well-known/acme-challenge/tok", "pathType": "ImplementationSpecific",
            "backend": {"service": {"name": "cm-acme-http-solver-x7k2p", "port": {"number": 8089}}},
        });
        let paths = rule["http"]["paths"].as_array_mut().unwrap();
        paths.insert(0, theirs);
        let before = ingress(json!([rule]));
        let mut edited = before.clone();
        assert!(add_path(&mut edited, &challenge, PathType::Exact));
        let rules = edited.spec.unwrap().rules.unwrap();
        let paths = &rules[0].http.as_ref().unwrap().paths;
        assert_eq!(
            (paths.len(), &paths[0]),
            (2, &path(&challenge, PathType::Exact))
        );
        let mut cleaned = before;
        assert!(remove_path(&mut cleaned, &challenge));
        assert_eq!(cleaned, ingress(json!([app("example.com")])));
    }

    #[test]
    fn an_address_goes_to_the_rule_without_a_host() {
        let challenge = challenge("192.0.2.1");
        for rules in [
            json!([app("example.com")]),
            json!([{"http": {"paths": []}}]),
        ] {
            let mut edited = ingress(rules.clone());
            assert!(add_path(&mut edited, &challenge, PathType::Exact));
            let rules = edited.spec.as_ref().unwrap().rules.as_ref().unwrap();
            let rule = rules.last().unwrap();
            assert_eq!(rule.host, None);
            assert_eq!(
                rule.http.as_ref().unwrap().paths,
                [path(&challenge, PathType::Exact)]
            );
            assert!(remove_path(&mut edited, &challenge));
        }
    }

    #[test]
    fn an_empty_rule_of_the_owner_stays() {
        let mut ingress = ingress(json!([{"host": "example.com", "http": {"paths": []}}]));
        let before = ingress.clone();
        assert!(!remove_path(&mut ingress, &challenge("example.com")));
        assert_eq!(ingress, before);
    }
}
