//! What follows from each state of a request, its issuer, its requester's rights and its order?

use serde_json::{Value, json};

use super::*;
use crate::{
    api::issuer::{ClusterIssuer, Issuer},
    cluster::{Facts, events::EventType},
    issuer::Issuers,
    request::samples::{self, ALL, csr},
};

/// Approved, of the Issuer `web/le`, with `change` merged into it.
fn request(change: Value) -> SigningRequestFacts {
    let mut object = json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"name": "www", "uid": "u", "labels": {"l": "1"}, "annotations": {
            "a": "1", "kubectl.kubernetes.io/x": "2",
        }},
        "spec": {
            "signerName": "issuers.cert-manager.io/web.le",
            "request": ByteString(csr().into_bytes()),
            "usages": ["digital signature", "server auth"],
        },
        "status": {"conditions": [{"type": "Approved", "status": "True"}]},
    });
    merge(&mut object, change);
    SigningRequestFacts::reduce(serde_json::from_value(object).unwrap())
}

fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change,
    }
}

/// Both an Issuer and a ClusterIssuer `le`.
fn issuers(spec: Value, ready: &str) -> Issuers {
    let issuers = Issuers {
        namespaced: Arc::default(),
        cluster: Arc::default(),
        cluster_resource_namespace: "system".into(),
    };
    let mut object = json!({
        "apiVersion": "cert-manager.io/v1", "kind": "Issuer",
        "metadata": {"namespace": "web", "name": "le", "uid": "i", "resourceVersion": "1"},
        "spec": spec,
        "status": {"conditions": [{"type": "Ready", "status": ready, "message": "no account"}]},
    });
    let issuer: Issuer = serde_json::from_value(object.clone()).unwrap();
    issuers.namespaced.observe(issuer);
    merge(
        &mut object,
        json!({"kind": "ClusterIssuer", "metadata": {"namespace": null}}),
    );
    let issuer: ClusterIssuer = serde_json::from_value(object).unwrap();
    issuers.cluster.observe(issuer);
    issuers
}

fn ca() -> Value {
    json!({"ca": {"secretName": "root"}})
}

fn acme() -> Value {
    json!({"acme": {
        "server": "https://ca", "privateKeySecretRef": {"name": "k"}, "enableDurationFeature": true,
    }})
}

fn order(status: Value) -> Arc<OrderFacts> {
    samples::order("www-1", status)
}

/// What is decided at the issuer that the request names.
fn decide(
    request: &SigningRequestFacts,
    issuers: &Issuers,
    may_reference: Option<bool>,
    order: Option<&Arc<OrderFacts>>,
) -> Step {
    decide_served(request, issuers, may_reference, order, ALL)
}

fn decide_served(
    request: &SigningRequestFacts,
    issuers: &Issuers,
    may_reference: Option<bool>,
    order: Option<&Arc<OrderFacts>>,
    served: Served,
) -> Step {
    let signer = request.asked.as_ref().map(|asked| &asked.signer);
    let (kind, key) = signer.map_or((IssuerKind::Issuer, ObjectKey::new("", "")), |signer| {
        (signer.kind, signer.key.clone())
    });
    let issuer = issuers
        .get(kind, &key)
        .ok_or(Missing::NotFound { kind, key });
    plan(Situation {
        request,
        served,
        issuer: issuer.as_ref(),
        may_reference,
        order,
        profile: Some(Ok(None)),
        copied_annotation_prefixes: &["*".to_owned(), "-kubectl.kubernetes.io/".to_owned()],
    })
}

/// `Wait`, `Fail` and their reason, or the step alone.
fn shown(step: &Step) -> String {
    match step {
        Step::Nothing => "Nothing".into(),
        Step::Wait(event) if event.kind == EventType::Warning => format!("Wait!{}", event.reason),
        Step::Wait(event) => format!("Wait {}", event.reason),
        Step::Ask => "Ask".into(),
        Step::ChooseProfile => "ChooseProfile".into(),
        Step::Fail(said) => format!("Fail {}", said.reason),
        Step::Sign(terms) => format!("Sign {}", terms.lifetime),
        Step::Order(draft) => format!("Order in {}", draft.key().namespace),
        Step::Take => "Take".into(),
    }
}

