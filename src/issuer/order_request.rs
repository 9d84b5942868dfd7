//! What becomes of a request at an ACME issuer: which Order, and what that says about it.

mod draft;

use std::collections::BTreeMap;

use crate::{
    api::{
        acme::AcmeIssuer, duration::Duration, order::State, reason::request as reason,
        reference::IssuerRef,
    },
    cluster::ObjectKey,
    issuer::order_name::RequestKind,
    pki::{certificate::CertificateFacts, csr::CsrFacts},
};

use draft::draft;
pub use draft::{Draft, controller};

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
pub fn accept(certificate: &[u8], csr: &CsrFacts) -> Result<(), String> {
    let facts = CertificateFacts::from_pem(certificate)
        .map_err(|error| format!("the certificate of the order cannot be used: {error}"))?;
    if facts.public_key != csr.public_key {
        return Err("the certificate of the order is for another key than the request".to_owned());
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

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
