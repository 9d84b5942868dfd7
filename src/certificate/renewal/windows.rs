//! Do renewal windows open when those of cert-manager v1.21 do? Its own code gave the wanted times.

use std::time::Duration;

use super::*;
use crate::api::certificate::Renewal;

const DAY: Duration = Duration::from_secs(86_400);

/// The time of renewal of a certificate of 90 days that is due at `due`, in a window.
fn renewed(cron: &str, zone: &str, duration: &str, due: &str) -> RenewalTime {
    let due: Timestamp = due.parse().unwrap();
    let window = RenewalWindow {
        cron: cron.into(),
        timezone: Some(zone.to_owned()).filter(|zone| !zone.is_empty()),
        window_duration: duration.into(),
    };
    let spec = CertificateSpec {
        renewal: Some(Renewal {
            policy: Some(RenewalPolicy::RenewBefore),
            windows: Some(vec![window]),
        }),
        ..CertificateSpec::default()
    };
    renewal_time(&spec, None, due - 60 * DAY, due + 30 * DAY)
}

#[test]
fn windows_open_when_those_of_cert_manager_do() {
    let berlin = "Europe/Berlin";
    // (cron, time zone, duration, when it is due, when it is renewed)
    let table = [
        // Leap days.
        (
            "0 3 29 2 *",
            "",
            "2h",
            "2028-02-20T00:00:00Z",
            "2028-02-29T03:00:00Z",
        ),
        // The hour from two to three is left out: a window that opens in it opens the next day.
        (
            "30 2 * * *",
            berlin,
            "1h",
            "2026-03-29T00:45:00Z",
            "2026-03-30T00:30:00Z",
        ),
        (
            "30 2 * * *",
            berlin,
            "1h",
            "2026-03-29T01:10:00Z",
            "2026-03-30T00:30:00Z",
        ),
        (
            "0 * * * *",
            berlin,
            "10m",
            "2026-03-29T00:45:00Z",
            "2026-03-29T01:00:00Z",
        ),
        (
            "0 3 * * *",
            berlin,
            "1h",
            "2026-03-29T00:45:00Z",
            "2026-03-29T01:00:00Z",
        ),
        (
            "@daily",
            "America/Havana",
            "1h",
            "2026-03-08T04:00:00Z",
            "2026-03-09T04:00:00Z",
        ),
        // It comes twice: a window opens both times.
        (
            "30 2 * * *",
            berlin,
            "30m",
            "2026-10-25T00:10:00Z",
            "2026-10-25T00:30:00Z",
        ),
        (
            "30 2 * * *",
            berlin,
            "30m",
            "2026-10-25T00:40:00Z",
            "2026-10-25T00:40:00Z",
        ),
        (
            "30 2 * * *",
            berlin,
            "30m",
            "2026-10-25T01:10:00Z",
            "2026-10-25T01:30:00Z",
        ),
        (
            "30 2 * * *",
            berlin,
            "30m",
            "2026-10-25T01:40:00Z",
            "2026-10-25T01:40:00Z",
        ),
        (
            "0 * * * *",
            berlin,
            "10m",
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:00:00Z",
        ),
        (
            "0 3 * * *",
            berlin,
            "1h",
            "2026-10-25T00:30:00Z",
            "2026-10-25T02:00:00Z",
        ),
        // Days of the month or of the week, where both are named.
        (
            "0 0 13 * 5",
            "",
            "1h",
            "2026-03-02T00:00:00Z",
            "2026-03-06T00:00:00Z",
        ),
        (
            "0 0 13 * 5",
            "",
            "1h",
            "2026-04-11T00:00:00Z",
            "2026-04-13T00:00:00Z",
        ),
        (
            "0 0 */2 * 5",
            "",
            "1h",
            "2026-04-09T02:00:00Z",
            "2026-04-10T00:00:00Z",
        ),
        (
            "0 0 ? * mon",
            "",
            "1h",
            "2026-03-03T00:00:00Z",
            "2026-03-09T00:00:00Z",
        ),
        (
            "0 0 * * MON-FRI",
            "",
            "1h",
            "2026-03-07T00:00:00Z",
            "2026-03-09T00:00:00Z",
        ),
        (
            "0 0 5/10 * *",
            "",
            "1h",
            "2026-03-07T01:06:00Z",
            "2026-03-15T00:00:00Z",
        ),
        (
            "30,5/20 0 * * mon/2",
            "",
            "1h",
            "2026-03-07T01:06:00Z",
            "2026-03-09T00:05:00Z",
        ),
        (
            "5-59/20 1,3 * jan-dec *",
            "",
            "1m",
            "2026-03-07T01:06:30Z",
            "2026-03-07T01:25:00Z",
        ),
        (
            "0  0 * * * ",
            "",
            "1h",
            "2026-03-07T01:06:00Z",
            "2026-03-08T00:00:00Z",
        ),
        (
            "@midnight",
            "",
            "1h",
            "2026-03-07T01:06:00Z",
            "2026-03-08T00:00:00Z",
        ),
        (
            "@hourly",
            "",
            "1m",
            "2026-03-07T01:06:00Z",
            "2026-03-07T02:00:00Z",
        ),
        (
            "@weekly",
            "",
            "1m",
            "2026-03-07T01:06:00Z",
            "2026-03-08T00:00:00Z",
        ),
        (
            "@monthly",
            "",
            "1m",
            "2026-03-07T01:06:00Z",
            "2026-04-01T00:00:00Z",
        ),
        // A delay has no clock to count from: once it has passed, a window is always open.
        (
            "@every 1h",
            berlin,
            "1h",
            "2026-03-07T01:06:00Z",
            "2026-03-07T01:06:00Z",
        ),
        (
            "@every 1h",
            berlin,
            "1s",
            "2026-03-07T01:06:00Z",
            "2026-03-07T01:06:00Z",
        ),
        (
            "@every 1h",
            berlin,
            "500ms",
            "2026-03-07T01:06:00Z",
            "2026-03-07T02:05:59Z",
        ),
        (
            "@every 1s",
            "",
            "500ms",
            "2026-03-07T01:06:00Z",
            "2026-03-07T01:06:00Z",
        ),
        (
            "@every 1441h0m1s",
            "",
            "1h",
            "2026-03-07T01:06:00Z",
            "2026-03-07T01:06:00Z",
        ),
        (
            "@every 1440h0m1s",
            berlin,
            "1s",
            "2026-03-07T01:06:00Z",
            "2026-03-07T01:06:00Z",
        ),
        (
            "@every 1440h0m3s",
            berlin,
            "1.5s",
            "2026-03-07T01:06:00Z",
            "2026-03-07T01:06:00Z",
        ),
        (
            "@every -1h",
            "",
            "1h",
            "2026-03-07T01:06:00Z",
            "2026-03-07T01:06:00Z",
        ),
        (
            "@every 0",
            "",
            "1h",
            "2026-03-07T01:06:00Z",
            "2026-03-07T01:06:00Z",
        ),
        (
            " @every 1.5h ",
            "",
            "1h",
            "2026-03-07T01:06:00Z",
            "2026-03-07T01:06:00Z",
        ),
        // A comma too many.
        (
            "0 0 1, * *",
            berlin,
            "1h",
            "2026-03-07T01:06:00Z",
            "2026-03-31T22:00:00Z",
        ),
        // As long as several openings; and to the last moment.
        (
            "0 1 * * *",
            "",
            "100h",
            "2026-03-07T00:30:00Z",
            "2026-03-07T00:30:00Z",
        ),
        (
            "0 22 * * *",
            "",
            "2h",
            "2026-03-02T00:00:00Z",
            "2026-03-02T00:00:00Z",
        ),
    ];
    let mut wrong = Vec::new();
    for (cron, zone, duration, due, want) in table {
        let found = renewed(cron, zone, duration, due);
        let want = RenewalTime {
            at: want.parse().ok(),
            problem: None,
        };
        if found != want {
            wrong.push((cron, due, found, want.at));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_window_that_does_not_open_is_told_and_the_certificate_renewed_when_due() {
    let never = "no renewal window opens";
    let berlin = "Europe/Berlin";
    let table = [
        ("0 3 29 2 *", "", "2h", never),
        ("0 0 30 2 *", "", "1h", never),
        ("@yearly", "", "1m", never),
        // Only after expiry; cert-manager lets it expire.
        ("30 0 22 3 *", "", "2h", never),
        ("0 0 * * *", "utc+1", "1h", "utc+1"),
        ("0 0 * * *", "", "0s", "windowDuration must be positive"),
        ("0 0 * * *", "", "-1h", "windowDuration must be positive"),
        (
            "0 0 * *",
            "",
            "1h",
            "renewal window \"0 0 * *\": it does not have five fields",
        ),
        // What comes too seldom, or only a little after it is due.
        ("@every 1441h0m2s", "", "1h", never),
        ("@every 1440h0m1s", berlin, "500ms", never),
        ("@every 2562047h", "", "1h", never),
        ("@every 90d", "", "1h", "unit \"d\" is unknown"),
        ("@every  1h", "", "1h", "\" 1h\" is no duration"),
        ("@every", "", "1h", "it does not have five fields"),
        ("@Every 1h", "", "1h", "it does not have five fields"),
        ("@every 2562048h", "", "1h", "too long for a duration"),
        ("0 0 L * *", "", "1h", "\"L\" is not within 1 to 31"),
        (
            "0 0 * * fri-mon",
            "",
            "1h",
            "\"fri-mon\" is not within 0 to 6",
        ),
        ("0 0 * * 7", "", "1h", "\"7\" is not within 0 to 6"),
        ("0 0 , * *", "", "1h", "\",\" is not within 1 to 31"),
        (
            "0-70 1 * * *",
            "",
            "1h",
            "renewal window \"0-70 1 * * *\": ",
        ),
        ("0 24 * * *", "", "1h", "renewal window \"0 24 * * *\": "),
        ("*/0 1 * * *", "", "1h", "renewal window \"*/0 1 * * *\": "),
    ];
    let due = "2027-02-20T00:00:00Z";
    for (cron, zone, duration, why) in table {
        let found = renewed(cron, zone, duration, due);
        assert_eq!(found.at, due.parse().ok(), "{cron}");
        let problem = found.problem.unwrap_or_default();
        assert!(problem.contains(why), "{cron} {zone}: {problem:?}");
    }
}
