//! When does the world see a value?

use std::net::IpAddr;

use certwright::solver::dns01::propagation::{Outcome, View, check};
use testbed::dns::{Data, Options, ResponseCode, Server, Zone};

use super::{CHALLENGE, ZONE, client, name, of, server};

#[tokio::test]
async fn every_server_of_the_zone_must_have_the_value() {
    let [one, two]: [IpAddr; 2] = ["127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap()];
    let primary = Server::start(Options {
        zones: vec![
            Zone::new(ZONE)
                .server("ns1.example.com.", one)
                .server("ns2.example.com.", two),
        ],
        ..Options::default()
    })
    .unwrap();
    let secondary = primary.secondary(two, primary.addr().port()).unwrap();
    let client = client().with_authority_port(primary.addr().port());
    let view = View::Authoritative(of(&primary));
    let look = async || check(&client, &view, &name(CHALLENGE), "v").await;
    let not_yet = |seen: &str| Outcome::NotYet {
        seen: seen.to_owned(),
    };

    assert_eq!(
        look().await,
        not_yet(
            "ns1.example.com (127.0.0.1) answered NXDOMAIN for _acme-challenge.www.example.com; \
             ns2.example.com (127.0.0.2) answered NXDOMAIN for _acme-challenge.www.example.com"
        )
    );
    primary
        .set_record(CHALLENGE, &Data::Txt("v".to_owned()))
        .unwrap();
    assert_eq!(
        look().await,
        not_yet(
            "ns2.example.com (127.0.0.2) answered NXDOMAIN for _acme-challenge.www.example.com"
        )
    );
    secondary.release();
    assert_eq!(look().await, Outcome::Ready);

    secondary.faults(|faults| {
        faults
            .codes
            .insert(CHALLENGE.to_owned(), ResponseCode::ServFail);
    });
    assert_eq!(
        look().await,
        not_yet(
            "ns2.example.com (127.0.0.2) answered SERVFAIL for _acme-challenge.www.example.com"
        )
    );
    secondary.faults(|faults| {
        faults.codes.clear();
        faults.drop_queries = true;
    });
    let Outcome::NotYet { seen } = look().await else {
        panic!("a silent server was passed over");
    };
    assert_eq!(
        seen,
        "ns2.example.com (127.0.0.2) asked for _acme-challenge.www.example.com: no answer within 3 s"
    );

    // The value of an earlier challenge.
    secondary.faults(|faults| faults.drop_queries = false);
    primary
        .set_record(CHALLENGE, &Data::Txt("old".to_owned()))
        .unwrap();
    assert_eq!(
        look().await,
        not_yet(
            "ns1.example.com (127.0.0.1) answered with another TXT value for _acme-challenge.www.example.com"
        )
    );
}

#[tokio::test]
async fn recursive_nameservers_are_the_only_ones_asked_when_told_so() {
    let server = server(Vec::new());
    server
        .set_record(CHALLENGE, &Data::Txt("v".to_owned()))
        .unwrap();
    // The zone's NS record points at port 53 of this machine, where nothing answers: not asked.
    let view = View::choose(&of(&server), &[], false, &[]);
    assert_eq!(view, View::Recursive(of(&server)));
    assert_eq!(
        check(&client(), &view, &name(CHALLENGE), "v").await,
        Outcome::Ready
    );

    let stale = server.secondary("127.0.0.1".parse().unwrap(), 0).unwrap();
    server
        .set_record(CHALLENGE, &Data::Txt("w".to_owned()))
        .unwrap();
    let both = View::Recursive(vec![server.addr().into(), stale.addr().into()]);
    assert_eq!(
        check(&client(), &both, &name(CHALLENGE), "w").await,
        Outcome::NotYet {
            seen: format!(
                "{} answered with another TXT value for _acme-challenge.www.example.com",
                stale.addr()
            )
        }
    );
}
