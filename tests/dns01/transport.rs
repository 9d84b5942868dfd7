//! Is an answer had over UDP, TCP and HTTPS, whatever a server makes of the question?

use axum::{
    body::Bytes,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
    },
};
use certwright::{
    net::dns::{Error as LookupError, Nameserver, Question, RecordType, Transport, exchange},
    solver::dns01::propagation::{Outcome, View, check},
};
use testbed::dns::{Data, Garbage, ResponseCode, Server};

use super::{CHALLENGE, ZONE, client, name, server, timing};

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
