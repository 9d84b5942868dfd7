//! Is it seen what a DNS server says of a name, and that it says something else?

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use certwright::{
    answers::{
        history::{Aspect, History, Observation, Seen},
        look::{Looker, Nameservers},
        question::{Question, Way},
    },
    net::dns::Client,
};
use testbed::dns::{Data, Options, RecordType, ResponseCode, Server, Zone};

const HOST: &str = "www.example.com";
const RECORD: &str = "_acme-challenge.www.example.com";

fn server() -> Server {
    Server::start(Options {
        zones: vec![Zone::new("example.com."), Zone::new("example.net.")],
        ..Options::default()
    })
    .unwrap()
}

fn looker(server: &Server) -> Looker {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let all = vec![server.addr().into()];
    Looker::new(
        Client::new(http),
        Nameservers {
            http01: Vec::new(),
            dns01: Vec::new(),
            system: all,
        },
    )
}

async fn look(looker: &Looker, way: &Way) -> Observation {
    let question = Question {
        name: HOST.to_owned(),
        way: way.clone(),
    };
    let mut seen = looker.look(BTreeSet::from([question.clone()])).await;
    assert_eq!(seen.len(), 1);
    let (asked, observation) = seen.remove(0);
    assert_eq!(asked, question);
    observation
}

fn answer(texts: &[&str]) -> Seen {
    Seen::Answer(texts.iter().map(|&text| text.to_owned()).collect())
}

fn address(text: &str) -> Data {
    Data::Address(text.parse::<IpAddr>().unwrap())
}

#[tokio::test]
async fn addresses_and_policies_are_seen_as_they_change() {
    let server = server();
    let looker = looker(&server);
    let first = look(&looker, &Way::Http01).await;
    let want = |v4: &[&str], v6: &[&str], caa: &[&str]| {
        BTreeMap::from([
            (Aspect::Ipv4, answer(v4)),
            (Aspect::Ipv6, answer(v6)),
            (Aspect::Caa, answer(caa)),
        ])
    };
    assert_eq!(first, want(&[], &[], &[]));
    let mut history = History::of(&first);

    server.set_record(HOST, &address("192.0.2.1")).unwrap();
    let second = look(&looker, &Way::Http01).await;
    assert_eq!(second, want(&["192.0.2.1"], &[], &[]));
    assert!(history.note(&second));

    // Behind an alias.
    server.remove_record(HOST, RecordType::A).unwrap();
    let elsewhere = "lb.example.net";
    server
        .set_record(HOST, &Data::Cname(elsewhere.into()))
        .unwrap();
    server.set_record(elsewhere, &address("192.0.2.2")).unwrap();
    server
        .set_record(elsewhere, &address("2001:db8::2"))
        .unwrap();
    let third = look(&looker, &Way::Http01).await;
    assert_eq!(third, want(&["192.0.2.2"], &["2001:db8::2"], &[]));
    assert!(history.note(&third));
    assert!(!history.note(&third));

    // The policy of the name above.
    let policy = Data::Caa("ca.example".into());
    server.set_record("example.com", &policy).unwrap();
    let fourth = look(&looker, &Way::Http01).await;
    let caa = "0 issue \"ca.example\"";
    assert_eq!(fourth, want(&["192.0.2.2"], &["2001:db8::2"], &[caa]));
    assert!(history.note(&fourth));

    server.faults(|faults| {
        let name = format!("{HOST}.");
        faults.codes.insert(name, ResponseCode::ServFail);
    });
    let fifth = look(&looker, &Way::Http01).await;
    assert!(fifth.values().all(|seen| *seen == Seen::Failed));
    assert!(!history.note(&fifth));
    // What it says after an error is new only where it never said it before.
    assert!(History::of(&fifth).note(&fourth));
    assert!(!history.note(&fourth));
}

#[tokio::test]
async fn the_way_of_a_record_is_seen_as_it_changes() {
    let server = server();
    let looker = looker(&server);
    let way = Way::Dns01 {
        nameservers: vec![server.addr().to_string()],
    };
    let want = |alias: &str, servers: &str| {
        BTreeMap::from([
            (Aspect::Alias, answer(&[alias])),
            (Aspect::Servers, answer(&[servers])),
            (Aspect::Caa, answer(&[])),
        ])
    };
    let first = look(&looker, &way).await;
    assert_eq!(first, want(RECORD, "example.com by ns1.example.com"));
    let mut history = History::of(&first);
    // Values of others come and go.
    let value = Data::Txt("somebody else's".into());
    server.set_record(RECORD, &value).unwrap();
    assert!(!history.note(&look(&looker, &way).await));
    server.remove_record(RECORD, RecordType::TXT).unwrap();

    let target = "www.example.net";
    server
        .set_record(RECORD, &Data::Cname(target.into()))
        .unwrap();
    let second = look(&looker, &way).await;
    assert_eq!(second, want(target, "example.net by ns1.example.net"));
    assert!(history.note(&second));
    server
        .set_record("example.net", &Data::Ns("ns2.example.net".into()))
        .unwrap();
    let third = look(&looker, &way).await;
    assert_eq!(third, want(target, "example.net by ns2.example.net"));
    assert!(history.note(&third));

    // Nameservers that do not answer.
    let nobody = Way::Dns01 {
        nameservers: vec!["127.0.0.1:1".to_owned()],
    };
    let silent = look(&looker, &nobody).await;
    assert!(silent.values().all(|seen| *seen == Seen::Failed));
}

#[tokio::test]
async fn what_is_no_name_is_not_asked_for() {
    let server = server();
    let question = Question {
        name: "a..b".to_owned(),
        way: Way::Http01,
    };
    let seen = looker(&server).look(BTreeSet::from([question])).await;
    assert!(seen[0].1.values().all(|seen| *seen == Seen::Failed));
    assert_eq!(server.queries(), 0);
}
