//! What follows from each state of a request, its issuer and its order?

use kube::api::ObjectMeta;
use serde_json::{Value, json};

use super::*;
use crate::{
    api::{issuer::Issuer, names::annotation},
    cluster::{Facts, events::EventType},
    issuer::Issuers,
    request::samples::{self, ALL, csr},
};

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn request(group: &str, conditions: Value) -> RequestFacts {
    let mut request: crate::api::request::CertificateRequest = serde_json::from_value(json!({
        "apiVersion": "cert-manager.io/v1", "kind": "CertificateRequest", "metadata": {},
        "spec": {"issuerRef": {"name": "le", "group": group}, "request": ""},
        "status": {"conditions": conditions},
    }))
    .unwrap();
    request.spec.request = ByteString(csr().into_bytes());
    request.metadata = ObjectMeta {
        namespace: Some("web".into()),
        name: Some("www-1".into()),
        uid: Some("r".into()),
        ..Default::default()
    };
    RequestFacts::reduce(request)
}

fn issuer(status: &str) -> IssuerView {
    let acme = json!({"acme": {"server": "https://ca", "privateKeySecretRef": {"name": "k"}}});
    issuer_of(&acme, status)
}

fn issuer_of(spec: &Value, status: &str) -> IssuerView {
    let issuers = Issuers {
        namespaced: Arc::default(),
        cluster: Arc::default(),
        cluster_resource_namespace: "system".into(),
    };
    let issuer: Issuer = serde_json::from_value(json!({
        "apiVersion": "cert-manager.io/v1", "kind": "Issuer",
        "metadata": {"namespace": "web", "name": "le", "uid": "i", "resourceVersion": "1"},
        "spec": spec,
        "status": {"conditions": [
            {"type": "Ready", "status": status, "reason": "R", "message": "no account"},
        ]},
    }))
    .unwrap();
    issuers.namespaced.observe(issuer);
    let reference = crate::api::reference::IssuerRef {
        name: "le".into(),
        ..Default::default()
    };
    issuers.lookup(&reference, "web").unwrap()
}

fn order(status: Value) -> Arc<OrderFacts> {
    samples::order("www-1-7", status)
}

fn condition(type_: &str, status: &str, reason: &str) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": "m"})
}

/// The conditions a plan writes, as `Type=Status/Reason`.
fn shown(plan: &Plan) -> Vec<String> {
    let conditions = plan
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .map(|c| {
            format!(
                "{}={}/{}",
                c.type_,
                c.status,
                c.reason.as_deref().unwrap_or("")
            )
        })
        .collect()
}

fn decide(
    request: &RequestFacts,
    approver: bool,
    issuer: Result<&IssuerView, &Missing>,
    order: Option<&Arc<OrderFacts>>,
) -> Plan {
    plan(Situation {
        request,
        approver,
        served: ALL,
        issuer,
        order,
        profile: Ok(None),
        replaces: None,
        now: now(),
    })
}

#[test]
fn approval_and_waiting_are_one_write_and_the_order_follows() {
    let issuer = issuer("True");
    let plan = decide(&request("", json!([])), true, Ok(&issuer), None);
    assert_eq!(
        shown(&plan),
        ["Approved=True/cert-manager.io", "Ready=False/Pending"]
    );
    let order_key = plan.create.as_ref().unwrap().key();
    let ready = &plan.status.as_ref().unwrap().conditions.as_ref().unwrap()[1];
    let message = ready.message.as_deref().unwrap();
    assert!(message.contains(&order_key.to_string()), "{message}");
    assert_eq!(plan.event, None);
}

#[test]
fn the_pending_order_says_nothing_new() {
    let issuer = issuer("True");
    let mut request = request("", json!([]));
    let first = decide(&request, true, Ok(&issuer), None);
    let name = first.create.unwrap().key().name;
    request.status = first.status.unwrap();
    let mut order = OrderFacts::clone(&order(json!({"state": "pending"})));
    order.meta.key.name = name;
    let second = decide(&request, true, Ok(&issuer), Some(&Arc::new(order)));
    assert_eq!(second, Plan::default());
}

#[test]
fn without_the_approver_it_waits_to_be_approved() {
    let issuer = issuer("True");
    let mut waiting = request("", json!([]));
    for (age, told) in [(0, false), (4, false), (5, true), (500, true)] {
        waiting.meta.created = Some(now() - SignedDuration::from_secs(age));
        let plan = decide(&waiting, false, Ok(&issuer), None);
        assert_eq!((plan.status, plan.create), (None, None));
        let reason = plan.event.map(|event| event.reason);
        assert_eq!(
            reason,
            told.then_some(reason::WAITING_FOR_APPROVAL.into()),
            "{age}"
        );
        let left = (!told).then(|| Duration::from_secs(5 - age.unsigned_abs()));
        assert_eq!(plan.look, left, "{age}");
    }
    let approved = request("", json!([condition("Approved", "True", "policy")]));
    assert!(decide(&approved, false, Ok(&issuer), None).create.is_some());
}

