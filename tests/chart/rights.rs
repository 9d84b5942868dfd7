//! Who may do what?

use serde_json::json;

use crate::render::{Render, contains, verbs};

#[test]
fn nobody_but_the_operator_may_create_orders_and_challenges() {
    let objects = Render::of("x").objects();
    let people = objects.rules(|name| name.ends_with("-edit") || name.ends_with("view"));
    for resource in ["orders", "challenges"] {
        let allowed = verbs(&people, "acme.cert-manager.io", resource);
        assert!(!allowed.contains("create"), "{allowed:?}");
        for needed in ["delete", "get", "list", "patch", "watch"] {
            assert!(allowed.contains(needed), "{resource}: {needed}");
        }
    }
    for resource in ["certificates", "certificaterequests", "issuers"] {
        assert!(verbs(&people, "cert-manager.io", resource).contains("create"));
    }
    assert!(verbs(&people, "cert-manager.io", "certificaterequests/status").is_empty());
    assert!(verbs(&people, "cert-manager.io", "signers").is_empty());
}

#[test]
fn rights_are_named_one_by_one() {
    let objects = Render::of("x").objects();
    let every = objects.rules(|_| true);
    assert!(every.len() > 30);
    for rule in &every {
        for part in ["apiGroups", "resources", "verbs"] {
            assert!(!contains(&rule[part], "*"), "{rule}");
        }
        for verb in ["impersonate", "escalate", "bind"] {
            assert!(!contains(&rule["verbs"], verb), "{rule}");
        }
    }
    for (group, resource, expected) in [
        ("", "pods", vec![]),
        ("", "serviceaccounts/token", vec![]),
        ("", "nodes", vec![]),
        (
            "",
            "secrets",
            vec!["create", "delete", "get", "list", "patch", "watch"],
        ),
        (
            "",
            "services",
            vec!["create", "delete", "get", "list", "patch", "watch"],
        ),
        ("", "events", vec!["create", "patch"]),
        ("events.k8s.io", "events", vec!["create", "patch"]),
        (
            "discovery.k8s.io",
            "endpointslices",
            vec!["create", "delete", "get", "list", "patch", "watch"],
        ),
        ("cert-manager.io", "signers", vec!["approve"]),
    ] {
        let found: Vec<_> = verbs(&every, group, resource).into_iter().collect();
        assert_eq!(found, expected, "{group}/{resource}");
    }
}

#[test]
fn every_role_is_bound_to_the_operator_or_made_for_people() {
    let objects = Render::of("x")
        .set("serviceAccount.name", json!("robot"))
        .objects();
    for (role, binding) in [
        ("ClusterRole", "ClusterRoleBinding"),
        ("Role", "RoleBinding"),
    ] {
        for role in objects.all(role) {
            let name = role["metadata"]["name"].as_str().unwrap();
            if ["-view", "-edit", "-cluster-view"]
                .iter()
                .any(|suffix| name == format!("x-certwright{suffix}"))
            {
                continue;
            }
            let binding = objects.get(binding, name);
            assert_eq!(binding["roleRef"]["name"], name);
            assert_eq!(
                binding["subjects"],
                json!([{"kind": "ServiceAccount", "name": "robot", "namespace": "pki"}])
            );
            assert_eq!(
                binding["metadata"]["namespace"],
                role["metadata"]["namespace"]
            );
        }
    }
    assert_eq!(objects.pod()["serviceAccountName"], "robot");
}

#[test]
fn the_lease_is_cert_managers() {
    let objects = Render::of("x")
        .set("global.leaderElection.namespace", json!("leases"))
        .objects();
    let role = objects.get("Role", "x-certwright:leaderelection");
    assert_eq!(role["metadata"]["namespace"], "leases");
    assert_eq!(
        role["rules"][1]["resourceNames"],
        json!(["cert-manager-controller"])
    );
    assert!(
        objects
            .arguments()
            .contains(&"--leader-election-namespace=leases")
    );
}
