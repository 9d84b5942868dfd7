//! DNS-01 against a real DNS server: updates with every kind of key, what the world sees of them, and
//! whether DNS says something else than before.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod answers;
mod propagation;
mod transport;
mod update;
mod zones;

use std::time::Duration;

use certwright::net::dns::{Client, Name, Nameserver, Timing};
use testbed::dns::{Key, Options, Server, Zone};

const ZONE: &str = "example.com.";
const CHALLENGE: &str = "_acme-challenge.www.example.com.";

/// Short, so that tests of silence end soon; nothing is measured by it.
fn timing() -> Timing {
    Timing {
        total: Duration::from_secs(3),
        udp: Duration::from_millis(600),
        resend: Duration::from_millis(200),
    }
}

fn client() -> Client {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    Client::new(http).with_timing(timing())
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn of(server: &Server) -> Vec<Nameserver> {
    vec![server.addr().into()]
}

fn server(keys: Vec<Key>) -> Server {
    Server::start(Options {
        zones: vec![Zone::new(ZONE)],
        keys,
        ..Options::default()
    })
    .unwrap()
}
