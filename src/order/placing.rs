//! Is the Order of a request made, or does one of its name stand?

use k8s_openapi::ByteString;
use kube::Client;
use tracing::info;

use crate::{
    api::order::Order,
    cluster::{
        Cache, RequestError,
        write::{self, Created, api_of},
    },
    issuer::order_request::{Draft, controller},
    order::facts::OrderFacts,
};

/// What became of an Order that was to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It is made.
    New,
    /// It stands already.
    Ours,
    /// One of its name stands that belongs to somebody else.
    Taken,
}

/// Make the Order that `draft` describes, for the signing request `request`. One that is left over
/// from a request of the same name, and so was for another key, is deleted.
///
/// # Errors
/// The API server refused, or what stands there changes just now.
pub async fn place(
    client: &Client,
    orders: &Cache<OrderFacts>,
    draft: Draft,
    request: ByteString,
) -> Result<Placed, RequestError> {
    let key = draft.key();
    let owner = draft.owner().cloned().unwrap_or_default();
    let api = api_of::<Order>(client, &key);
    match write::create(&api, &draft.into_order(request)).await? {
        Created::New(created) => {
            orders.observe(created);
            return Ok(Placed::New);
        }
        Created::Exists => {}
    }
    let Some(standing) = write::get(&api, &key).await? else {
        return Err(RequestError::stale::<Order>(&key));
    };
    match controller(&standing.metadata) {
        Some(found) if found.uid == owner.uid => {
            orders.observe(standing);
            Ok(Placed::Ours)
        }
        Some(found) if found.kind == owner.kind && found.name == owner.name => {
            info!(order = %key, "deleting the order of a former request of this name");
            let uid = standing.metadata.uid.unwrap_or_default();
            write::delete(&api, &key, &uid).await?;
            Err(RequestError::stale::<Order>(&key))
        }
        Some(_) | None => Ok(Placed::Taken),
    }
}
