//! What becomes of a request at an ACME issuer: which Order, and what that says about it.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::api::ObjectMeta;

use crate::{
    api::{
        acme::AcmeIssuer,
        duration::Duration,
        names::annotation,
        order::{Order, OrderSpec, State},
        reason::request as reason,
        reference::IssuerRef,
    },
    cluster::ObjectKey,
    issuer::order_name::{RequestKind, order_name},
    pki::{certificate::CertificateFacts, csr::CsrFacts},
};

/// What is known of the request.
#[derive(Clone, Copy, Debug)]
pub struct RequestInput<'a> {
    /// Its kind.
    pub kind: RequestKind,
    /// Its name, and the namespace that the Order belongs into.
    pub key: &'a ObjectKey,
    /// Its uid: the Order is owned by it.
    pub uid: &'a str,
    /// Its labels; solvers are selected by them.
    pub labels: &'a BTreeMap<String, String>,
    /// Its annotations; they can override a solver.
    pub annotations: &'a BTreeMap<String, String>,
    /// The issuer, as it was written.
    pub issuer_ref: &'a IssuerRef,
    /// The lifetime asked for.
    pub duration: Option<&'a Duration>,
    /// The signing request, or why it cannot be read.
    pub csr: Result<&'a CsrFacts, &'a str>,
    /// The profile to order.
    pub profile: Option<&'a str>,
    /// The certificate this one takes the place of, as renewal information identifies it.
    pub replaces: Option<&'a str>,
}

/// What is known of the Order that the request owns.
#[derive(Clone, Copy, Debug)]
pub struct OrderInput<'a> {
    /// Its name.
    pub key: &'a ObjectKey,
    /// `status.state`.
    pub state: Option<State>,
    /// `status.reason`.
    pub reason: Option<&'a str>,
    /// Whether `status.certificate` is set.
    pub has_certificate: bool,
}

/// What is to be done for the request.
#[derive(Clone, Debug, PartialEq)]
pub enum Signing {
    /// Create this Order, completed by [`Draft::into_order`].
    Create(Box<Draft>),
    /// The request is pending.
    Pending(Said),
    /// The request failed for good.
    Failed(Said),
    /// The certificate is there: read the Order, hold it against the request with [`accept`], take
    /// it or delete the Order.
    Take,
}

/// What is said about a request: the event's reason and the message of event and condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Reason of the event; the condition's is Pending or Failed.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// An Order but for the signing request, which is not kept in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    metadata: ObjectMeta,
    spec: OrderSpec,
}

/// How the message of a request starts whose Order failed.
const ORDER_FAILED: &str = "Failed to wait for order resource";

/// What to do for `request`, given the Order it owns.
pub fn plan(
    request: RequestInput<'_>,
    issuer: &AcmeIssuer,
    order: Option<OrderInput<'_>>,
) -> Signing {
    if let Some(order) = order {
        return follow(order);
    }
    match draft(request, issuer) {
        Ok(draft) => Signing::Create(Box::new(draft)),
        Err(said) => Signing::Failed(said),
    }
}

/// What is said while the Order has not said anything yet: the same as of a pending one, so that the
/// request is not written again when it does.
pub fn waiting(order: &ObjectKey) -> Said {
    still(order, State::Pending)
}

fn still(order: &ObjectKey, state: State) -> Said {
    Said {
        reason: reason::ORDER_PENDING,
        message: format!(
            "Waiting on certificate issuance from order {order}: {:?}",
            state.as_str()
        ),
    }
}

/// What is said when an Order of that name stands that belongs to somebody else.
pub fn name_taken(order: &ObjectKey) -> Said {
    Said {
        reason: reason::ORDER_CREATING_ERROR,
        message: format!(
            "Order {order} exists and belongs to another object: delete it if it is left over"
        ),
    }
}

