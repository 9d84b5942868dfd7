//! Is what cannot work refused, in words that help?

use serde_json::json;

use crate::render::Render;

#[test]
fn an_image_of_cert_manager_is_refused() {
    for (path, value, expected) in [
        (
            "image.repository",
            "quay.io/jetstack/cert-manager-controller",
            "is an image of cert-manager",
        ),
        (
            "image.name",
            "cert-manager-controller",
            "is an image of cert-manager",
        ),
        ("image.tag", "v1.21.1", "is a version of cert-manager"),
    ] {
        let refusal = Render::of("x").set(path, json!(value)).refusal();
        assert!(refusal.contains(expected), "{refusal}");
    }
}

#[test]
fn what_would_not_work_is_refused() {
    for (path, value, expected) in [
        (
            "podDisruptionBudget",
            json!({"enabled": true, "minAvailable": 1, "maxUnavailable": 1}),
            "not both",
        ),
        (
            "prometheus",
            json!({"servicemonitor": {"enabled": true}, "podmonitor": {"enabled": true}}),
            "not both",
        ),
        (
            "config",
            json!({"gatewayAPI": {"enabled": true}}),
            "Gateway API is not supported yet",
        ),
        (
            "config",
            json!({"enableGatewayAPI": true}),
            "Gateway API is not supported yet",
        ),
        (
            "extraArgs",
            json!(["--enable-gateway-api"]),
            "Gateway API is not supported yet",
        ),
        (
            "config",
            json!({"metricsTLSConfig": {"dynamic": {"secretName": "ca"}}}),
            "metrics over TLS are not supported yet",
        ),
        // As with --reuse-values, which has no defaults for what only this chart has.
        ("solver", json!(null), "--reset-then-reuse-values"),
    ] {
        let refusal = Render::of("x").set(path, value).refusal();
        assert!(refusal.contains(expected), "{refusal}");
    }
}

#[test]
fn a_typing_mistake_is_refused() {
    for path in [
        "replicaCont",
        "crds.enable",
        "image.repo",
        "serviceAccount.nam",
        "podDisruptionBudget.minAvail",
        "ingressShim.defaultIssuer",
        "global.rbac.creates",
        "global.leaderElection.name",
        "solver.servce",
        "solver.service.type",
        "policies.enable",
        "networkPolicy.egres",
        "prometheus.podmonitor.intervall",
        "livenessProbe.path",
    ] {
        let refusal = Render::of("x").set(path, json!("1")).refusal();
        assert!(refusal.contains("not allowed"), "{path}: {refusal}");
    }
    for (path, value) in [
        ("replicaCount", json!("two")),
        ("global.leaderElection.leaseDuration", json!("1 minute")),
        ("image.pullPolicy", json!("Sometimes")),
        ("solver.port", json!(0)),
        ("extraArgs", json!("--v=1")),
    ] {
        let refusal = Render::of("x").set(path, value).refusal();
        assert!(refusal.contains("values don't meet"), "{path}: {refusal}");
    }
}

#[test]
fn an_old_cluster_is_refused() {
    let on = |version: &str| {
        Render::of("x")
            .argument("--kube-version", version)
            .argument("--api-versions", "v1/Namespace")
    };
    assert!(on("1.32.9").refusal().contains("1.33 or newer"));
    assert!(!on("1.33.0").objects().0.is_empty());
    assert!(!on("1.36.3-provider.1+x").objects().0.is_empty());
}
