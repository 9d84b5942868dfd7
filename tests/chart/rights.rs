//! Who may do what?

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

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
    assert_eq!(
        verbs(&people, "certwright.io", "issuances"),
        ["get", "list", "watch"].into()
    );
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
}

#[test]
fn the_operator_may_do_this_and_nothing_else() {
    let objects = Render::of("x").objects();
    let rules = objects.rules(|name| !is_for_people(name));
    let mut found: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for rule in rules {
        for (group, resource) in pairs(rule) {
            let verbs = rule["verbs"].as_array().unwrap();
            let all = found.entry(format!("{resource}.{group}")).or_default();
            all.extend(verbs.iter().map(|verb| verb.as_str().unwrap()));
        }
    }
    let found: Vec<String> = found
        .into_iter()
        .map(|(resource, verbs)| {
            let verbs: Vec<_> = verbs.into_iter().collect();
            format!("{resource}: {}", verbs.join(" "))
        })
        .collect();
    assert_eq!(
        found,
        [
            "certificaterequests.cert-manager.io: create delete get list watch",
            "certificaterequests/finalizers.cert-manager.io: update",
            "certificaterequests/status.cert-manager.io: patch",
            "certificates.cert-manager.io: get list watch",
            "certificates/finalizers.cert-manager.io: update",
            "certificates/status.cert-manager.io: patch",
            "certificatesigningrequests.certificates.k8s.io: list watch",
            "certificatesigningrequests/finalizers.certificates.k8s.io: update",
            "certificatesigningrequests/status.certificates.k8s.io: patch",
            "challenges.acme.cert-manager.io: create delete get list patch watch",
            "challenges/status.acme.cert-manager.io: patch",
            "clusterissuers.cert-manager.io: get list watch",
            "clusterissuers/status.cert-manager.io: patch",
            // Lists of revoked certificates, which are beside their issuers; and its own.
            "configmaps.: create delete get list patch watch",
            // Of Certificates.
            "customresourcedefinitions.apiextensions.k8s.io: get",
            // Reads those of its own namespace.
            "endpointslices.discovery.k8s.io: create delete get list patch watch",
            "endpointslices/restricted.discovery.k8s.io: create",
            "events.events.k8s.io: create patch",
            "gateways.gateway.networking.k8s.io: list",
            "ingresses.networking.k8s.io: create delete get list update watch",
            // In its own namespace.
            "issuances.certwright.io: create delete get list patch watch",
            "issuers.cert-manager.io: get list watch",
            "issuers/status.cert-manager.io: patch",
            "leases.coordination.k8s.io: create get update",
            "mutatingwebhookconfigurations.admissionregistration.k8s.io: list",
            "namespaces.: get list watch",
            "orders.acme.cert-manager.io: create delete get list watch",
            "orders/finalizers.acme.cert-manager.io: update",
            "orders/status.acme.cert-manager.io: patch",
            "referencegrants.gateway.networking.k8s.io: list",
            "routes/custom-host.route.openshift.io: create",
            "secrets.: create delete get list patch watch",
            // Who it is itself.
            "selfsubjectreviews.authentication.k8s.io: create",
            "services.: create delete get",
            "signers.cert-manager.io: approve",
            "signers.certificates.k8s.io: sign",
            // Whether a requester may use an Issuer.
            "subjectaccessreviews.authorization.k8s.io: create",
            "validatingwebhookconfigurations.admissionregistration.k8s.io: list",
        ]
    );
    let signing =
        objects.rules(|name| name == "x-certwright-controller-certificatesigningrequests");
    let sign = signing.iter().find(|rule| contains(&rule["verbs"], "sign"));
    assert_eq!(
        sign.unwrap()["resourceNames"],
        json!([
            "issuers.cert-manager.io/*",
            "clusterissuers.cert-manager.io/*"
        ])
    );
    for (role, name) in [
        ("x-certwright:leaderelection", "cert-manager-controller"),
        ("x-certwright:signers", "x-certwright-signers"),
    ] {
        let rules = objects.rules(|found| found == role);
        assert_eq!(rules[0]["verbs"], json!(["create"]));
        assert_eq!(rules[1]["resourceNames"], json!([name]));
        assert_eq!(rules.len(), 2);
    }
}

fn is_for_people(role: &str) -> bool {
    ["view", "edit", "cluster-view"]
        .iter()
        .any(|name| role == format!("x-certwright-{name}"))
}

fn texts(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap();
    list.iter().map(|item| item.as_str().unwrap()).collect()
}

fn pairs(rule: &Value) -> impl Iterator<Item = (&str, &str)> {
    let resources = texts(&rule["resources"]);
    texts(&rule["apiGroups"])
        .into_iter()
        .flat_map(move |group| {
            resources
                .clone()
                .into_iter()
                .map(move |resource| (group, resource))
        })
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
            if is_for_people(name) {
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
