//! Are values added and removed with every kind of key, and is it said what stands in the way?

use certwright::{
    net::dns::RecordType,
    solver::dns01::{
        Class, Error, Provider, Record,
        config::{Rfc2136Config, Rfc2136Settings},
        rfc2136::Rfc2136,
    },
};
use jiff::Timestamp;
use testbed::dns::{Algorithm, Change, Data, Key, ResponseCode};

use super::{CHALLENGE, ZONE, client, name, server};

/// "a secret that both sides know" in base64.
const SECRET: &str = "YSBzZWNyZXQgdGhhdCBib3RoIHNpZGVzIGtub3c=";
const SECRET_BYTES: &[u8] = b"a secret that both sides know";

#[expect(
    clippy::disallowed_methods,
    reason = "the server compares with the real time"
)]
fn now() -> Timestamp {
    Timestamp::now()
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