/// Whether the certificate of an Order is one for the request.
///
/// # Errors
/// Why it is not: the Order is to be deleted, and made anew.
pub fn accept(certificate: &[u8], csr: &CsrFacts) -> Result<CertificateFacts, String> {
    let facts = CertificateFacts::from_pem(certificate)
        .map_err(|error| format!("the certificate of the order cannot be used: {error}"))?;
    if facts.public_key != csr.public_key {
        return Err("the certificate of the order is for another key than the request".to_owned());
    }
    Ok(facts)
}

impl Draft {
    /// Name and namespace the Order will have.
    pub fn key(&self) -> ObjectKey {
        ObjectKey::of(&self.metadata)
    }

    /// The request that the Order is for.
    pub fn owner(&self) -> Option<&OwnerReference> {
        controller(&self.metadata)
    }

    /// What is ordered; the signing request is empty.
    pub fn spec(&self) -> &OrderSpec {
        &self.spec
    }

    /// The Order, with the signing request as PEM.
    pub fn into_order(self, request: ByteString) -> Order {
        let Self { metadata, spec } = self;
        Order {
            metadata,
            spec: OrderSpec { request, ..spec },
            status: None,
        }
    }
}

/// The owner of an object that controls it.
pub fn controller(object: &ObjectMeta) -> Option<&OwnerReference> {
    let mut owners = object.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true))
}

/// Whether `message`, of a request that failed, tells of an Order that was made.
pub fn is_of_order(message: &str) -> bool {
    message.starts_with(ORDER_FAILED)
}

fn follow(order: OrderInput<'_>) -> Signing {
    let OrderInput {
        key,
        state,
        reason: why,
        has_certificate,
    } = order;
    let why = why.filter(|why| !why.is_empty());
    match state {
        Some(state @ (State::Invalid | State::Expired | State::Errored)) => Signing::Failed(Said {
            reason: reason::ORDER_FAILED,
            message: format!(
                "{ORDER_FAILED} {:?} to become ready: order is in {:?} state: {}",
                key.name,
                state.as_str(),
                why.unwrap_or("no reason was given"),
            ),
        }),
        Some(State::Valid) if has_certificate => Signing::Take,
        None => Signing::Pending(waiting(key)),
        Some(state @ (State::Valid | State::Ready | State::Pending | State::Processing)) => {
            let mut said = still(key, state);
            if let Some(why) = why {
                said.message.push_str(": ");
                said.message.push_str(why);
            }
            Signing::Pending(said)
        }
    }
}

fn draft(request: RequestInput<'_>, issuer: &AcmeIssuer) -> Result<Draft, Said> {
    let RequestInput {
        kind,
        key,
        uid,
        labels,
        annotations,
        issuer_ref,
        duration,
        csr,
        profile,
        replaces,
    } = request;
    let csr = csr.map_err(|error| Said {
        reason: reason::REQUEST_PARSING_ERROR,
        message: format!("Failed to decode CSR in spec.request: {error}"),
    })?;
    let spec = OrderSpec {
        common_name: Some(csr.subject.common_name.clone()).filter(|name| !name.is_empty()),
        dns_names: non_empty(csr.names.dns.clone()),
        duration: duration
            .filter(|_| issuer.enable_duration_feature == Some(true))
            .cloned(),
        ip_addresses: non_empty(
            csr.names
                .ips
                .iter()
                .map(|ip| ip.to_canonical().to_string())
                .collect(),
        ),
        issuer_ref: issuer_ref.clone(),
        profile: profile.map(str::to_owned),
        replaces: replaces.map(str::to_owned),
        request: ByteString(Vec::new()),
    };
    if let Some(message) = unorderable(&spec) {
        return Err(Said {
            reason: reason::INVALID_ORDER,
            message,
        });
    }
    let name = order_name(kind, &key.name, &spec).map_err(|error| Said {
        reason: reason::ORDER_BUILDING_ERROR,
        message: format!("Failed to build order: {error}"),
    })?;
    let mut annotations = annotations.clone();
    annotations.remove(annotation::LAST_APPLIED);
    Ok(Draft {
        metadata: ObjectMeta {
            namespace: Some(key.namespace.to_string()),
            name: Some(name),
            labels: Some(labels.clone()).filter(|labels| !labels.is_empty()),
            annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
            owner_references: Some(vec![kind.owner(&key.name, uid)]),
            ..ObjectMeta::default()
        },
        spec,
    })
}

