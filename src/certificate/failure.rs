//! Would what failed be refused again, or may it go well the next time?

use std::sync::Arc;

use crate::{
    api::{
        condition::{AnyCondition, kind},
        reason::request as reason,
    },
    issuer::order_request,
    order::facts::OrderFacts,
    request::facts::RequestFacts,
};

/// What kind of failure one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Failure {
    /// It may go well any time: a validation, or what nobody knows the cause of.
    #[default]
    Open,
    /// Refused for what was asked: somebody has to change something first.
    Refused,
}

/// What kind of failure that of `request` is; `order` looks for the order it owns.
pub fn of(request: &RequestFacts, order: impl FnOnce() -> Option<Arc<OrderFacts>>) -> Failure {
    if request.is_true(kind::DENIED) || request.is_true(kind::INVALID_REQUEST) {
        return Failure::Refused;
    }
    let Some(ready) = request.condition(kind::READY) else {
        return Failure::Open;
    };
    let is_refused = match ready.reason() {
        reason::DENIED => true,
        // What others sign by is not known.
        reason::FAILED if !request.issuer_ref.is_ours() => false,
        reason::FAILED => match order() {
            Some(order) => order.was_refused(),
            // Nothing was ordered, or what was is gone.
            None => !order_request::is_of_order(ready.message()),
        },
        _ => false,
    };
    match is_refused {
        true => Failure::Refused,
        false => Failure::Open,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        api::order::Order,
        certificate::stories::{World, spec},
        cluster::Facts,
    };

    fn order(status: Value) -> Arc<OrderFacts> {
        let order: Order = serde_json::from_value(json!({
            "apiVersion": "acme.cert-manager.io/v1", "kind": "Order",
            "metadata": {"namespace": "web", "name": "web-1-7"},
            "spec": {"issuerRef": {"name": "ca"}, "request": "YQ=="}, "status": status,
        }))
        .unwrap();
        Arc::new(OrderFacts::reduce(order))
    }

    #[test]
    fn the_order_tells_what_kind_of_failure_it_is() {
        let placed = |state: &str, reason: &str| {
            Some(json!({"url": "https://ca/o", "state": state, "reason": reason}))
        };
        let failed = |order: &str| {
            format!(
                "Failed to wait for order resource \"web-1-7\" to become ready: order is {order}"
            )
        };
        let table = [
            (
                placed("invalid", "HTTP-01 of a: no (connection)"),
                Failure::Open,
            ),
            (
                placed("invalid", "HTTP-01 of a: got 404 (unauthorized)"),
                Failure::Open,
            ),
            (
                placed("invalid", "HTTP-01 of a: CAA forbids it (caa)"),
                Failure::Refused,
            ),
            (
                placed("errored", "finalize: weak key (badCSR)"),
                Failure::Refused,
            ),
            // The order is gone at the CA: another may go well.
            (
                placed("errored", "get order: no such order (malformed)"),
                Failure::Open,
            ),
            (
                placed("expired", "the authorization expired at the CA"),
                Failure::Open,
            ),
            (
                Some(json!({"state": "errored", "reason": "new order: a_b (malformed)"})),
                Failure::Refused,
            ),
            (None, Failure::Open),
        ];
        let mut world = World::new(spec());
        world.settle();
        let kind_of = |world: &World, found: Option<Value>| {
            let request = RequestFacts::reduce(world.requests["web-1"].clone());
            of(&request, || found.map(order))
        };
        assert_eq!(kind_of(&world, None), Failure::Open);
        world.say(
            "web-1",
            kind::READY,
            false,
            "Failed",
            &failed("in \"invalid\" state"),
        );
        for (status, want) in table {
            assert_eq!(kind_of(&world, status.clone()), want, "{status:?}");
        }
        // A CA in the cluster, or a request that nothing can be ordered for.
        world.say("web-1", kind::READY, false, "Failed", "no such duration");
        assert_eq!(kind_of(&world, None), Failure::Refused);
        world.say("web-1", kind::READY, false, "Pending", "");
        assert_eq!(kind_of(&world, None), Failure::Open);
        world.say("web-1", kind::DENIED, true, "Policy", "not allowed");
        assert_eq!(kind_of(&world, None), Failure::Refused);
    }
}
