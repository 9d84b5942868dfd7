//! Which Order is made for a request, and for which can none be? Pure.

use k8s_openapi::{ByteString, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::api::ObjectMeta;

use crate::{
    api::{
        acme::AcmeIssuer,
        names::annotation,
        order::{Order, OrderSpec},
        reason::request as reason,
    },
    cluster::ObjectKey,
    issuer::{
        order_name::order_name,
        order_request::{RequestInput, Said},
    },
};

/// An Order but for the signing request, which is not kept in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    metadata: ObjectMeta,
    spec: OrderSpec,
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

/// The Order for `request`, if one can be made.
pub(super) fn draft(request: RequestInput<'_>, issuer: &AcmeIssuer) -> Result<Draft, Said> {
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
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        api::reference::IssuerRef,
        issuer::{
            order_name::RequestKind,
            order_request::{Signing, plan},
        },
        pki::{
            csr::{CertificateSigningRequest, CsrFacts, RequestParameters},
            key::{KeyAlgorithm, KeyParameters, PrivateKey},
            names::Names,
            subject::SubjectName,
        },
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
}
