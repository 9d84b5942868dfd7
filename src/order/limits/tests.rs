//! Are the limits kept, and no tighter than they are?

use instant_acme::Identifier;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-01-01T00:00:00Z")
}

fn names(names: &[&str]) -> Names {
    let identifiers: Vec<Identifier> = names
        .iter()
        .map(|name| match name.parse() {
            Ok(address) => Identifier::Ip(address),
            Err(_) => Identifier::Dns((*name).to_owned()),
        })
        .collect();
    Names::of(&identifiers)
}

fn limits(text: &str) -> Limits {
    text.parse().unwrap()
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

#[test]
fn names_are_counted_by_registered_domain_and_network() {
    let table: [(&[&str], &[&str]); 6] = [
        (
            &["www.example.com", "*.a.example.com", "EXAMPLE.com"],
            &["example.com"],
        ),
        (
            &["a.example.co.uk", "b.other.co.uk"],
            &["example.co.uk", "other.co.uk"],
        ),
        (
            &["a.github.io", "b.github.io"],
            &["a.github.io", "b.github.io"],
        ),
        (&["192.0.2.1", "192.0.2.2"], &["192.0.2.1", "192.0.2.2"]),
        (&["2001:db8::1", "2001:db8::2"], &["2001:db8:0:0::/64"]),
        (&["localhost"], &["localhost"]),
    ];
    for (given, want) in table {
        let found: Vec<String> = names(given).domains.into_iter().collect();
        assert_eq!(found, want, "{given:?}");
    }
    assert_eq!(
        names(&["a.b", "c.d"]).set,
        names(&["C.D", "a.b", "a.b"]).set
    );
    assert_ne!(names(&["a.b", "c.d"]).set, names(&["a.b"]).set);
    assert_ne!(names(&["a.b"]).set, names(&["*.a.b"]).set);
}

#[test]
fn settings() {
    let production = "https://acme-v02.api.letsencrypt.org/directory";
    let staging = "https://acme-staging-v02.api.letsencrypt.org/directory";
    let published = Limits::of(production, None).unwrap();
    assert_eq!(
        published,
        limits("orders=300/3h,domain=50/168h,same-names=5/168h,failures=5/1h")
    );
    assert_eq!(published.of_failures(), limits("failures=5/1h"));
    assert_eq!(Limits::of(staging, None).unwrap().domain, None);
    for other in [
        "https://ca.example/acme-v02.api.letsencrypt.org",
        "http://acme-v02.api.letsencrypt.org/directory",
    ] {
        assert!(Limits::of(other, None).unwrap().is_empty(), "{other}");
    }
    assert!(Limits::of(production, Some(" none ")).unwrap().is_empty());
    let own = Limits::of(production, Some("orders=2/1h30m")).unwrap();
    assert_eq!(own.orders.unwrap().period, SignedDuration::from_mins(90));
    assert_eq!(own.domain, None);
    for wrong in [
        "",
        "300/3h",
        "orders",
        "orders=",
        "orders=3",
        "orders=0/1h",
        "orders=-1/1h",
        "orders=1/0s",
        "orders=1/day",
        "orders=1/1h,orders=2/1h",
        "order=1/1h",
    ] {
        let error = Limits::of(production, Some(wrong)).unwrap_err().to_string();
        assert!(
            error.contains("certwright.io/rate-limits"),
            "{wrong}: {error}"
        );
    }
}

#[test]
fn a_name_whose_validation_fails_holds_up_all_orders_for_it() {
    let limits = limits("failures=5/1h");
    let minutes = SignedDuration::from_mins;
    let mut account = Account::default();
    let (both, one) = (
        names(&["a.example", "*.B.example"]),
        names(&["c.example", "b.example"]),
    );
    let failed = BTreeSet::from(["*.b.example".to_owned()]);
    for uid in ["1", "2", "3", "4", "5"] {
        assert_eq!(account.admit(&limits, uid, &both, now()), Ok(()));
        account.placed(&limits, uid, &both, now());
        account.failed(&limits, &both);
        account.not_validated(&limits, &failed, now());
        account.ended(uid);
    }
    // Of whatever Certificate, they come one by one.
    let full = account.admit(&limits, "6", &one, now()).unwrap_err();
    assert_eq!(full.what, What::Failures("b.example".into()));
    assert_eq!(full.at, now() + minutes(12));
    let message = "the CA's limit of 5 per 1 h for failed validations of b.example is reached; \
                   next order allowed at 2026-01-01T00:12:00Z";
    assert_eq!(full.message(&limits), message);
    let next = account.admit(&limits, "7", &both, now()).unwrap_err();
    assert_eq!(next.at, now() + minutes(24));
    // What does not fail costs nothing, and other names are not held up.
    let other = names(&["a.example", "www.b.example"]);
    assert_eq!(account.admit(&limits, "8", &other, now()), Ok(()));
    assert_eq!(
        account.admit(&limits, "6", &one, now() + minutes(12)),
        Ok(())
    );
    account.placed(&limits, "6", &one, now() + minutes(12));
    assert_eq!(
        account.admit(&limits, "9", &other, now() + minutes(12)),
        Ok(())
    );

    let detail = "too many failed authorizations (5) for \"b.example\" in the last 1h0m0s: see \
                  https://letsencrypt.org/docs/rate-limits/#authorization-failures-per-identifier-per-account";
    assert_eq!(
        What::of_refusal(detail, &both),
        Some(What::Failures("b.example".into()))
    );
    let until = now() + minutes(40);
    account.refused(
        &limits,
        &names(&["d.example"]),
        &What::Failures("d.example".into()),
        until,
    );
    let full = account
        .admit(&limits, "10", &names(&["d.example"]), now())
        .unwrap_err();
    assert_eq!(full.at, until);
    // It is written down.
    let text = serde_json::to_string(account.buckets()).unwrap();
    let mut again = Account::of(serde_json::from_str(&text).unwrap());
    assert_eq!(
        again
            .admit(&limits, "11", &names(&["d.example"]), now())
            .unwrap_err()
            .at,
        until
    );
}

#[test]
fn orders_at_the_same_moment_cannot_all_fail() {
    let limits = limits("failures=3/1h");
    let (minutes, seconds) = (SignedDuration::from_mins, SignedDuration::from_secs);
    let www = names(&["www.example.com", "example.com"]);
    let api = names(&["api.example.com", "example.com"]);
    let begun = || {
        let mut account = Account::default();
        for uid in ["1", "2", "3"] {
            assert_eq!(account.admit(&limits, uid, &www, now()), Ok(()));
            // Asked again before it is placed, as after an error.
            assert_eq!(account.admit(&limits, uid, &www, now()), Ok(()));
            account.placed(&limits, uid, &www, now());
        }
        let full = account.admit(&limits, "4", &api, now()).unwrap_err();
        assert_eq!(full.what, What::UnderWay("example.com".into()));
        assert_eq!(full.at, now() + seconds(10));
        let message = "the CA's limit of 3 per 1 h for failed validations of example.com could be \
                       reached by other orders for it that are under way; waiting for one of them \
                       to end";
        assert_eq!(full.message(&limits), message);
        // It does not stand in the way of others.
        let other = names(&["www.example.org"]);
        assert_eq!(account.admit(&limits, "5", &other, now()), Ok(()));
        account
    };
    let failed = BTreeSet::from(["example.com".to_owned()]);
    let fail = |account: &mut Account, uid: &str, now| {
        account.not_validated(&limits, &failed, now);
        account.ended(uid);
    };
    let later = now() + seconds(10);

    // One ends well, or was not placed: there is room for one.
    let mut account = begun();
    account.ended("2");
    assert_eq!(account.admit(&limits, "4", &api, later), Ok(()));
    account.placed(&limits, "4", &api, later);
    let full = account.admit(&limits, "6", &www, later).unwrap_err();
    assert!(matches!(full.what, What::UnderWay(_)), "{full:?}");

    // One fails: two may yet.
    let mut account = begun();
    fail(&mut account, "2", later);
    let full = account.admit(&limits, "4", &api, later).unwrap_err();
    assert!(matches!(full.what, What::UnderWay(_)), "{full:?}");
    // All fail: it waits as after any failure, and then they go one by one.
    fail(&mut account, "1", later);
    fail(&mut account, "3", later);
    let full = account
        .admit(&limits, "4", &api, later + seconds(10))
        .unwrap_err();
    assert_eq!(full.what, What::Failures("example.com".into()));
    assert_eq!(full.at, later + minutes(20));
    let then = full.at;
    assert_eq!(account.admit(&limits, "4", &api, then), Ok(()));
    account.placed(&limits, "4", &api, then);
    assert!(account.admit(&limits, "6", &www, then).is_err());

    // Who waits for a self-check holds nobody up for ever.
    let mut account = begun();
    let after = now() + minutes(15);
    assert_eq!(account.admit(&limits, "4", &api, after), Ok(()));

    // Where nothing is counted, nobody waits.
    let mut account = Account::default();
    let none = Limits::default();
    for uid in 0..100 {
        assert_eq!(account.admit(&none, &uid.to_string(), &www, now()), Ok(()));
    }
}

#[test]
fn a_turn_that_has_come_is_kept() {
    let limits = limits("orders=1/1h");
    let mut account = Account::default();
    let www = names(&["www.example.com"]);
    account.placed(&limits, "a", &www, now());
    for (uid, turn) in [("b", 1), ("c", 2)] {
        let full = account.admit(&limits, uid, &www, now()).unwrap_err();
        assert_eq!(full.at, now() + hours(turn));
    }
    // Another comes a moment earlier than it.
    let turn = now() + hours(1);
    let next = account.admit(&limits, "d", &www, turn).unwrap_err();
    assert_eq!(next.at, now() + hours(3));
    assert_eq!(account.admit(&limits, "b", &www, turn), Ok(()));
}

#[test]
fn a_bucket_takes_its_size_at_once_and_then_one_by_one() {
    let limits = limits("orders=3/3h");
    let mut account = Account::default();
    let www = names(&["www.example.com"]);
    for uid in ["a", "b", "c"] {
        assert_eq!(account.admit(&limits, uid, &www, now()), Ok(()));
        account.placed(&limits, uid, &www, now());
    }
    let turns: Vec<Timestamp> = ["d", "e", "f"]
        .iter()
        .map(|uid| account.admit(&limits, uid, &www, now()).unwrap_err().at)
        .collect();
    assert_eq!(turns, [1, 2, 3].map(|n| now() + hours(n)));
    // Asked again, the turn stands; when it has come, it is taken.
    let again = account.admit(&limits, "e", &www, now() + hours(1));
    assert_eq!(again.unwrap_err().at, now() + hours(2));
    assert_eq!(account.admit(&limits, "d", &www, now() + hours(1)), Ok(()));
    account.placed(&limits, "d", &www, now() + hours(1));
    assert_eq!(account.next_turn(now() + hours(1)), Some(now() + hours(2)));
    // Who comes now comes last.
    let last = account.admit(&limits, "g", &www, now() + hours(1));
    assert_eq!(last.unwrap_err().at, now() + hours(4));
    // After a while all of it is there again.
    let later = now() + hours(24);
    let mut account = Account::of(account.buckets().clone());
    for uid in ["h", "i", "j"] {
        assert_eq!(account.admit(&limits, uid, &www, later), Ok(()));
        account.placed(&limits, uid, &www, later);
    }
    assert!(account.admit(&limits, "k", &www, later).is_err());
}

#[test]
fn the_longest_wait_counts_and_others_are_not_held_up() {
    let limits = limits("domain=1/24h,same-names=1/168h");
    let mut account = Account::default();
    let www = names(&["www.example.com"]);
    account.placed(&limits, "a", &www, now());
    let full = account.admit(&limits, "b", &www, now()).unwrap_err();
    assert_eq!((full.what, full.at), (What::SameNames, now() + hours(168)));
    let other = names(&["api.example.com", "www.example.net"]);
    let full = account.admit(&limits, "c", &other, now()).unwrap_err();
    assert_eq!(full.what, What::Domain("example.com".to_owned()));
    let elsewhere = names(&["www.example.org"]);
    assert_eq!(account.admit(&limits, "d", &elsewhere, now()), Ok(()));
}

#[test]
fn what_failed_does_not_count_as_a_certificate() {
    let limits = limits("orders=2/3h,domain=1/24h,same-names=1/168h");
    let mut account = Account::default();
    let www = names(&["www.example.com"]);
    account.placed(&limits, "a", &www, now());
    account.failed(&limits, &www);
    assert_eq!(account.admit(&limits, "b", &www, now()), Ok(()));
    account.placed(&limits, "b", &www, now());
    // But as an order.
    let other = names(&["www.example.org"]);
    let full = account.admit(&limits, "c", &other, now()).unwrap_err();
    assert_eq!(full.what, What::Orders);
}

#[test]
fn the_ca_knows_better() {
    let limits = limits("orders=300/3h,domain=50/168h,same-names=5/168h");
    let www = names(&["www.example.com", "www.example.net"]);
    let link =
        |section: &str| format!("retry later: see https://ca.example/rate-limits/#{section}");
    let domain = format!(
        "too many certificates (50) already issued for \"example.net\", {}",
        link("new-certificates-per-registered-domain")
    );
    let table = [
        (link("new-orders-per-account"), Some(What::Orders)),
        (domain, Some(What::Domain("example.net".into()))),
        (
            link("new-certificates-per-exact-set-of-identifiers"),
            Some(What::SameNames),
        ),
        (link("new-certificates-per-registered-domain"), None),
        ("slow down".to_owned(), None),
    ];
    let until = now() + hours(30);
    for (detail, want) in table {
        assert_eq!(What::of_refusal(&detail, &www), want, "{detail}");
        let Some(what) = want else { continue };
        let mut account = Account::default();
        account.refused(&limits, &www, &what, until);
        let full = account.admit(&limits, "a", &www, now()).unwrap_err();
        assert_eq!((&full.what, full.at), (&what, until));
        assert_eq!(
            account.admit(&limits, "b", &www, until + hours(24 * 7)),
            Ok(())
        );
    }
}

#[test]
fn people_are_told_what_is_used_up() {
    let limits = limits("orders=2/1h30m,domain=50/168h,same-names=5/168h");
    for (what, want) in [
        (What::Orders, "2 per 1h 30m for orders of this account"),
        (
            What::Domain("example.com".into()),
            "50 per 168 h for certificates of example.com",
        ),
        (
            What::SameNames,
            "5 per 168 h for certificates with exactly these names",
        ),
    ] {
        let message = Full { what, at: now() }.message(&limits);
        let want = format!(
            "the CA's limit of {want} is reached; next order allowed at 2026-01-01T00:00:00Z"
        );
        assert_eq!(message, want);
    }
}

#[test]
fn what_is_stored_is_read_again_and_stays_small() {
    let limits = limits("orders=300/3h,domain=50/168h,same-names=5/168h");
    let mut account = Account::default();
    account.placed(&limits, "a", &names(&["www.example.com"]), now());
    let text = serde_json::to_string(account.buckets()).unwrap();
    assert_eq!(
        &serde_json::from_str::<Buckets>(&text).unwrap(),
        account.buckets()
    );
    assert!(serde_json::from_str::<Buckets>("{\"order\": 1}").is_err());
    assert_eq!(
        serde_json::from_str::<Buckets>("{}").unwrap(),
        Buckets::default()
    );

    let mut buckets = Buckets::default();
    for n in 0..MOST_BUCKETS + 100 {
        let filled = now() + SignedDuration::from_secs(1 + n as i64);
        buckets.domains.insert(format!("{n}.example"), filled);
    }
    buckets.tidy(now());
    assert_eq!(buckets.domains.len(), MOST_BUCKETS);
    assert!(!buckets.domains.contains_key("0.example"));
    buckets.tidy(now() + hours(24 * 365));
    assert_eq!(buckets, Buckets::default());
}