/// Why no ACME server could take such an order.
fn unorderable(spec: &OrderSpec) -> Option<String> {
    let names = spec.dns_names.as_deref().unwrap_or_default();
    let addresses = spec.ip_addresses.as_deref().unwrap_or_default();
    let Some(common_name) = spec.common_name.as_deref() else {
        return (names.is_empty() && addresses.is_empty()).then(|| {
            "the request has neither DNS names nor IP addresses, and ACME certifies nothing else: \
             set dnsNames or ipAddresses"
                .to_owned()
        });
    };
    if names
        .iter()
        .chain(addresses)
        .any(|name| name == common_name)
    {
        return None;
    }
    Some(format!(
        "ACME takes a common name only if it is among the DNS names or IP addresses: {common_name:?} \
         is in neither [{}] nor [{}]; add it to them, or leave it out",
        names.join(" "),
        addresses.join(" "),
    ))
}

fn non_empty(texts: Vec<String>) -> Option<Vec<String>> {
    (!texts.is_empty()).then_some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{
        csr::{CertificateSigningRequest, RequestParameters},
        key::{KeyAlgorithm, KeyParameters, PrivateKey},
        names::Names,
        subject::SubjectName,
    };

    fn csr(dns: &[&str], ips: &[&str]) -> CsrFacts {
        let key =
            PrivateKey::generate(KeyParameters::new(KeyAlgorithm::Ecdsa, None).unwrap()).unwrap();
        let parameters = RequestParameters {
            subject: SubjectName::default(),
            names: Names {
                dns: dns.iter().map(|name| (*name).to_owned()).collect(),
                ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
                ..Names::default()
            },
            ..RequestParameters::default()
        };
        let request = CertificateSigningRequest::build(&parameters, &key).unwrap();
        CsrFacts::from_der(request.der()).unwrap()
    }

    fn with_common_name(mut csr: CsrFacts, name: &str) -> CsrFacts {
        csr.subject.common_name = name.to_owned();
        csr
    }

    fn plan_for(csr: Result<&CsrFacts, &str>, issuer: &AcmeIssuer) -> Signing {
        let annotations = BTreeMap::from([
            ("a".to_owned(), "1".to_owned()),
            (annotation::LAST_APPLIED.to_owned(), "{}".to_owned()),
        ]);
        let request = RequestInput {
            kind: RequestKind::CertificateRequest,
            key: &ObjectKey::new("web", "www-1"),
            uid: "u",
            labels: &BTreeMap::from([("l".to_owned(), "2".to_owned())]),
            annotations: &annotations,
            issuer_ref: &IssuerRef {
                name: "le".into(),
                ..IssuerRef::default()
            },
            duration: Some(&"48h".into()),
            csr,
            profile: issuer.profile.as_deref(),
            replaces: None,
        };
        plan(request, issuer, None)
    }

    fn order_of(signing: Signing) -> Order {
        let Signing::Create(draft) = signing else {
            panic!("no order: {signing:?}")
        };
        draft.into_order(ByteString(b"pem".to_vec()))
    }

    #[test]
    fn the_order_has_what_the_request_asks_for() {
        let csr = csr(&["www.example", "*.example"], &["192.0.2.1", "2001:db8::1"]);
        let order = order_of(plan_for(Ok(&csr), &AcmeIssuer::default()));
        let Order {
            metadata,
            spec,
            status,
        } = order;
        assert_eq!(status, None);
        assert_eq!(spec.dns_names.unwrap(), ["www.example", "*.example"]);
        assert_eq!(spec.ip_addresses.unwrap(), ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(
            (spec.duration, spec.profile, spec.common_name),
            (None, None, None)
        );
        assert_eq!(spec.request.0, b"pem");
        assert_eq!(metadata.namespace.as_deref(), Some("web"));
        assert_eq!(metadata.labels.unwrap()["l"], "2");
        assert_eq!(
            metadata
                .annotations
                .unwrap()
                .into_keys()
                .collect::<Vec<_>>(),
            ["a"]
        );
        let owner = metadata.owner_references.unwrap().remove(0);
        assert_eq!(owner.api_version, "cert-manager.io/v1");
        assert_eq!(
            (owner.kind.as_str(), owner.uid.as_str()),
            ("CertificateRequest", "u")
        );
        assert_eq!(owner.controller, Some(true));
    }

    #[test]
    fn duration_and_profile_come_from_the_issuer() {
        let issuer = AcmeIssuer {
            enable_duration_feature: Some(true),
            profile: Some("shortlived".into()),
            ..AcmeIssuer::default()
        };
        let order = order_of(plan_for(Ok(&csr(&["a.example"], &[])), &issuer));
        assert_eq!(order.spec.duration, Some("48h".into()));
        assert_eq!(order.spec.profile.as_deref(), Some("shortlived"));
    }

    #[test]
    fn what_cannot_be_ordered_fails_and_says_why() {
        let table = [
            (Err("it is not PEM"), "RequestParsingError", "it is not PEM"),
            (
                Ok(csr(&[], &[])),
                "InvalidOrder",
                "set dnsNames or ipAddresses",
            ),
            (
                Ok(with_common_name(csr(&["a.example"], &[]), "b.example")),
                "InvalidOrder",
                "\"b.example\" is in neither [a.example] nor []",
            ),
        ];
        for (csr, reason, message) in table {
            let signing = plan_for(csr.as_ref().map_err(|error| *error), &AcmeIssuer::default());
            let Signing::Failed(said) = signing else {
                panic!("{signing:?}")
            };
            assert_eq!(said.reason, reason);
            assert!(said.message.contains(message), "{}", said.message);
        }
        for (csr, name) in [
            (csr(&["a.example"], &[]), "a.example"),
            (csr(&[], &["2001:db8::1"]), "2001:db8::1"),
        ] {
            let order = order_of(plan_for(
                Ok(&with_common_name(csr, name)),
                &AcmeIssuer::default(),
            ));
            assert_eq!(order.spec.common_name.as_deref(), Some(name));
        }
    }

    #[test]
    fn the_request_follows_its_order() {
        let key = ObjectKey::new("web", "www-1-7");
        let pending = |text: &str| {
            Signing::Pending(Said {
                reason: "OrderPending",
                message: format!("Waiting on certificate issuance from order web/www-1-7: {text}"),
            })
        };
        let failed = |text: &str| {
            Signing::Failed(Said {
                reason: "OrderFailed",
                message: format!(
                    "Failed to wait for order resource \"www-1-7\" to become ready: order is in {text}"
                ),
            })
        };
        let table = [
            (None, None, false, pending("\"pending\"")),
            (Some(State::Pending), None, false, pending("\"pending\"")),
            (
                Some(State::Pending),
                Some("slow"),
                false,
                pending("\"pending\": slow"),
            ),
            (Some(State::Ready), Some(""), false, pending("\"ready\"")),
            (
                Some(State::Processing),
                None,
                false,
                pending("\"processing\""),
            ),
            (Some(State::Valid), None, false, pending("\"valid\"")),
            (Some(State::Valid), None, true, Signing::Take),
            (
                Some(State::Invalid),
                Some("404"),
                false,
                failed("\"invalid\" state: 404"),
            ),
            (
                Some(State::Expired),
                None,
                false,
                failed("\"expired\" state: no reason was given"),
            ),
            (
                Some(State::Errored),
                Some("x"),
                true,
                failed("\"errored\" state: x"),
            ),
        ];
        for (state, reason, has_certificate, want) in table {
            let order = OrderInput {
                key: &key,
                state,
                reason,
                has_certificate,
            };
            assert_eq!(follow(order), want, "{order:?}");
        }
    }
}
