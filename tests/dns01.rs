//! DNS-01 against a real DNS server: updates with every kind of key, and what the world sees of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{net::IpAddr, time::Duration};

use axum::{
    body::Bytes,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
    },
};
use certwright::{
    net::dns::{
        Client, Error as LookupError, Name, Nameserver, Question, RecordType, Timing, Transport,
        exchange,
    },
    solver::dns01::{
        Class, CnameStrategy, Error, Provider, Record,
        config::{Rfc2136Config, Rfc2136Settings},
        locate,
        propagation::{Outcome, View, check},
        rfc2136::Rfc2136,
    },
};
use jiff::Timestamp;
use testbed::dns::{Algorithm, Change, Data, Garbage, Key, Options, ResponseCode, Server, Zone};

const ZONE: &str = "example.com.";
const CHALLENGE: &str = "_acme-challenge.www.example.com.";
/// "a secret that both sides know" in base64.
const SECRET: &str = "YSBzZWNyZXQgdGhhdCBib3RoIHNpZGVzIGtub3c=";
const SECRET_BYTES: &[u8] = b"a secret that both sides know";

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

#[expect(
    clippy::disallowed_methods,
    reason = "the server compares with the real time"
)]
fn now() -> Timestamp {
    Timestamp::now()
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn of(server: &Server) -> Vec<Nameserver> {
    vec![server.addr().into()]
}

fn record(value: &str) -> Record {
    Record {
        fqdn: name(CHALLENGE),
        zone: name(ZONE),
        value: value.to_owned(),
        ttl: 60,
    }
}

fn key(algorithm: Algorithm) -> Key {
    Key {
        name: "certwright.example.".to_owned(),
        algorithm,
        secret: SECRET_BYTES.to_vec(),
    }
}

fn server(keys: Vec<Key>) -> Server {
    Server::start(Options {
        zones: vec![Zone::new(ZONE)],
        keys,
        ..Options::default()
    })
    .unwrap()
}

/// What the user writes, the server being `server`.
fn settings(nameserver: &str) -> Rfc2136Settings<'_> {
    Rfc2136Settings {
        nameserver,
        protocol: None,
        tsig_key_name: Some("certwright.example"),
        tsig_algorithm: Some("HMACSHA256"),
        tsig_secret: Some(SECRET.as_bytes()),
    }
}

fn provider(settings: &Rfc2136Settings<'_>) -> Rfc2136 {
    Rfc2136::new(Rfc2136Config::parse(settings).unwrap(), client())
}

#[tokio::test]
async fn a_value_is_added_and_removed_with_every_algorithm_over_udp_and_tcp() {
    for (algorithm, text) in [
        (Some(Algorithm::HmacMd5), None),
        (Some(Algorithm::HmacMd5), Some("HMACMD5")),
        (Some(Algorithm::HmacSha1), Some("hmacsha1")),
        (Some(Algorithm::HmacSha256), Some("HMACSHA256")),
        (Some(Algorithm::HmacSha512), Some("HmacSha512")),
        (None, None),
    ] {
        for protocol in ["UDP", "tcp"] {
            let server = server(algorithm.map(key).into_iter().collect());
            let address = server.addr().to_string();
            let mut settings = Rfc2136Settings {
                protocol: Some(protocol),
                tsig_algorithm: text,
                ..settings(&address)
            };
            if algorithm.is_none() {
                (settings.tsig_key_name, settings.tsig_secret) = (None, None);
            }
            let provider = provider(&settings);

            provider.present(&record("v1"), now()).await.unwrap();
            assert_eq!(server.records(CHALLENGE, RecordType::TXT), ["v1"]);
            provider.clean_up(&record("v1"), now()).await.unwrap();
            assert!(server.records(CHALLENGE, RecordType::TXT).is_empty());

            let updates = server.updates();
            assert_eq!(updates.len(), 2);
            assert!(
                updates
                    .iter()
                    .all(|update| update.tcp == (protocol == "tcp"))
            );
            assert!(
                updates
                    .iter()
                    .all(|update| update.key.is_some() == algorithm.is_some())
            );
            let Change::Add { ttl, .. } = updates[0].changes[0] else {
                panic!("{:?}", updates[0]);
            };
            assert_eq!(ttl, 60);
        }
    }
}

#[tokio::test]
async fn apex_and_wildcard_stand_together_and_each_removes_only_its_own() {
    let server = server(vec![key(Algorithm::HmacSha256)]);
    server
        .set_record(CHALLENGE, &Data::Txt("somebody else's".to_owned()))
        .unwrap();
    let address = server.addr().to_string();
    let provider = provider(&settings(&address));

    provider.present(&record("apex"), now()).await.unwrap();
    provider.present(&record("wildcard"), now()).await.unwrap();
    provider.present(&record("wildcard"), now()).await.unwrap();
    assert_eq!(
        server.records(CHALLENGE, RecordType::TXT),
        ["apex", "somebody else's", "wildcard"]
    );
    provider.clean_up(&record("apex"), now()).await.unwrap();
    provider.clean_up(&record("apex"), now()).await.unwrap();
    assert_eq!(
        server.records(CHALLENGE, RecordType::TXT),
        ["somebody else's", "wildcard"]
    );
}

