//! What to do next for a CertificateRequest. Pure.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::ByteString;

use crate::{
    api::{
        condition::{self, RequestCondition, kind},
        reason::request as reason,
        request::CertificateRequestStatus,
    },
    issuer::{
        IssuerView, Missing,
        kind::Signer,
        local::{Certificate, Outcome},
        order_request::{self, Draft, OrderInput, RequestInput, Said, Signing},
    },
    order::facts::OrderFacts,
    request::facts::RequestFacts,
};

/// The facts a step is decided on.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The request.
    pub request: &'a RequestFacts,
    /// Whether requests are approved here; otherwise somebody else does.
    pub approver: bool,
    /// Which issuers' requests are handed to them here.
    pub served: Served,
    /// Its issuer.
    pub issuer: Result<&'a IssuerView, &'a Missing>,
    /// The Order it owns.
    pub order: Option<&'a Arc<OrderFacts>>,
    /// Now.
    pub now: Timestamp,
}

/// Issuers by what they sign by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// ACME.
    pub acme: bool,
    /// A CA in a Secret.
    pub ca: bool,
    /// Nothing: requests sign themselves.
    pub self_signed: bool,
}

impl Served {
    /// No issuers at all.
    pub const NONE: Self = Self {
        acme: false,
        ca: false,
        self_signed: false,
    };
}

/// What to do, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The status to write, if it is another than the present one.
    pub status: Option<CertificateRequestStatus>,
    /// The Order to create.
    pub create: Option<Box<Draft>>,
    /// Whether the Order's certificate is to be taken over.
    pub take: bool,
    /// Whether it is to be signed here; the status is written with what comes of it.
    pub sign: bool,
    /// What to tell on the request.
    pub event: Option<Event>,
}

/// An event on the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether it is a warning.
    pub warning: bool,
    /// Its reason.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// Message of the Approved condition, as people and tools know it from cert-manager.
const APPROVED_MESSAGE: &str = "Certificate request has been approved by cert-manager.io";
/// Message of the Ready condition of a denied request.
const DENIED_MESSAGE: &str = "The CertificateRequest was denied by an approval controller";
/// Message of the Ready condition of an issued request.
const ISSUED_MESSAGE: &str = "Certificate fetched from issuer successfully";

/// Decide what to do.
pub fn plan(situation: Situation<'_>) -> Plan {
    let Situation {
        request,
        approver,
        served,
        issuer,
        order,
        now,
    } = situation;
    if request.meta.deleting || request.is_over() {
        return Plan::default();
    }
    let mut draft = StatusDraft {
        status: request.status.clone(),
        now,
    };
    if request.is_true(kind::DENIED) {
        if matches!(issuer, Err(Missing::Foreign { .. })) {
            return Plan::default();
        }
        draft.fail(reason::DENIED, DENIED_MESSAGE.to_owned());
        return draft.plan(request, None);
    }
    if !request.is_true(kind::APPROVED) {
        if !approver {
            let message = "Not signing CertificateRequest until it is Approved".to_owned();
            let event = Event {
                warning: false,
                reason: reason::WAITING_FOR_APPROVAL,
                message,
            };
            return Plan {
                event: Some(event),
                ..Plan::default()
            };
        }
        draft.set(
            kind::APPROVED,
            true,
            reason::APPROVED,
            APPROVED_MESSAGE.to_owned(),
        );
    }
    if served == Served::NONE {
        return draft.plan(request, None);
    }
    let issuer = match issuer {
        // Approved under the same rules, signed by its own controller.
        Err(Missing::Foreign { .. }) => return draft.plan(request, None),
        Err(missing) => {
            let said = Said {
                reason: reason::ISSUER_NOT_FOUND,
                message: missing.to_string(),
            };
            return draft.pending(request, said);
        }
        Ok(issuer) => issuer,
    };
    let signer = match issuer.usable() {
        Ok(signer) => signer,
        Err(why) => {
            let said = Said {
                reason: why.reason(),
                message: why.to_string(),
            };
            return draft.pending(request, said);
        }
    };
    let acme = match signer {
        Signer::Acme(acme) if served.acme => acme,
        Signer::Ca(_) if served.ca => return draft.sign(request),
        Signer::SelfSigned(_) if served.self_signed => return draft.sign(request),
        Signer::Acme(_) | Signer::Ca(_) | Signer::SelfSigned(_) => {
            return draft.plan(request, None);
        }
    };
    let input = RequestInput {
        key: &request.meta.key,
        uid: &request.meta.uid,
        labels: &request.labels,
        annotations: &request.annotations,
        issuer_ref: &request.issuer_ref,
        duration: request.duration.as_ref(),
        csr: request.csr.as_ref().map_err(String::as_str),
        replaces: None,
    };
    let order = order.map(|order| OrderInput {
        key: &order.meta.key,
        state: order.status.state,
        reason: order.status.reason.as_deref(),
        has_certificate: order.has_certificate,
    });
    match order_request::plan(input, acme, order) {
        Signing::Create(create) => {
            // One write says all: approved, and waiting for the order that follows it.
            draft.ready(
                reason::PENDING,
                order_request::waiting(&create.key()).message,
            );
            Plan {
                create: Some(create),
                ..draft.plan(request, None)
            }
        }
        Signing::Pending(said) => {
            draft.ready(reason::PENDING, said.message);
            draft.plan(request, None)
        }
        Signing::Failed(said) => draft.failed(request, said),
        Signing::Take => Plan {
            take: true,
            ..draft.plan(request, None)
        },
    }
}

