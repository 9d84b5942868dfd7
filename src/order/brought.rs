//! Which certificate did the Order of a request bring, and is it one for that request?

use kube::Client;

use crate::{
    api::order::Order,
    cluster::{
        ObjectKey, RequestError,
        write::{self, api_of},
    },
    issuer::order_request,
    pki::csr::CsrFacts,
};

/// What an Order brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Brought {
    /// This certificate, for the key of the request.
    Certificate(Vec<u8>),
    /// One that is not for the request, and why.
    Unfit(String),
    /// Nothing: the Order is gone, and its deletion wakes the request.
    Nothing,
}

/// Read what `order` brought for the signing request `csr`.
///
/// # Errors
/// The API server refused.
pub async fn brought(
    client: &Client,
    order: &ObjectKey,
    csr: Result<&CsrFacts, &str>,
) -> Result<Brought, RequestError> {
    let api = api_of::<Order>(client, order);
    let certificate = write::get(&api, order)
        .await?
        .and_then(|order| order.status?.certificate);
    let Some(certificate) = certificate else {
        return Ok(Brought::Nothing);
    };
    let accepted = match csr {
        Ok(csr) => order_request::accept(&certificate.0, csr),
        Err(error) => Err(error.to_owned()),
    };
    Ok(match accepted {
        Ok(()) => Brought::Certificate(certificate.0),
        Err(why) => Brought::Unfit(why),
    })
}
