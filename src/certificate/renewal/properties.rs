//! Is every certificate renewed while it is valid, and in a window where there is one?

use proptest::prelude::*;

use super::*;
use crate::api::certificate::Renewal;

const DAY: i64 = 24 * 60 * 60;

/// A window that opens once a day or once a week, UTC, so that plain arithmetic knows when.
#[derive(Clone, Debug)]
struct Plain {
    minute: i64,
    hour: i64,
    /// 0 is Sunday.
    weekday: Option<i64>,
    minutes: i64,
}

impl Plain {
    fn window(&self) -> RenewalWindow {
        let weekday = self.weekday.map_or("*".to_owned(), |day| day.to_string());
        RenewalWindow {
            cron: format!("{} {} * * {weekday}", self.minute, self.hour),
            timezone: None,
            window_duration: format!("{}m", self.minutes).into(),
        }
    }

    fn holds(&self, at: Timestamp) -> bool {
        let (first, period) = self.openings();
        (at.as_second() - first).rem_euclid(period) <= self.minutes * 60
    }

    /// The first opening from `at` on.
    fn opens(&self, at: Timestamp) -> Timestamp {
        let (first, period) = self.openings();
        at + SignedDuration::from_secs((first - at.as_second()).rem_euclid(period))
    }

    /// An opening, in seconds from the epoch, and after how many seconds the next one follows.
    fn openings(&self) -> (i64, i64) {
        let time = self.hour * 3600 + self.minute * 60;
        match self.weekday {
            None => (time, DAY),
            // The epoch was a Thursday.
            Some(day) => ((day - 4) * DAY + time, 7 * DAY),
        }
    }
}

fn plain() -> impl Strategy<Value = Plain> {
    let weekday = prop::option::of(0_i64..7);
    (0_i64..60, 0_i64..24, weekday, 1_i64..600).prop_map(|(minute, hour, weekday, minutes)| Plain {
        minute,
        hour,
        weekday,
        minutes,
    })
}

/// A window that opens after a delay: none at all, or longer than anything lives.
fn delayed() -> impl Strategy<Value = RenewalWindow> {
    (-10_i64..6000 * DAY, 1_i64..40 * DAY * 1000).prop_map(|(delay, millis)| RenewalWindow {
        cron: format!("@every {delay}s"),
        timezone: None,
        window_duration: format!("{millis}ms").into(),
    })
}

/// Dates of a certificate: from 2 seconds to some ten years.
fn dates() -> impl Strategy<Value = (Timestamp, Timestamp)> {
    let lifetime = prop_oneof![2_i64..100, 100..10 * DAY, 10 * DAY..4000 * DAY];
    (0_i64..4_000_000_000, lifetime).prop_map(|(from, lifetime)| {
        let at = |second| Timestamp::from_second(second).unwrap();
        (at(from), at(from + lifetime))
    })
}

/// What users write, and what they should not.
fn renew_before() -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop_oneof![
        (-10_i64..400 * DAY).prop_map(|seconds| format!("{seconds}s")),
        (0_i64..100_000).prop_map(|millis| format!("{millis}ms")),
        "[0-9hms.]{0,6}",
    ])
}

fn spec(
    before: Option<&str>,
    percentage: Option<i32>,
    windows: Vec<RenewalWindow>,
) -> CertificateSpec {
    CertificateSpec {
        renew_before: before.map(Into::into),
        renew_before_percentage: percentage,
        renewal: Some(Renewal {
            policy: None,
            windows: Some(windows),
        }),
        ..CertificateSpec::default()
    }
}

