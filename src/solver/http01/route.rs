//! Which objects lead an HTTP-01 challenge to the responder. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use k8s_openapi::{
    api::{
        core::v1::{Service, ServicePort, ServiceSpec},
        discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
        networking::v1::{
            HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule,
            IngressServiceBackend, IngressSpec, ServiceBackendPort,
        },
    },
    apimachinery::pkg::{
        apis::meta::v1::{ObjectMeta, OwnerReference},
        util::intstr::IntOrString,
    },
};

use crate::{
    api::{
        http01::{IngressSolver, ObjectTemplate},
        names::{self, annotation, label},
    },
    challenge::facts::ChallengeFacts,
    cluster::name::number_of,
    solver::http01::PATH,
};

/// The port of the Service, as cert-manager's; what it leads to is the responder's own.
pub const PORT: i32 = 8089;

/// Name of the port of Service and EndpointSlices.
const PORT_NAME: &str = "http";

/// How an ingress controller compares a challenge's path (feature gate
/// `ACMEHTTP01IngressPathTypeExact`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathType {
    /// As it stands.
    Exact,
    /// As the controller likes: some old ones know nothing else.
    ImplementationSpecific,
}

impl PathType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "Exact",
            Self::ImplementationSpecific => "ImplementationSpecific",
        }
    }
}

/// The name shared by the route objects of a challenge.
pub fn name(challenge: &ChallengeFacts) -> String {
    format!("cm-acme-http-solver-{}", number_of(&[&challenge.meta.uid]))
}

/// The Service of a challenge. It selects no pods: EndpointSlices say where it leads.
pub fn service(challenge: &ChallengeFacts, service_type: Option<&str>) -> Service {
    let type_ = service_type
        .filter(|type_| !type_.is_empty())
        .unwrap_or("NodePort");
    let mut metadata = metadata(challenge);
    metadata.annotations = Some(BTreeMap::from([(
        annotation::ISTIO_AUTH_8089.to_owned(),
        "NONE".to_owned(),
    )]));
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some(type_.to_owned()),
            ports: Some(vec![ServicePort {
                name: Some(PORT_NAME.to_owned()),
                port: PORT,
                protocol: Some("TCP".to_owned()),
                target_port: Some(IntOrString::Int(PORT)),
                ..Default::default()
            }]),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The address types of EndpointSlices that a route may have.
pub const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];

/// The name of the EndpointSlice number `index` of that address type. It says nothing of the port:
/// where the responder is now replaces where it was.
pub fn slice_name(service: &str, family: &str, index: usize) -> String {
    let family = family.to_ascii_lowercase();
    match index {
        0 => format!("{service}-{family}"),
        index => format!("{service}-{family}-{index}"),
    }
}

/// The EndpointSlices that lead `service` to `endpoints`: one per address family and port.
///
/// They are owned by the Service, or the API server's own clean-up would not reach them.
pub fn endpoint_slices(
    challenge: &ChallengeFacts,
    service: &Service,
    endpoints: &BTreeSet<SocketAddr>,
) -> Vec<EndpointSlice> {
    let mut groups: BTreeMap<(bool, u16), Vec<IpAddr>> = BTreeMap::new();
    for endpoint in endpoints {
        groups
            .entry((endpoint.is_ipv6(), endpoint.port()))
            .or_default()
            .push(endpoint.ip());
    }
    let service_name = service.metadata.name.clone().unwrap_or_default();
    let mut counts = BTreeMap::new();
    let owner = OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Service".to_owned(),
        name: service_name.clone(),
        uid: service.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    };
    groups
        .into_iter()
        .map(|((v6, port), addresses)| {
            let family = if v6 { "IPv6" } else { "IPv4" };
            let index = counts.entry(family).or_insert(0_usize);
            let name = slice_name(&service_name, family, *index);
            *index += 1;
            let mut labels = labels(challenge);
            labels.insert(label::SERVICE_NAME.to_owned(), service_name.clone());
            labels.insert(
                label::ENDPOINT_SLICE_MANAGED_BY.to_owned(),
                names::ENDPOINTS_MANAGED_BY.to_owned(),
            );
            EndpointSlice {
                metadata: ObjectMeta {
                    namespace: Some(challenge.meta.key.namespace.to_string()),
                    name: Some(name),
                    labels: Some(labels),
                    owner_references: Some(vec![owner.clone()]),
                    ..Default::default()
                },
                address_type: family.to_owned(),
                endpoints: addresses
                    .into_iter()
                    .map(|address| Endpoint {
                        addresses: vec![address.to_string()],
                        conditions: Some(EndpointConditions {
                            ready: Some(true),
                            ..Default::default()
                        }),
                        ..Default::default()
                    })
                    .collect(),
                ports: Some(vec![EndpointPort {
                    name: Some(PORT_NAME.to_owned()),
                    port: Some(i32::from(port)),
                    protocol: Some("TCP".to_owned()),
                    ..Default::default()
                }]),
            }
        })
        .collect()
}