#[test]
fn denied_beats_approved_and_ends_it() {
    let issuer = issuer("True");
    let both = json!([
        condition("Approved", "True", "x"),
        condition("Denied", "True", "y")
    ]);
    let plan = decide(&request("", both), true, Ok(&issuer), None);
    assert!(shown(&plan).contains(&"Ready=False/Denied".to_owned()));
    assert!(plan.status.unwrap().failure_time.is_some());
    assert_eq!(plan.create, None);
}

#[test]
fn what_is_over_is_left_alone() {
    let issuer = issuer("True");
    for over in [
        json!([condition("Ready", "False", "Failed")]),
        json!([condition("Ready", "False", "Denied")]),
        json!([condition("InvalidRequest", "True", "x")]),
    ] {
        let plan = decide(&request("", over.clone()), true, Ok(&issuer), None);
        assert_eq!(plan, Plan::default(), "{over}");
    }
}

#[test]
fn other_groups_are_approved_and_left_to_their_controllers() {
    let foreign = Missing::Foreign {
        group: "example.com".into(),
    };
    let plan = decide(
        &request("example.com", json!([])),
        true,
        Err(&foreign),
        None,
    );
    assert_eq!(shown(&plan), ["Approved=True/cert-manager.io"]);
    let approved = request("example.com", json!([condition("Approved", "True", "x")]));
    assert_eq!(
        decide(&approved, true, Err(&foreign), None),
        Plan::default()
    );
    let denied = request("example.com", json!([condition("Denied", "True", "x")]));
    assert_eq!(decide(&denied, true, Err(&foreign), None), Plan::default());
    // Whoever approves them instead, we do not tell that we wait for it.
    let new = request("example.com", json!([]));
    assert_eq!(decide(&new, false, Err(&foreign), None), Plan::default());
}

#[test]
fn an_issuer_that_cannot_sign_is_named() {
    let not_ready = issuer("False");
    let plan = decide(&request("", json!([])), true, Ok(&not_ready), None);
    assert_eq!(
        shown(&plan),
        ["Approved=True/cert-manager.io", "Ready=False/Pending"]
    );
    let event = plan.event.unwrap();
    assert_eq!(event.reason, reason::ISSUER_NOT_READY);
    assert_eq!(event.message, "Issuer \"le\" is not ready: no account");
}

#[test]
fn the_end_of_the_order_is_the_end_of_the_request() {
    let issuer = issuer("True");
    let waiting = request("", json!([condition("Approved", "True", "x")]));
    let failed = order(json!({"state": "invalid", "reason": "404"}));
    let plan = decide(&waiting, true, Ok(&issuer), Some(&failed));
    assert!(shown(&plan).contains(&"Ready=False/Failed".to_owned()));
    assert_eq!(plan.event.unwrap().kind, EventType::Warning);
    let valid = order(json!({"state": "valid", "certificate": "YQ=="}));
    assert!(decide(&waiting, true, Ok(&issuer), Some(&valid)).take);
}

#[test]
fn keys_in_the_cluster_sign_at_once_and_all_is_one_write() {
    let request = request("", json!([]));
    for spec in [
        json!({"ca": {"secretName": "root"}}),
        json!({"selfSigned": {}}),
    ] {
        let issuer = issuer_of(&spec, "True");
        let plan = decide(&request, true, Ok(&issuer), None);
        assert!(plan.sign && plan.create.is_none(), "{spec}");
        assert_eq!(shown(&plan), ["Approved=True/cert-manager.io"]);

        let certificate = Certificate {
            chain_pem: "leaf".into(),
            ca_pem: "root".into(),
            remark: None,
        };
        let outcome = Outcome::Issued(Box::new(certificate));
        let end = answered(&request, plan.status.clone(), outcome, now());
        assert_eq!(
            shown(&end),
            ["Approved=True/cert-manager.io", "Ready=True/Issued"]
        );
        let status = end.status.unwrap();
        assert_eq!(status.certificate.unwrap().0, b"leaf");
        assert_eq!(status.ca.unwrap().0, b"root");
        assert_eq!(end.event, None);

        let said = || Said {
            reason: reason::MISSING_SECRET,
            message: "m".into(),
        };
        let wait = answered(
            &request,
            plan.status.clone(),
            Outcome::Pending(said()),
            now(),
        );
        assert_eq!(
            shown(&wait),
            ["Approved=True/cert-manager.io", "Ready=False/Pending"]
        );
        let mut waiting = request.clone();
        waiting.status = wait.status.unwrap();
        let again = answered(&waiting, None, Outcome::Pending(said()), now());
        assert_eq!(again, Plan::default(), "told once");
        let failed = answered(&waiting, None, Outcome::Failed(said()), now());
        assert!(failed.status.unwrap().failure_time.is_some());
        assert_eq!(failed.event.unwrap().kind, EventType::Warning);
    }
}