fn annotated(key: &str, value: &str) -> Value {
    json!({"metadata": {"annotations": {key: value}}})
}

fn signed_by(signer: &str) -> Value {
    json!({"spec": {"signerName": signer}})
}

#[test]
fn only_what_is_approved_and_for_us_is_worked_on() {
    let cluster = "clusterissuers.cert-manager.io/le";
    let condition = |types: &[&str]| {
        let conditions: Vec<Value> = types
            .iter()
            .map(|type_| json!({"type": type_, "status": "True"}))
            .collect();
        json!({"status": {"conditions": conditions}})
    };
    let table = [
        (json!({}), "Ask"),
        (signed_by(cluster), "Sign 2160h0m0s"),
        (condition(&[]), "Wait WaitingApproval"),
        (condition(&["Denied"]), "Nothing"),
        (condition(&["Approved", "Failed"]), "Nothing"),
        (json!({"status": {"certificate": "YQ=="}}), "Nothing"),
        (
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            "Nothing",
        ),
        (signed_by("kubernetes.io/kubelet-serving"), "Nothing"),
        (signed_by("issuers.example.com/web.le"), "Nothing"),
        (
            signed_by("issuers.cert-manager.io/web.other"),
            "Wait!IssuerNotFound",
        ),
        (
            signed_by("clusterissuers.cert-manager.io/other"),
            "Wait!IssuerNotFound",
        ),
        (
            signed_by("issuers.cert-manager.io/le"),
            "Wait!IssuerNotFound",
        ),
    ];
    let issuers = issuers(ca(), "True");
    for (change, want) in table {
        let step = decide(&request(change.clone()), &issuers, None, None);
        assert_eq!(shown(&step), want, "{change}");
    }
    let nameless = request(signed_by("issuers.cert-manager.io/le"));
    let Step::Wait(event) = decide(&nameless, &issuers, None, None) else {
        panic!("it does not wait")
    };
    let hint = "make the request again for issuers.cert-manager.io/NAMESPACE.le";
    assert!(event.message.ends_with(hint), "{}", event.message);
}

#[test]
fn the_issuer_decides_who_signs_and_when() {
    let cluster = signed_by("clusterissuers.cert-manager.io/le");
    let vault = json!({"vault": {"auth": {}, "path": "p", "server": "s"}});
    let table = [
        (ca(), "True", "Sign 2160h0m0s"),
        (json!({"selfSigned": {}}), "True", "Sign 2160h0m0s"),
        (acme(), "True", "Order in system"),
        (ca(), "False", "Wait!IssuerNotReady"),
        (acme(), "False", "Wait!IssuerNotReady"),
        (vault, "True", "Wait!IssuerNotReady"),
        (json!({}), "True", "Wait!IssuerTypeMissing"),
    ];
    for (spec, ready, want) in table {
        let issuers = issuers(spec.clone(), ready);
        let step = decide(&request(cluster.clone()), &issuers, None, None);
        assert_eq!(shown(&step), want, "{spec} {ready}");
    }
    let off = [
        (Served { ca: false, ..ALL }, ca()),
        (Served { acme: false, ..ALL }, acme()),
        (
            Served {
                self_signed: false,
                ..ALL
            },
            json!({"selfSigned": {}}),
        ),
    ];
    for (served, spec) in off {
        let issuers = issuers(spec, "False");
        let step = decide_served(&request(json!({})), &issuers, None, None, served);
        assert_eq!(step, Step::Nothing);
    }
}