#[tokio::test]
async fn a_refused_update_says_who_refused_what_and_what_to_check() {
    let server = server(vec![key(Algorithm::HmacSha256)]);
    let address = server.addr().to_string();
    let at = format!("RFC 2136 update of example.com. at {address}: server answered ");
    let other = "b3RoZXI=".as_bytes();

    let wrong_secret = Rfc2136Settings {
        tsig_secret: Some(other),
        ..settings(&address)
    };
    let wrong_name = Rfc2136Settings {
        tsig_key_name: Some("stranger"),
        ..settings(&address)
    };
    let wrong_algorithm = Rfc2136Settings {
        tsig_algorithm: None,
        ..settings(&address)
    };
    let no_key = Rfc2136Settings {
        tsig_key_name: None,
        tsig_secret: None,
        ..settings(&address)
    };
    for (settings, text) in [
        (
            wrong_secret,
            "NOTAUTH (TSIG BADSIG): check tsigSecretSecretRef",
        ),
        (wrong_name, "NOTAUTH (TSIG BADKEY): check tsigKeyName"),
        (
            wrong_algorithm,
            "NOTAUTH (TSIG BADKEY): check tsigKeyName, tsigAlgorithm",
        ),
        (
            no_key,
            "REFUSED: check that the server takes unsigned updates from here",
        ),
    ] {
        let error = provider(&settings)
            .present(&record("v"), now())
            .await
            .unwrap_err();
        assert!(
            error.to_string().starts_with(&format!("{at}{text}")),
            "{error}"
        );
        assert_eq!(error.class(), Class::Misconfigured, "{error}");
    }

    let provider = provider(&settings(&address));
    let elsewhere = Record {
        fqdn: name("_acme-challenge.example.org."),
        zone: name("example.org."),
        ..record("v")
    };
    let error = provider.present(&elsewhere, now()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "RFC 2136 update of example.org. at {address}: server answered NOTAUTH: \
             the server is not a primary of this zone: check nameserver"
        )
    );
    for (code, class) in [
        (ResponseCode::ServFail, Class::Transient),
        (ResponseCode::Refused, Class::Misconfigured),
        (ResponseCode::NotImp, Class::Misconfigured),
    ] {
        server.faults(|faults| faults.refuse_updates = Some(code));
        let error = provider.present(&record("v"), now()).await.unwrap_err();
        assert_eq!(error.class(), class, "{error}");
    }
    assert!(server.records(CHALLENGE, RecordType::TXT).is_empty());
}

#[tokio::test]
async fn clocks_that_differ_are_reported_with_the_difference() {
    let server = server(vec![key(Algorithm::HmacMd5)]);
    server.faults(|faults| faults.clock_ahead = 3600);
    let address = server.addr().to_string();
    let provider = provider(&Rfc2136Settings {
        tsig_algorithm: None,
        ..settings(&address)
    });
    let error = provider.present(&record("v"), now()).await.unwrap_err();
    assert_eq!(error.class(), Class::Transient);
    let text = error.to_string();
    assert!(
        text.contains("NOTAUTH (TSIG BADTIME): its clock is 36")
            && text.ends_with(" s ahead of ours"),
        "{text}"
    );
}

#[tokio::test]
async fn an_answer_that_is_not_signed_as_it_should_be_is_not_believed() {
    let server = server(vec![key(Algorithm::HmacSha1)]);
    let address = server.addr().to_string();
    let provider = provider(&Rfc2136Settings {
        tsig_algorithm: Some("HMACSHA1"),
        ..settings(&address)
    });
    server.faults(|faults| faults.unsigned_answers = true);
    let error = provider.present(&record("v"), now()).await.unwrap_err();
    assert!(matches!(error, Error::Untrusted { .. }), "{error}");
    assert!(
        error
            .to_string()
            .ends_with("cannot be trusted: it is not signed"),
        "{error}"
    );

    server.faults(|faults| {
        faults.unsigned_answers = false;
        faults.bad_signatures = true;
    });
    let error = provider.present(&record("v"), now()).await.unwrap_err();
    assert!(
        error.to_string().ends_with("its signature does not hold"),
        "{error}"
    );
}

