//! Which requests and orders do the tests of both kinds of request start from?

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    api::order::Order,
    cluster::Facts,
    order::facts::OrderFacts,
    pki::{
        csr::{CertificateSigningRequest, RequestParameters},
        key::{KeyAlgorithm, KeyParameters, PrivateKey},
        names::Names,
    },
    request::plan::Served,
};

pub(crate) const ALL: Served = Served {
    acme: true,
    ca: true,
    self_signed: true,
};

/// A signing request for `example.com`, as PEM.
pub(crate) fn csr() -> String {
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

/// The Order `web/name`.
pub(crate) fn order(name: &str, status: Value) -> Arc<OrderFacts> {
    let order: Order = serde_json::from_value(json!({
        "apiVersion": "acme.cert-manager.io/v1", "kind": "Order",
        "metadata": {"namespace": "web", "name": name, "uid": "o"},
        "spec": {"dnsNames": ["example.com"], "issuerRef": {"name": "le"}, "request": "YQ=="},
        "status": status,
    }))
    .unwrap();
    Arc::new(OrderFacts::reduce(order))
}