fn renewal(spec: &CertificateSpec, from: Timestamp, until: Timestamp) -> RenewalTime {
    renewal_time(spec, None, from, until)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn renewal_is_within_the_lifetime(
        (from, until) in dates(),
        before in renew_before(),
        percentage in prop::option::of(any::<i32>()),
        windows in prop::collection::vec(
            prop_oneof![plain().prop_map(|plain| plain.window()), delayed()], 0..3
        ),
    ) {
        let spec = spec(before.as_deref(), percentage, windows);
        let at = renewal(&spec, from, until).at.unwrap();
        prop_assert!(from < at && at < until, "{at}");
        prop_assert_eq!(at.subsec_nanosecond(), 0);
    }

    #[test]
    fn whoever_wants_it_sooner_has_it_no_later(
        (from, until) in dates(),
        before in (1_i64..400 * DAY, 1_i64..400 * DAY),
        percentages in (1_i32..100, 1_i32..100),
    ) {
        let at = |before: Option<i64>, percentage| {
            let before = before.map(|seconds| format!("{seconds}s"));
            renewal(&spec(before.as_deref(), percentage, vec![]), from, until).at
        };
        let lifetime = from.duration_until(until).as_secs();
        let (less, more) = (before.0.min(before.1), before.0.max(before.1));
        // One that is longer than the lifetime counts as absent.
        if more < lifetime {
            prop_assert!(at(Some(more), None) <= at(Some(less), None));
        }
        let (less, more) = (percentages.0.min(percentages.1), percentages.0.max(percentages.1));
        prop_assert!(at(None, Some(more)) <= at(None, Some(less)));
    }

    #[test]
    fn the_hour_of_issuance_does_not_matter(
        (from, until) in dates(),
        before in renew_before(),
        later in 0_i64..DAY,
    ) {
        let spec = spec(before.as_deref(), None, vec![]);
        let later = SignedDuration::from_secs(later);
        let at = renewal(&spec, from, until).at.unwrap();
        let then = renewal(&spec, from + later, until + later).at.unwrap();
        prop_assert_eq!(at + later, then);
    }

    #[test]
    fn windows_delay_to_their_first_opening(
        (from, until) in dates(),
        windows in prop::collection::vec(plain(), 1..4),
    ) {
        let due = renewal(&spec(None, None, vec![]), from, until).at.unwrap();
        let all = windows.iter().map(Plain::window).collect();
        let RenewalTime { at, problem } = renewal(&spec(None, None, all), from, until);
        let opens = windows.iter().map(|window| window.opens(due)).min().unwrap();
        let want = if windows.iter().any(|window| window.holds(due)) {
            (due, false)
        } else if opens < until {
            (opens, false)
        } else {
            (due, true)
        };
        prop_assert_eq!((at.unwrap(), problem.is_some()), want);
    }

    /// The CA may hurry, and may not put it off until there is no time left for a second try.
    #[test]
    fn what_the_ca_suggests_is_never_too_late(
        (from, until) in dates(),
        windows in prop::collection::vec(plain(), 0..3),
        suggested in -100 * DAY..5000 * DAY,
        is_urgent in any::<bool>(),
    ) {
        let at = from + SignedDuration::from_secs(suggested);
        let windows: Vec<_> = windows.iter().map(Plain::window).collect();
        let is_free = windows.is_empty();
        let spec = spec(None, None, windows);
        let ordinary = renewal(&spec, from, until).at.unwrap();
        let found = renewal_time(&spec, Some(Suggestion { at, is_urgent }), from, until);
        let latest = until - from.duration_until(until) / 9;
        prop_assert!(found.at.unwrap() <= latest.max(ordinary));
        prop_assert!(is_free || is_urgent || found.at.unwrap() <= ordinary);
        prop_assert!(!is_free || found.at.unwrap() == at.min(latest));
    }

    #[test]
    fn in_any_zone_a_daily_window_opens_at_its_hour(
        (from, until) in dates(),
        hour in 0_i8..24,
        zone in prop::sample::select(vec![
            "UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia",
        ]),
    ) {
        let window = RenewalWindow {
            cron: format!("0 {hour} * * *"),
            timezone: Some(zone.to_owned()),
            window_duration: "1m".into(),
        };
        let RenewalTime { at, problem } = renewal(&spec(None, None, vec![window]), from, until);
        let local = at.unwrap().to_zoned(TimeZone::get(zone).unwrap());
        if problem.is_none() {
            // One night of the year has no such hour: then it is the next.
            prop_assert!(local.hour() == hour || local.hour() == hour + 1, "{local}");
            prop_assert_eq!(local.minute(), 0);
        }
    }
}