#[test]
fn who_may_not_use_an_issuer_is_refused_before_anything_else() {
    let bad = annotated("experimental.cert-manager.io/request-duration", "soon");
    for (spec, ready) in [(ca(), "True"), (ca(), "False"), (acme(), "True")] {
        let issuers = issuers(spec, ready);
        let request = request(bad.clone());
        assert_eq!(decide(&request, &issuers, None, None), Step::Ask);
        let step = decide(&request, &issuers, Some(false), None);
        assert_eq!(shown(&step), "Fail DeniedReference");
        let step = decide(&request, &issuers, Some(true), None);
        assert_eq!(shown(&step), "Fail ErrorParseDuration");
    }
}

#[test]
fn the_lifetime_is_that_of_the_annotation_before_that_of_the_field() {
    let key = "experimental.cert-manager.io/request-duration";
    let seconds = |seconds: i32| json!({"spec": {"expirationSeconds": seconds}});
    let both = |text: &str| {
        let mut both = seconds(7200);
        merge(&mut both, annotated(key, text));
        both
    };
    let table = [
        (seconds(7200), "Sign 2h0m0s"),
        (seconds(600), "Sign 10m0s"),
        (seconds(599), "Fail InvalidDuration"),
        (annotated(key, "1h30m"), "Sign 1h30m"),
        (both("3h"), "Sign 3h"),
        (both("9m59s"), "Fail InvalidDuration"),
        (both("-1h"), "Fail InvalidDuration"),
        (both("1d"), "Fail ErrorParseDuration"),
        (both(""), "Fail ErrorParseDuration"),
    ];
    let issuers = issuers(ca(), "True");
    for (change, want) in table {
        let step = decide(&request(change.clone()), &issuers, Some(true), None);
        assert_eq!(shown(&step), want, "{change}");
    }
}

#[test]
fn usages_are_the_words_of_kubernetes() {
    let issuers = issuers(ca(), "True");
    let all: Vec<&str> = KeyUsage::ALL.into_iter().map(KeyUsage::as_str).collect();
    let request_for = |usages: Value| request(json!({"spec": {"usages": usages}}));
    let step = decide(&request_for(json!(all)), &issuers, Some(true), None);
    let Step::Sign(terms) = step else {
        panic!("{step:?}")
    };
    assert_eq!(terms.usages, KeyUsage::ALL);
    let step = decide(&request_for(json!(["flying"])), &issuers, Some(true), None);
    let Step::Fail(said) = step else {
        panic!("{step:?}")
    };
    assert_eq!(said.reason, "SigningError");
    assert!(said.message.contains("\"flying\""), "{}", said.message);
}

#[test]
fn the_order_stands_where_the_issuer_has_its_secrets() {
    let issuers = issuers(acme(), "True");
    let request = request(json!({}));
    let Step::Order(draft) = decide(&request, &issuers, Some(true), None) else {
        panic!("no order")
    };
    let order = draft.into_order(ByteString(Vec::new()));
    assert_eq!(order.metadata.namespace.as_deref(), Some("web"));
    assert_eq!(order.metadata.labels.unwrap()["l"], "1");
    let annotations: Vec<String> = order.metadata.annotations.unwrap().into_keys().collect();
    assert_eq!(annotations, ["a"]);
    let owner = order.metadata.owner_references.unwrap().remove(0);
    assert_eq!(owner.api_version, "certificates.k8s.io/v1");
    assert_eq!(owner.kind, "CertificateSigningRequest");
    assert_eq!((&*owner.name, &*owner.uid), ("www", "u"));
    assert_eq!(owner.controller, Some(true));
    let spec = order.spec;
    assert_eq!(spec.duration, Some("2160h0m0s".into()));
    assert_eq!(spec.issuer_ref.kind.as_deref(), Some("Issuer"));
    assert_eq!(spec.issuer_ref.group.as_deref(), Some("cert-manager.io"));
}

