//! Is the zone of a name found, and where its aliases lead?

use certwright::solver::dns01::{
    CnameStrategy, locate,
    propagation::{Outcome, View, check},
};
use testbed::dns::{Data, Options, Server, Zone};

use super::{CHALLENGE, ZONE, client, name, of};

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