#[tokio::test]
async fn a_silent_or_absent_server_is_a_transient_error_that_names_it() {
    let server = server(Vec::new());
    let address = server.addr().to_string();
    let unsigned = |nameserver, protocol| Rfc2136Settings {
        protocol: Some(protocol),
        tsig_key_name: None,
        tsig_secret: None,
        ..settings(nameserver)
    };
    server.faults(|faults| faults.drop_updates = true);
    let error = provider(&unsigned(&address, "UDP"))
        .present(&record("v"), now())
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Transient);
    assert!(
        error
            .to_string()
            .contains(&format!("at {address}: {address}: no answer within")),
        "{error}"
    );

    drop(server);
    for protocol in ["UDP", "TCP"] {
        let error = provider(&unsigned(&address, protocol))
            .present(&record("v"), now())
            .await
            .unwrap_err();
        assert_eq!(error.class(), Class::Transient);
        assert!(error.to_string().contains("refused"), "{error}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_made_up_for_by_sending_again() {
    let server = server(vec![key(Algorithm::HmacSha512)]);
    let address = server.addr().to_string();
    let provider = provider(&Rfc2136Settings {
        tsig_algorithm: Some("HMACSHA512"),
        ..settings(&address)
    });
    server.faults(|faults| faults.drop_update_answers = true);
    let value = record("v");
    let present = provider.present(&value, now());
    let heal = async {
        while server.updates().is_empty() {
            tokio::task::yield_now().await;
        }
        server.faults(|faults| faults.drop_update_answers = false);
    };
    let (presented, ()) = tokio::join!(present, heal);
    presented.unwrap();
    assert_eq!(server.records(CHALLENGE, RecordType::TXT), ["v"]);
    assert!(server.updates().len() > 1);
}

#[tokio::test]
async fn a_nameserver_is_found_by_its_host_name() {
    let server = server(Vec::new());
    let host = format!("localhost:{}", server.addr().port());
    let provider = provider(&Rfc2136Settings {
        tsig_key_name: None,
        tsig_secret: None,
        ..settings(&host)
    });
    provider.present(&record("v"), now()).await.unwrap();
    assert_eq!(server.records(CHALLENGE, RecordType::TXT), ["v"]);
}

#[tokio::test]
async fn zones_are_found_upwards_past_aliases_and_over_cuts() {
    let server = Server::start(Options {
        zones: vec![
            Zone::new(ZONE)
                .record(
                    "alias.example.com.",
                    Data::Cname("www.example.org.".to_owned()),
                )
                .record("x.deep.example.com.", Data::Txt("x".to_owned()))
                .record(
                    "other.example.com.",
                    Data::Ns("ns.other.example.com.".to_owned()),
                ),
            Zone::new("sub.example.com."),
            Zone::new("example.org."),
        ],
        ..Options::default()
    })
    .unwrap();
    for (at, zone) in [
        ("example.com.", ZONE),
        ("WWW.example.com.", ZONE),
        (CHALLENGE, ZONE),
        ("x.deep.example.com.", ZONE),
        ("_acme-challenge.sub.example.com.", "sub.example.com."),
        // An alias to another zone stays in its own.
        ("alias.example.com.", ZONE),
        // Delegated to servers that this one does not ask.
        (
            "_acme-challenge.www.other.example.com.",
            "other.example.com.",
        ),
    ] {
        let found = client().find_zone(&of(&server), &name(at)).await.unwrap();
        assert_eq!(found.to_ascii(), zone, "{at}");
    }
    let error = client()
        .find_zone(&of(&server), &name("www.example.net."))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "no answer for SOA of www.example.net.: {} answered REFUSED",
            server.addr()
        )
    );
}

#[tokio::test]
async fn aliases_are_followed_and_loops_found() {
    let server = Server::start(Options {
        zones: vec![
            Zone::new(ZONE)
                .record(CHALLENGE, Data::Cname("one.example.org.".to_owned()))
                .record("a.example.com.", Data::Cname("b.example.com.".to_owned()))
                .record("b.example.com.", Data::Cname("a.example.com.".to_owned())),
            Zone::new("example.org.").record(
                "one.example.org.",
                Data::Cname("two.example.org.".to_owned()),
            ),
        ],
        ..Options::default()
    })
    .unwrap();
    let follow =
        async |strategy| locate(&client(), &of(&server), "*.www.example.com", "v", strategy).await;

    let followed = follow(CnameStrategy::Follow).await.unwrap();
    assert_eq!(followed.fqdn.to_ascii(), "two.example.org.");
    assert_eq!(followed.zone.to_ascii(), "example.org.");
    let kept = follow(CnameStrategy::None).await.unwrap();
    assert_eq!(kept.fqdn.to_ascii(), CHALLENGE);
    assert_eq!(kept.zone.to_ascii(), ZONE);

    // The check follows whatever the strategy is.
    server
        .set_record("two.example.org.", &Data::Txt("v".to_owned()))
        .unwrap();
    let view = View::Recursive(of(&server));
    assert_eq!(
        check(&client(), &view, &name(CHALLENGE), "v").await,
        Outcome::Ready
    );

    let error = client()
        .follow_cname(&of(&server), &name("a.example.com."))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "CNAME records loop: a.example.com -> b.example.com -> a.example.com"
    );
    let seen = check(&client(), &view, &name("a.example.com."), "v").await;
    assert!(
        matches!(&seen, Outcome::NotYet { seen } if seen.contains("loop")),
        "{seen:?}"
    );
}

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