/// The status of a request that was issued.
pub fn issued(
    request: &RequestFacts,
    certificate: Vec<u8>,
    now: Timestamp,
) -> CertificateRequestStatus {
    let mut draft = StatusDraft {
        status: request.status.clone(),
        now,
    };
    draft.set(kind::READY, true, reason::ISSUED, ISSUED_MESSAGE.to_owned());
    draft.status.certificate = Some(ByteString(certificate));
    draft.status
}

/// What to write and tell once a request was to be signed here. `begun` is the status that the plan
/// was to write, which follows in the same write.
pub fn answered(
    request: &RequestFacts,
    begun: Option<CertificateRequestStatus>,
    outcome: Outcome,
    now: Timestamp,
) -> Plan {
    let mut draft = StatusDraft {
        status: begun.unwrap_or_else(|| request.status.clone()),
        now,
    };
    let Certificate {
        chain_pem,
        ca_pem,
        remark,
    } = match outcome {
        Outcome::Issued(certificate) => *certificate,
        Outcome::Pending(said) => return draft.pending(request, said),
        Outcome::Failed(said) => return draft.failed(request, said),
    };
    draft.set(kind::READY, true, reason::ISSUED, ISSUED_MESSAGE.to_owned());
    draft.status.certificate = Some(ByteString(chain_pem.into_bytes()));
    draft.status.ca = Some(ByteString(ca_pem.into_bytes()));
    let event = remark.map(|Said { reason, message }| Event {
        warning: true,
        reason,
        message,
    });
    draft.plan(request, event)
}

/// What to do with a request that cannot be issued after all.
pub fn failed(request: &RequestFacts, said: Said, now: Timestamp) -> Plan {
    StatusDraft {
        status: request.status.clone(),
        now,
    }
    .failed(request, said)
}

/// What to do with a request that has to wait for what `said` tells.
pub fn pending(request: &RequestFacts, said: Said, now: Timestamp) -> Plan {
    StatusDraft {
        status: request.status.clone(),
        now,
    }
    .pending(request, said)
}

struct StatusDraft {
    status: CertificateRequestStatus,
    now: Timestamp,
}

impl StatusDraft {
    fn set(&mut self, type_: &str, status: bool, reason: &str, message: String) {
        let conditions = self.status.conditions.get_or_insert_default();
        let condition = RequestCondition::new(type_, status, reason, message);
        condition::set(conditions, condition, self.now);
    }

    fn ready(&mut self, reason: &str, message: String) {
        self.set(kind::READY, false, reason, message);
    }

    fn fail(&mut self, reason: &str, message: String) {
        self.ready(reason, message);
        let now = condition::to_the_second(self.now);
        self.status.failure_time.get_or_insert(now);
    }

    /// Waiting, for a reason worth an event when it is new.
    fn pending(mut self, request: &RequestFacts, said: Said) -> Plan {
        let Said { reason, message } = said;
        self.ready(reason::PENDING, message.clone());
        self.plan(
            request,
            Some(Event {
                warning: false,
                reason,
                message,
            }),
        )
    }

    fn failed(mut self, request: &RequestFacts, said: Said) -> Plan {
        let Said { reason, message } = said;
        self.fail(reason::FAILED, message.clone());
        self.plan(
            request,
            Some(Event {
                warning: true,
                reason,
                message,
            }),
        )
    }

    fn sign(self, request: &RequestFacts) -> Plan {
        Plan {
            sign: true,
            ..self.plan(request, None)
        }
    }

    /// Write and tell only what is new.
    fn plan(self, request: &RequestFacts, event: Option<Event>) -> Plan {
        if self.status == request.status {
            return Plan::default();
        }
        Plan {
            status: Some(self.status),
            event,
            ..Plan::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::api::ObjectMeta;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        api::{issuer::Issuer, order::Order},
        cluster::Facts,
        issuer::Issuers,
        pki::{
            csr::{CertificateSigningRequest, RequestParameters},
            key::{KeyAlgorithm, KeyParameters, PrivateKey},
            names::Names,
        },
    };

    const ALL: Served = Served {
        acme: true,
        ca: true,
        self_signed: true,
    };

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn csr() -> String {
        let parameters = KeyParameters::new(KeyAlgorithm::Ecdsa, None).unwrap();
        let key = PrivateKey::generate(parameters).unwrap();
        let names = Names {
            dns: vec!["example.com".into()],
            ..Names::default()
        };
        let parameters = RequestParameters {
            names,
            ..RequestParameters::default()
        };
        CertificateSigningRequest::build(&parameters, &key)
            .unwrap()
            .to_pem()
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
        let order: Order = serde_json::from_value(json!({
            "apiVersion": "acme.cert-manager.io/v1", "kind": "Order",
            "metadata": {"namespace": "web", "name": "www-1-7", "uid": "o"},
            "spec": {"dnsNames": ["example.com"], "issuerRef": {"name": "le"}, "request": "YQ=="},
            "status": status,
        }))
        .unwrap();
        Arc::new(OrderFacts::reduce(order))
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
        let plan = decide(&request("", json!([])), false, Ok(&issuer), None);
        assert_eq!((plan.status, plan.create), (None, None));
        assert_eq!(plan.event.unwrap().reason, reason::WAITING_FOR_APPROVAL);
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
        assert!(plan.event.unwrap().warning);
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
            assert!(failed.event.unwrap().warning);
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
                now: now(),
            });
            assert_eq!(shown(&plan), ["Approved=True/cert-manager.io"]);
            assert!(!plan.sign && plan.create.is_none());
        }
        let denied = self::request("", json!([condition("Denied", "True", "x")]));
        assert!(!decide(&denied, true, Ok(&ca), None).sign);
    }
}