/// The Ingress of a challenge.
pub fn ingress(challenge: &ChallengeFacts, solver: &IngressSolver, path_type: PathType) -> Ingress {
    let mut metadata = metadata(challenge);
    let mut annotations = BTreeMap::from([(
        annotation::NGINX_WHITELIST.to_owned(),
        names::ANY_SOURCE.to_owned(),
    )]);
    if let Some(class) = solver.class.as_deref().filter(|class| !class.is_empty()) {
        annotations.insert(annotation::INGRESS_CLASS.to_owned(), class.to_owned());
    }
    let template = solver
        .ingress_template
        .as_ref()
        .and_then(|template| template.metadata.as_ref());
    if let Some(ObjectTemplate {
        annotations: more,
        labels: more_labels,
    }) = template
    {
        annotations.extend(more.clone().unwrap_or_default());
        metadata
            .labels
            .get_or_insert_default()
            .extend(more_labels.clone().unwrap_or_default());
    }
    metadata.annotations = Some(annotations);
    Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: solver
                .ingress_class_name
                .clone()
                .filter(|name| !name.is_empty()),
            rules: Some(vec![rule(challenge, host(challenge), path_type)]),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A rule that leads the path of a challenge on `host`, `None` for any, to its Service.
pub fn rule(challenge: &ChallengeFacts, host: Option<String>, path_type: PathType) -> IngressRule {
    IngressRule {
        host,
        http: Some(HTTPIngressRuleValue {
            paths: vec![path(challenge, path_type)],
        }),
    }
}

/// The path of a challenge and the Service it leads to.
pub fn path(challenge: &ChallengeFacts, path_type: PathType) -> HTTPIngressPath {
    HTTPIngressPath {
        path: Some(format!("{PATH}{}", challenge.spec.token)),
        path_type: path_type.as_str().to_owned(),
        backend: IngressBackend {
            service: Some(IngressServiceBackend {
                name: name(challenge),
                port: Some(ServiceBackendPort {
                    number: Some(PORT),
                    name: None,
                }),
            }),
            resource: None,
        },
    }
}

/// The controller owner reference to a challenge.
pub fn owner(challenge: &ChallengeFacts) -> OwnerReference {
    OwnerReference {
        api_version: "acme.cert-manager.io/v1".to_owned(),
        kind: "Challenge".to_owned(),
        name: challenge.meta.key.name.to_string(),
        uid: challenge.meta.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The host of a challenge's rule: none for an IP address, which an Ingress does not take.
pub fn host(challenge: &ChallengeFacts) -> Option<String> {
    let name = &challenge.spec.dns_name;
    name.parse::<IpAddr>().is_err().then(|| name.clone())
}

fn metadata(challenge: &ChallengeFacts) -> ObjectMeta {
    ObjectMeta {
        namespace: Some(challenge.meta.key.namespace.to_string()),
        name: Some(name(challenge)),
        labels: Some(labels(challenge)),
        owner_references: Some(vec![owner(challenge)]),
        ..Default::default()
    }
}

fn labels(challenge: &ChallengeFacts) -> BTreeMap<String, String> {
    BTreeMap::from([
        (
            label::HTTP_DOMAIN.to_owned(),
            adler32(&challenge.spec.dns_name).to_string(),
        ),
        (
            label::HTTP_TOKEN.to_owned(),
            adler32(&challenge.spec.token).to_string(),
        ),
        (label::HTTP01_SOLVER.to_owned(), names::TRUE.to_owned()),
    ])
}

/// Adler-32 (RFC 1950 section 8): what cert-manager labels route objects with.
fn adler32(text: &str) -> u32 {
    const MODULUS: u32 = 65_521;
    let (a, b) = text.bytes().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(byte)) % MODULUS;
        (a, (b + a) % MODULUS)
    });
    b << 16 | a
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{api::challenge::Challenge, cluster::Facts};

    pub(super) fn challenge(dns_name: &str, solver: Value) -> ChallengeFacts {
        let challenge: Challenge = serde_json::from_value(json!({
            "apiVersion": "acme.cert-manager.io/v1", "kind": "Challenge",
            "metadata": {"namespace": "ns", "name": "web-1-2-3", "uid": "u"},
            "spec": {
                "authorizationURL": "https://ca/a", "dnsName": dns_name, "key": "k",
                "issuerRef": {"name": "ca"}, "solver": solver, "token": "tok", "type": "HTTP-01",
                "url": "https://ca/c",
            },
        }))
        .unwrap();
        ChallengeFacts::reduce(challenge)
    }

    #[test]
    fn adler32_is_the_published_one() {
        assert_eq!(adler32("Wikipedia"), 0x11E6_0398);
        assert_eq!(adler32(""), 1);
    }

    #[test]
    fn the_service_selects_nothing_and_belongs_to_the_challenge() {
        let service = service(&challenge("example.com", json!({})), Some("ClusterIP"));
        let spec = service.spec.unwrap();
        assert_eq!(
            (spec.type_.as_deref(), spec.selector),
            (Some("ClusterIP"), None)
        );
        let owner = &service.metadata.owner_references.unwrap()[0];
        assert_eq!(
            (owner.kind.as_str(), owner.uid.as_str()),
            ("Challenge", "u")
        );
    }

    #[test]
    fn one_slice_per_family_and_port() {
        let challenge = challenge("example.com", json!({}));
        let mut service = service(&challenge, None);
        service.metadata.uid = Some("s".into());
        let endpoints = [
            "10.0.0.1:8089",
            "10.0.0.2:8089",
            "[2001:db8::1]:8089",
            "10.0.0.3:9000",
        ];
        let endpoints = endpoints.iter().map(|text| text.parse().unwrap()).collect();
        let slices = endpoint_slices(&challenge, &service, &endpoints);
        let service_name = service.metadata.name.clone().unwrap();
        let shown: Vec<(&str, &str, usize)> = slices
            .iter()
            .map(|slice| {
                let name = slice.metadata.name.as_deref().unwrap();
                let name = name.strip_prefix(&service_name).unwrap();
                (name, slice.address_type.as_str(), slice.endpoints.len())
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("-ipv4", "IPv4", 2),
                ("-ipv4-1", "IPv4", 1),
                ("-ipv6", "IPv6", 1)
            ]
        );
        for slice in &slices {
            let labels = slice.metadata.labels.as_ref().unwrap();
            assert_eq!(
                labels.get(label::SERVICE_NAME),
                service.metadata.name.as_ref()
            );
            assert_eq!(
                slice.metadata.owner_references.as_ref().unwrap()[0].uid,
                "s"
            );
        }
    }

    #[test]
    fn the_ingress_follows_the_solver() {
        let challenge = challenge("example.com", json!({}));
        let solver: IngressSolver = serde_json::from_value(json!({
            "ingressClassName": "traefik",
            "ingressTemplate": {"metadata": {
                "labels": {"team": "a"},
                "annotations": {"nginx.ingress.kubernetes.io/whitelist-source-range": "10.0.0.0/8"},
            }},
        }))
        .unwrap();
        let ingress = ingress(&challenge, &solver, PathType::Exact);
        let annotations = ingress.metadata.annotations.unwrap();
        assert_eq!(annotations[annotation::NGINX_WHITELIST], "10.0.0.0/8");
        assert_eq!(ingress.metadata.labels.unwrap()["team"], "a");
        let spec = ingress.spec.unwrap();
        assert_eq!(spec.ingress_class_name.as_deref(), Some("traefik"));
        let rule = &spec.rules.unwrap()[0];
        assert_eq!(rule.host.as_deref(), Some("example.com"));
        let path = &rule.http.as_ref().unwrap().paths[0];
        assert_eq!(
            path.path.as_deref(),
            Some("/.well-known/acme-challenge/tok")
        );
        assert_eq!(path.path_type, "Exact");
    }

    #[test]
    fn an_ip_address_has_no_host_rule() {
        for address in ["192.0.2.1", "2001:db8::1"] {
            let ingress = ingress(
                &challenge(address, json!({})),
                &IngressSolver::default(),
                PathType::ImplementationSpecific,
            );
            assert_eq!(ingress.spec.unwrap().rules.unwrap()[0].host, None);
        }
    }
}