fn ask(name_of: &str, kind: RecordType) -> Question {
    Question {
        name: name(name_of),
        kind,
        recursion: true,
    }
}

#[tokio::test]
async fn tcp_is_used_when_udp_is_truncated_or_silent() {
    let server = server(Vec::new());
    let long = "x".repeat(4000);
    server
        .set_record(CHALLENGE, &Data::Txt(long.clone()))
        .unwrap();
    let question = ask(CHALLENGE, RecordType::TXT);
    let look = async || {
        let answer = client()
            .ask(&server.addr().into(), &question)
            .await
            .unwrap();
        answer.texts()
    };
    // Longer than fits into a datagram.
    assert_eq!(look().await, [long.as_bytes()]);
    server
        .set_record(CHALLENGE, &Data::Txt("v".to_owned()))
        .unwrap();
    server.faults(|faults| faults.truncate_udp = true);
    assert_eq!(look().await, [b"v"]);
    server.faults(|faults| faults.drop_udp = true);
    assert_eq!(look().await, [b"v"]);
}

#[tokio::test]
async fn garbage_is_an_error_and_nothing_else() {
    let server = server(Vec::new());
    for garbage in [
        Garbage::Noise,
        Garbage::Cut,
        Garbage::WrongId,
        Garbage::WrongQuestion,
        Garbage::Echo,
        Garbage::Short,
    ] {
        server.faults(|faults| faults.garbage = Some(garbage));
        let error = client()
            .ask(&server.addr().into(), &ask("example.com.", RecordType::SOA))
            .await
            .unwrap_err();
        assert!(
            matches!(error, LookupError::Exchange { .. }),
            "{garbage:?}: {error}"
        );
    }
}

#[tokio::test]
async fn the_next_nameserver_is_asked_when_one_fails() {
    let (broken, good) = (server(Vec::new()), server(Vec::new()));
    broken.faults(|faults| {
        faults.codes.insert(ZONE.to_owned(), ResponseCode::ServFail);
    });
    let servers = [broken.addr().into(), good.addr().into()];
    let zone = client().find_zone(&servers, &name(ZONE)).await.unwrap();
    assert_eq!(zone.to_ascii(), ZONE);
    assert_eq!(good.queries(), 1);
}

/// A DNS-over-HTTPS service in front of `server`, without the TLS: reqwest's part is not tried here.
async fn over_http(server: &Server) -> Nameserver {
    let upstream = server.addr();
    let relay = move |headers: HeaderMap, body: Bytes| async move {
        let wanted = Some("application/dns-message");
        let is = |name| headers.get(name).and_then(|value| value.to_str().ok()) == wanted;
        if !is(CONTENT_TYPE) || !is(ACCEPT) {
            return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        exchange(upstream, Transport::Tcp, &body, &timing())
            .await
            .map_err(|_| StatusCode::BAD_GATEWAY)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/dns-query", listener.local_addr().unwrap());
    let app = axum::Router::new()
        .route("/dns-query", axum::routing::post(relay))
        .route("/huge", axum::routing::post(async || vec![0; 70_000]));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Nameserver::Https(url.parse().unwrap())
}

#[tokio::test]
async fn questions_are_also_asked_over_https() {
    let server = server(Vec::new());
    server
        .set_record(CHALLENGE, &Data::Txt("v".to_owned()))
        .unwrap();
    let service = over_http(&server).await;
    let view = View::Recursive(vec![service.clone()]);
    assert_eq!(
        check(&client(), &view, &name(CHALLENGE), "v").await,
        Outcome::Ready
    );
    let zone = client()
        .find_zone(view.nameservers(), &name(CHALLENGE))
        .await
        .unwrap();
    assert_eq!(zone.to_ascii(), ZONE);

    let Nameserver::Https(url) = &service else {
        panic!("{service} is no URL");
    };
    for (path, want) in [
        ("/nowhere", "answered 404 Not Found"),
        (
            "/huge",
            "answered with something else than a DNS answer (longer than 65535 bytes)",
        ),
    ] {
        let other = Nameserver::Https(url.join(path).unwrap());
        let error = client()
            .ask(&other, &ask(ZONE, RecordType::SOA))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), format!("{other}: {want}"));
    }
    drop(server);
    let error = client()
        .ask(&service, &ask(ZONE, RecordType::SOA))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{service}: answered 502 Bad Gateway")
    );
}
