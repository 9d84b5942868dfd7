//! Is the operator started as it should be?

use serde_json::{Value, json};

use crate::render::{CERT_MANAGER_VALUES, Render};

#[test]
fn the_operator_is_told_its_place() {
    let objects = Render::of("cert-manager").objects();
    assert_eq!(
        objects.arguments(),
        [
            "controller",
            "--v=2",
            "--acme-http01-solver-listen-address=0.0.0.0:8089",
            "--acme-http01-solver-service=pki/cert-manager-certwright-solver",
            "--cluster-resource-namespace=pki",
            "--default-deletion-policy=Revoke",
            "--deletion-delay=1h",
            "--internal-healthz-listen-address=0.0.0.0:9403",
            "--issuances-namespace=pki",
            "--leader-election-namespace=kube-system",
            "--max-concurrent-challenges=60",
            "--metrics-listen-address=0.0.0.0:9402",
            "--signers-config-map=pki/cert-manager-certwright-signers",
            "--trust-revoke-requested-by=true",
        ]
    );
    let solver = objects.get("Service", "cert-manager-certwright-solver");
    assert_eq!(solver["metadata"]["namespace"], "pki");
    assert_eq!(solver["spec"]["ports"][0]["port"], 8089);
    assert_eq!(
        solver["spec"]["selector"],
        objects.deployment()["spec"]["selector"]["matchLabels"]
    );
}

#[test]
fn values_of_a_cert_manager_release_are_taken_as_they_are() {
    let objects = Render::of("cert-manager")
        .values_file(CERT_MANAGER_VALUES)
        .objects();
    assert_eq!(
        objects.arguments(),
        [
            "controller",
            "--v=3",
            "--config=/etc/certwright/config.yaml",
            "--acme-http01-solver-extra-labels=team=platform",
            "--acme-http01-solver-listen-address=0.0.0.0:8089",
            "--acme-http01-solver-service=pki/cert-manager-certwright-solver",
            "--cluster-resource-namespace=pki",
            "--default-deletion-policy=Revoke",
            "--default-issuer-group=cert-manager.io",
            "--default-issuer-kind=ClusterIssuer",
            "--default-issuer-name=letsencrypt",
            "--deletion-delay=1h",
            "--dns01-recursive-nameservers=192.0.2.53:53,https://dns.example.com/dns-query",
            "--dns01-recursive-nameservers-only=true",
            "--enable-certificate-owner-ref=true",
            "--feature-gates=ExperimentalGatewayAPISupport=true",
            "--internal-healthz-listen-address=0.0.0.0:9403",
            "--issuances-namespace=pki",
            "--leader-election-lease-duration=60s",
            "--leader-election-namespace=cert-manager",
            "--leader-election-renew-deadline=40s",
            "--leader-election-retry-period=15s",
            "--max-concurrent-challenges=30",
            "--metrics-listen-address=0.0.0.0:9402",
            "--signers-config-map=pki/cert-manager-certwright-signers",
            "--trust-revoke-requested-by=true",
            // Of a flag given twice, the last counts.
            "--max-concurrent-challenges=90",
            "--dns01-check-retry-period=3s",
        ]
    );
    let config = objects.get("ConfigMap", "cert-manager-certwright");
    let config: Value =
        serde_saphyr::from_str(config["data"]["config.yaml"].as_str().unwrap()).unwrap();
    let theirs: Value =
        serde_saphyr::from_str(include_str!("../fixtures/cert-manager-values.yaml")).unwrap();
    assert_eq!(config, theirs["config"]);
    let account = objects.get("ServiceAccount", "cert-manager-dns");
    assert_eq!(
        account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"],
        "arn:aws:iam::123456789012:role/cert-manager"
    );
    objects.get("ConfigMap", "cert-manager-certwright-extra");
    objects.get("ConfigMap", "more");
    assert_eq!(
        objects.container()["env"],
        json!([
            {"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"},
            {"name": "HTTP_PROXY", "value": "http://proxy.example.com:3128"},
            {"name": "NO_PROXY", "value": ".svc,10.0.0.0/8"},
            {"name": "AWS_REGION", "value": "eu-central-1"},
        ])
    );
    // The list of cert-manager's values knows nothing of the solver's port.
    let solver = objects.get("NetworkPolicy", "cert-manager-certwright-solver");
    assert_eq!(
        solver["spec"]["ingress"],
        json!([{"ports": [{"port": "acme-http01", "protocol": "TCP"}]}])
    );
}

#[test]
fn an_image_is_put_together_from_its_parts() {
    let version = env!("CARGO_PKG_VERSION");
    for (values, expected) in [
        (json!({}), format!("certwright:{version}")),
        (
            json!({"imageRegistry": "r.example", "imageNamespace": "pki"}),
            format!("r.example/pki/certwright:{version}"),
        ),
        (
            json!({"image.registry": "r.example", "image.repository": "a/b", "image.tag": "1"}),
            "r.example/a/b:1".to_owned(),
        ),
        (
            json!({"imageRegistry": "other", "image.repository": "r.example/a/b"}),
            format!("r.example/a/b:{version}"),
        ),
        (
            json!({"image.tag": "1", "image.digest": format!("sha256:{}", "a".repeat(64))}),
            format!("certwright@sha256:{}", "a".repeat(64)),
        ),
    ] {
        let mut render = Render::of("x");
        for (path, value) in values.as_object().unwrap() {
            render = render.set(path, value.clone());
        }
        assert_eq!(render.objects().container()["image"], expected);
    }
}

#[test]
fn the_pod_fits_the_restricted_profile() {
    let objects = Render::of("x").objects();
    let (pod, container) = (objects.pod(), objects.container());
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(
        pod["securityContext"]["seccompProfile"]["type"],
        "RuntimeDefault"
    );
    let context = &container["securityContext"];
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
    for absent in ["hostNetwork", "hostPID", "hostIPC", "volumes"] {
        assert!(pod[absent].is_null(), "{absent}");
    }
}

#[test]
fn probes_ask_the_health_port() {
    let objects = Render::of("x").objects();
    for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        let probe = &objects.container()[probe];
        assert_eq!(
            probe["httpGet"],
            json!({"path": path, "port": "http-healthz"})
        );
        assert!(probe["enabled"].is_null());
    }
    let ports: Vec<_> = objects.container()["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| (&port["name"], &port["containerPort"]))
        .collect();
    assert_eq!(
        ports,
        [
            (&json!("http-metrics"), &json!(9402)),
            (&json!("http-healthz"), &json!(9403)),
            (&json!("acme-http01"), &json!(8089)),
        ]
    );
}
