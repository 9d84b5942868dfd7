//! Where the responder is reached: the ready addresses of the operator's replicas.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::cluster::{Cache, Facts, Meta};

/// Where challenges are led to.
pub enum Endpoints {
    /// Addresses given by a flag, for an operator outside the cluster.
    Fixed(BTreeSet<SocketAddr>),
    /// What the operator's own solver Service leads to, from a watch of its EndpointSlices.
    Mirrored(Arc<Cache<SliceFacts>>),
}

impl Endpoints {
    /// The addresses that are ready now.
    pub fn ready(&self) -> BTreeSet<SocketAddr> {
        match self {
            Self::Fixed(addresses) => addresses.clone(),
            Self::Mirrored(slices) => {
                let mut ready = BTreeSet::new();
                slices.for_each(|slice| ready.extend(&slice.ready));
                ready
            }
        }
    }
}

/// The ready addresses of an EndpointSlice of the solver Service.
#[derive(Clone, Debug)]
pub struct SliceFacts {
    meta: Meta,
    ready: BTreeSet<SocketAddr>,
}

impl Facts for SliceFacts {
    type Object = EndpointSlice;
    type Index = ();

    fn reduce(slice: EndpointSlice) -> Self {
        let ports: Vec<u16> = slice
            .ports
            .iter()
            .flatten()
            .filter_map(|port| u16::try_from(port.port?).ok())
            .collect();
        let addresses = slice
            .endpoints
            .iter()
            .filter(|endpoint| {
                // Absent means unknown, which the API asks to take as ready.
                endpoint
                    .conditions
                    .as_ref()
                    .and_then(|conditions| conditions.ready)
                    != Some(false)
            })
            .flat_map(|endpoint| &endpoint.addresses)
            .filter_map(|address| address.parse::<IpAddr>().ok());
        let ready = addresses
            .flat_map(|address| {
                ports
                    .iter()
                    .map(move |port| SocketAddr::new(address, *port))
            })
            .collect();
        Self {
            meta: Meta::of(&slice.metadata),
            ready,
        }
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn indexes(&self) -> Vec<()> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_ready_addresses_count() {
        let slice: EndpointSlice = serde_json::from_value(json!({
            "metadata": {"namespace": "certwright", "name": "s-1"}, "addressType": "IPv4",
            "ports": [{"port": 8089}],
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": true}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": false}},
                {"addresses": ["10.0.0.3"]},
                {"addresses": ["not an address"]},
            ],
        }))
        .unwrap();
        let cache = Arc::new(Cache::<SliceFacts>::default());
        cache.observe(slice);
        let ready: Vec<String> = Endpoints::Mirrored(cache)
            .ready()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(ready, ["10.0.0.1:8089", "10.0.0.3:8089"]);
    }
}