#[test]
fn the_profile_is_chosen_before_there_is_an_order() {
    let request = request(json!({}));
    let said = Said {
        reason: reason::PROFILE_NOT_OFFERED,
        message: "profile \"fast\" is not offered".into(),
    };
    let decide = |spec, ready, may_reference, profile, order| {
        let issuers = issuers(spec, ready);
        let issuer = issuers.get(IssuerKind::Issuer, &ObjectKey::new("web", "le"));
        plan(Situation {
            request: &request,
            served: ALL,
            issuer: Ok(&issuer.unwrap()),
            may_reference,
            order,
            profile,
            copied_annotation_prefixes: &[],
        })
    };
    let refused = Some(Err(&said));
    let may = Some(true);
    let pending = order(json!({"state": "pending"}));
    let table = [
        (acme(), "True", may, None, None, "ChooseProfile"),
        (acme(), "True", may, refused, None, "Wait!ProfileNotOffered"),
        (acme(), "True", may, Some(Ok(None)), None, "Order in web"),
        // The server is not asked for those who may not, nor for what is not ordered there.
        (acme(), "True", None, None, None, "Ask"),
        (
            acme(),
            "True",
            Some(false),
            None,
            None,
            "Fail DeniedReference",
        ),
        (acme(), "False", may, None, None, "Wait!IssuerNotReady"),
        (ca(), "True", may, None, None, "Sign 2160h0m0s"),
        // An order that stands has its profile.
        (
            acme(),
            "True",
            may,
            None,
            Some(&pending),
            "Wait OrderPending",
        ),
        (
            acme(),
            "True",
            may,
            refused,
            Some(&pending),
            "Wait OrderPending",
        ),
    ];
    for (spec, ready, may_reference, profile, order, want) in table {
        let step = decide(spec.clone(), ready, may_reference, profile, order);
        assert_eq!(shown(&step), want, "{spec} {ready} {profile:?}");
        if let Step::Wait(event) = step
            && event.reason == said.reason
        {
            assert_eq!(event.message, said.message);
        }
    }
    let Step::Order(draft) = decide(acme(), "True", may, Some(Ok(Some("fast"))), None) else {
        panic!("no order")
    };
    assert_eq!(draft.spec().profile.as_deref(), Some("fast"));
}

#[test]
fn the_end_of_the_order_is_the_end_of_the_request() {
    let issuers = issuers(acme(), "True");
    let request = request(json!({}));
    let table = [
        (json!({}), None, "Wait OrderPending"),
        (json!({"state": "pending"}), None, "Wait OrderPending"),
        (json!({"state": "valid"}), None, "Wait OrderPending"),
        (json!({"state": "invalid"}), None, "Ask"),
        (json!({"state": "invalid"}), Some(true), "Fail OrderFailed"),
        (
            json!({"state": "valid", "certificate": "YQ=="}),
            None,
            "Ask",
        ),
        (
            json!({"state": "valid", "certificate": "YQ=="}),
            Some(true),
            "Take",
        ),
        (
            json!({"state": "valid", "certificate": "YQ=="}),
            Some(false),
            "Fail DeniedReference",
        ),
    ];
    for (status, may_reference, want) in table {
        let order = order(status.clone());
        let step = decide(&request, &issuers, may_reference, Some(&order));
        assert_eq!(shown(&step), want, "{status} {may_reference:?}");
    }
}

#[test]
fn the_status_keeps_what_others_wrote() {
    let request = request(json!({}));
    let status = issued(&request, b"pem".to_vec());
    assert_eq!(status.certificate.unwrap().0, b"pem");
    assert_eq!(status.conditions, request.status.conditions);
    let said = Said {
        reason: "R",
        message: "m".into(),
    };
    let now = "2026-01-01T00:00:00.5Z".parse().unwrap();
    let status = json!(failed(&request, &said, now));
    assert_eq!(status["certificate"], Value::Null);
    assert_eq!(status["conditions"][0]["type"], "Approved");
    let at = "2026-01-01T00:00:00Z";
    assert_eq!(
        status["conditions"][1],
        json!({
            "type": "Failed", "status": "True", "reason": "R", "message": "m",
            "lastTransitionTime": at, "lastUpdateTime": at,
        })
    );
}