#[test]
fn only_who_signs_here_now_answers_at_once() {
    let ca = json!({"ca": {"secretName": "root"}});
    let itself = json!({"selfSigned": {}});
    let missing = Missing::Kind { kind: "x".into() };
    let table = [
        (true, ALL, Ok(issuer_of(&ca, "True")), true),
        (true, ALL, Ok(issuer_of(&itself, "True")), true),
        (true, ALL, Ok(issuer_of(&ca, "False")), false),
        (true, ALL, Ok(issuer("True")), false),
        (true, ALL, Err(missing), false),
        (false, ALL, Ok(issuer_of(&ca, "True")), false),
        (
            true,
            Served { ca: false, ..ALL },
            Ok(issuer_of(&ca, "True")),
            false,
        ),
        (
            true,
            Served {
                self_signed: false,
                ..ALL
            },
            Ok(issuer_of(&itself, "True")),
            false,
        ),
    ];
    for (approver, served, issuer, want) in table {
        let found = answers_at_once(approver, served, issuer.as_ref());
        assert_eq!(found, want, "{approver} {served:?} {issuer:?}");
    }
}

#[test]
fn what_is_switched_off_is_approved_and_left_alone() {
    let request = request("", json!([]));
    let ca = issuer_of(&json!({"ca": {"secretName": "root"}}), "True");
    for (served, issuer) in [
        (Served { ca: false, ..ALL }, &ca),
        (Served { acme: false, ..ALL }, &issuer("True")),
        (Served::NONE, &ca),
    ] {
        let plan = plan(Situation {
            request: &request,
            approver: true,
            served,
            issuer: Ok(issuer),
            order: None,
            profile: Ok(None),
            replaces: None,
            now: now(),
        });
        assert_eq!(shown(&plan), ["Approved=True/cert-manager.io"]);
        assert!(!plan.sign && plan.create.is_none());
    }
    let denied = self::request("", json!([condition("Denied", "True", "x")]));
    assert!(!decide(&denied, true, Ok(&ca), None).sign);
}

#[test]
fn a_profile_that_is_not_offered_is_waited_for_until_there_is_an_order() {
    let (request, issuer) = (request("", json!([])), issuer("True"));
    let said = Said {
        reason: "ProfileNotOffered",
        message: "profile \"fast\" is not offered".into(),
    };
    let decide = |profile, order| {
        plan(Situation {
            request: &request,
            approver: true,
            served: ALL,
            issuer: Ok(&issuer),
            order,
            profile,
            replaces: None,
            now: now(),
        })
    };
    let refused = decide(Err(&said), None);
    assert_eq!(
        shown(&refused),
        ["Approved=True/cert-manager.io", "Ready=False/Pending"]
    );
    assert_eq!(refused.create, None);
    let event = refused.event.unwrap();
    assert_eq!(
        (event.reason.as_ref(), &event.message),
        (said.reason, &said.message)
    );

    let chosen = decide(Ok(Some("fast")), None).create.unwrap();
    assert_eq!(chosen.spec().profile.as_deref(), Some("fast"));
    let failed = order(json!({"state": "invalid", "reason": "no"}));
    let plan = decide(Err(&said), Some(&failed));
    assert_eq!(
        shown(&plan),
        ["Approved=True/cert-manager.io", "Ready=False/Failed"]
    );
}

#[test]
fn what_is_used_again_is_left_to_its_certificate_and_answered_in_one_write() {
    let mut request = request("", json!([]));
    request.is_own = true;
    let annotations = &mut request.annotations;
    annotations.insert(annotation::REUSED_ISSUANCE.into(), "other-0123".into());
    let issuer = issuer("True");
    let planned = plan(Situation {
        request: &request,
        approver: true,
        served: ALL,
        issuer: Ok(&issuer),
        order: None,
        profile: Ok(None),
        replaces: None,
        now: now(),
    });
    assert_eq!(planned, Plan::default());
    // Whoever else says so is ordered for.
    let mut foreign = request.clone();
    foreign.is_own = false;
    assert!(!foreign.is_reuse());

    let handed = Handed {
        chain_pem: b"chain",
        ca_pem: None,
        message: "used again".into(),
    };
    let status = handed_over(&request, handed, now()).status.unwrap();
    let conditions = status.conditions.as_ref();
    assert!(condition::is_true(conditions, kind::APPROVED));
    let ready = condition::find(conditions, kind::READY).unwrap();
    assert_eq!(ready.reason.as_deref(), Some("Issued"));
    assert_eq!(ready.message.as_deref(), Some("used again"));
    assert_eq!(status.certificate, Some(ByteString(b"chain".to_vec())));
    assert_eq!(status.ca, None);
}
