//! When is a certificate renewed?

mod cron;
mod every;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use self::cron::{Clock, Schedule};
use crate::{
    api::certificate::{CertificateSpec, RenewalPolicy, RenewalWindow},
    certificate::suggestion::Suggestion,
};

/// Times are stored in whole seconds.
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// More windows than this are not looked at.
const MOST_WINDOWS: usize = 100;

/// When a certificate is renewed, and what was wrong with the way to say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenewalTime {
    /// The time, in whole seconds as it is stored; `None` when it is never renewed.
    pub at: Option<Timestamp>,
    /// Why the windows could not be obeyed.
    pub problem: Option<String>,
}

/// When a certificate with these dates is renewed, if the CA suggests what `suggestion` says.
///
/// The dates are those of the certificate that was issued, whatever lifetime was asked for. The CA
/// may have it renewed sooner or later than that, but not later than when a third is left of what
/// is left by then; where there are windows, it can only be sooner than by them.
pub fn renewal_time(
    spec: &CertificateSpec,
    suggestion: Option<Suggestion>,
    not_before: Timestamp,
    not_after: Timestamp,
) -> RenewalTime {
    let scheduled = scheduled(spec, not_before, not_after);
    let (Some(suggestion), Some(at)) = (suggestion, scheduled.at) else {
        return scheduled;
    };
    let left = renew_before(spec, not_before.duration_until(not_after)) / 3;
    let latest = not_after.checked_sub(left).unwrap_or(not_after);
    let suggested = suggestion.at.min(latest);
    let windows = spec
        .renewal
        .as_ref()
        .and_then(|renewal| renewal.windows.as_deref())
        .unwrap_or_default();
    let suggested = match in_windows(windows, suggested, not_before, not_after) {
        _ if suggestion.is_urgent || windows.is_empty() => suggested,
        Ok(opening) if opening <= latest => opening.min(at),
        Ok(_) | Err(_) => suggested.min(at),
    };
    RenewalTime {
        at: Some(suggested),
        problem: scheduled.problem,
    }
}

/// When a certificate with these dates is renewed, if the CA suggests nothing.
fn scheduled(spec: &CertificateSpec, not_before: Timestamp, not_after: Timestamp) -> RenewalTime {
    let lifetime = not_before.duration_until(not_after);
    let at = not_after
        .checked_sub(renew_before(spec, lifetime))
        .unwrap_or(not_after);
    // What is stored has no fraction: waking up by it must not come before the time itself.
    let at = Timestamp::from_second(at.as_second()).unwrap_or(at);
    // A certificate that is due as soon as it is valid would be issued again and again.
    let at = at.max(not_before.saturating_add(SECOND).unwrap_or(at));
    let at = at.min(not_after.saturating_sub(SECOND).unwrap_or(at));

    let Some(renewal) = &spec.renewal else {
        return RenewalTime {
            at: Some(at),
            problem: None,
        };
    };
    match renewal.policy {
        Some(RenewalPolicy::Disabled) => RenewalTime::default(),
        None | Some(RenewalPolicy::RenewBefore) => {
            let windows = renewal.windows.as_deref().unwrap_or_default();
            match in_windows(windows, at, not_before, not_after) {
                Ok(at) => RenewalTime {
                    at: Some(at),
                    problem: None,
                },
                Err(problem) => RenewalTime {
                    at: Some(at),
                    problem: Some(problem),
                },
            }
        }
    }
}

/// How long before expiry: what the user says where that fits the lifetime, else a third of it.
fn renew_before(spec: &CertificateSpec, lifetime: SignedDuration) -> SignedDuration {
    let before = spec
        .renew_before
        .as_ref()
        .and_then(|before| before.parse().ok())
        .filter(|before| before.is_positive() && *before < lifetime);
    if let Some(before) = before {
        return before;
    }
    match spec.renew_before_percentage {
        Some(percent @ 1..=99) => {
            let nanos = lifetime.as_nanos() * i128::from(percent) / 100;
            SignedDuration::from_nanos_i128(nanos)
        }
        Some(_) | None => lifetime / 3,
    }
}

/// `at` where it lies in a window, else the next opening of one.
fn in_windows(
    windows: &[RenewalWindow],
    at: Timestamp,
    not_before: Timestamp,
    not_after: Timestamp,
) -> Result<Timestamp, String> {
    if windows.is_empty() {
        return Ok(at);
    }
    if windows.len() > MOST_WINDOWS {
        return Err(format!(
            "{} renewal windows are more than {MOST_WINDOWS}",
            windows.len()
        ));
    }
    let windows = windows
        .iter()
        .map(Window::parse)
        .collect::<Result<Vec<_>, _>>()?;
    if windows.iter().any(|window| window.holds(at, not_before)) {
        return Ok(at);
    }
    windows
        .iter()
        .filter_map(|window| window.next_opening(at, not_after))
        .min()
        .ok_or_else(|| {
            "no renewal window opens between the time of renewal and the expiry of the certificate"
                .to_owned()
        })
}

struct Window {
    schedule: Schedule,
    zone: TimeZone,
    duration: SignedDuration,
}

impl Window {
    fn parse(window: &RenewalWindow) -> Result<Self, String> {
        let schedule = Schedule::parse(&window.cron)
            .map_err(|error| format!("renewal window {:?}: {error}", window.cron))?;
        let zone = match window.timezone.as_deref() {
            None | Some("") => TimeZone::UTC,
            Some(name) => TimeZone::get(name)
                .map_err(|error| format!("renewal window {:?}: {error}", window.cron))?,
        };
        let duration = window
            .window_duration
            .parse()
            .map_err(|error| format!("renewal window {:?}: {error}", window.cron))?;
        if !duration.is_positive() {
            return Err(format!(
                "renewal window {:?}: windowDuration must be positive",
                window.cron
            ));
        }
        Ok(Self {
            schedule,
            zone,
            duration,
        })
    }

    /// Whether `at` lies in a window that opened since the certificate is valid, or shortly before.
    fn holds(&self, at: Timestamp, not_before: Timestamp) -> bool {
        let opened = not_before
            .checked_sub(self.duration)
            .ok()
            .and_then(|since| self.last_opening(since, at));
        opened.is_some_and(|opened| opened.duration_until(at) <= self.duration)
    }

    /// The last opening from `since` up to `at`.
    fn last_opening(&self, since: Timestamp, at: Timestamp) -> Option<Timestamp> {
        match &self.schedule {
            Schedule::Clock(clock) => self.last_on(clock, since, at),
            Schedule::Every(every) => every.last(since, at),
        }
    }

    /// The first opening from `at` on, unless the certificate has expired by then.
    fn next_opening(&self, at: Timestamp, not_after: Timestamp) -> Option<Timestamp> {
        match &self.schedule {
            Schedule::Clock(clock) => self.next_on(clock, at, not_after),
            Schedule::Every(every) => {
                let opens = every.next(at)?.max(at);
                (opens < not_after).then_some(opens)
            }
        }
    }

    /// A clock on a wall is looked at from one of its changes to the next: an hour that is left out
    /// has no openings, one that comes twice has two.
    fn last_on(&self, clock: &Clock, since: Timestamp, at: Timestamp) -> Option<Timestamp> {
        let mut until = at;
        loop {
            let offset = self.zone.to_offset(until);
            let after = until.checked_add(SECOND).ok()?;
            let change = self.zone.preceding(after).next();
            let from = change.map_or(since, |change| change.timestamp().max(since));
            let shown = |at| offset.to_datetime(at);
            if let Some(opened) = clock.last(shown(from), shown(until)) {
                return offset.to_timestamp(opened).ok();
            }
            if from <= since {
                return None;
            }
            until = from.checked_sub(SECOND).ok()?;
        }
    }

    fn next_on(&self, clock: &Clock, at: Timestamp, not_after: Timestamp) -> Option<Timestamp> {
        let mut from = at;
        while from < not_after {
            let offset = self.zone.to_offset(from);
            let change = self.zone.following(from).next();
            let until = change.map_or(not_after, |change| change.timestamp().min(not_after));
            let shown = |at| offset.to_datetime(at);
            if let Some(opens) = clock.next(shown(from), shown(until)) {
                return offset.to_timestamp(opens).ok();
            }
            from = until;
        }
        None
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod windows;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::certificate::Renewal;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn spec(before: Option<&str>, percentage: Option<i32>) -> CertificateSpec {
        CertificateSpec {
            renew_before: before.map(Into::into),
            renew_before_percentage: percentage,
            ..CertificateSpec::default()
        }
    }

    fn window(cron: &str, timezone: Option<&str>, duration: &str) -> RenewalWindow {
        RenewalWindow {
            cron: cron.into(),
            timezone: timezone.map(Into::into),
            window_duration: duration.into(),
        }
    }

    #[test]
    fn the_time_before_expiry() {
        // 90 days.
        let (from, to) = ("2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z");
        let table = [
            (None, None, from, to, "2026-03-02T00:00:00Z"),
            (Some("720h"), None, from, to, "2026-03-02T00:00:00Z"),
            (Some("1h"), None, from, to, "2026-03-31T23:00:00Z"),
            (Some("1h"), Some(50), from, to, "2026-03-31T23:00:00Z"),
            (None, Some(50), from, to, "2026-02-15T00:00:00Z"),
            (None, Some(0), from, to, "2026-03-02T00:00:00Z"),
            (None, Some(100), from, to, "2026-03-02T00:00:00Z"),
            // Longer than the certificate lives: the percentage, or a third.
            (Some("2160h"), None, from, to, "2026-03-02T00:00:00Z"),
            (Some("2161h"), Some(10), from, to, "2026-03-23T00:00:00Z"),
            (Some("-1h"), None, from, to, "2026-03-02T00:00:00Z"),
            (Some("soon"), None, from, to, "2026-03-02T00:00:00Z"),
            // Whole seconds, cut off.
            (
                None,
                None,
                "2026-01-01T00:00:00Z",
                "2026-01-01T00:00:10Z",
                "2026-01-01T00:00:06Z",
            ),
            // Never at once, whatever is asked for.
            (
                Some("9.5s"),
                None,
                "2026-01-01T00:00:00Z",
                "2026-01-01T00:00:10Z",
                "2026-01-01T00:00:01Z",
            ),
            // Six days, as short-lived certificates have.
            (
                None,
                None,
                "2026-01-01T00:00:00Z",
                "2026-01-07T00:00:00Z",
                "2026-01-05T00:00:00Z",
            ),
        ];
        for (before, percentage, from, to, want) in table {
            let found = renewal_time(&spec(before, percentage), None, at(from), at(to));
            assert_eq!(
                found,
                RenewalTime {
                    at: Some(at(want)),
                    problem: None
                },
                "{before:?} {percentage:?} {from} {to}"
            );
        }
    }

    #[test]
    fn windows_and_policies() {
        // Due on Monday, 2 March 2026, at midnight UTC.
        let due = Some("2026-03-02T00:00:00Z");
        let disabled = Some(RenewalPolicy::Disabled);
        let before = Some(RenewalPolicy::RenewBefore);
        let table = [
            (None, vec![], due, false),
            (before, vec![], due, false),
            (disabled, vec![], None, false),
            // Open at that time.
            (before, vec![window("0 22 * * *", None, "3h")], due, false),
            (before, vec![window("0 0 * * 1", None, "1m")], due, false),
            // Closes just then; has closed just before.
            (before, vec![window("0 22 * * *", None, "2h")], due, false),
            (
                before,
                vec![window("0 22 * * *", None, "119m")],
                Some("2026-03-02T22:00:00Z"),
                false,
            ),
            (
                before,
                vec![window("0 2 * * sat", None, "2h")],
                Some("2026-03-07T02:00:00Z"),
                false,
            ),
            // The first of several.
            (
                before,
                vec![
                    window("0 2 * * sat", None, "2h"),
                    window("30 5 * * wed", None, "2h"),
                ],
                Some("2026-03-04T05:30:00Z"),
                false,
            ),
            (
                before,
                vec![window("@daily", Some("Europe/Berlin"), "30m")],
                Some("2026-03-02T23:00:00Z"),
                false,
            ),
            (
                before,
                vec![window("@daily", Some("Europe/Berlin"), "90m")],
                due,
                false,
            ),
            // Opens only after expiry: renewed when due, and told.
            (before, vec![window("0 0 1 12 *", None, "1h")], due, true),
            // The last moment is too late.
            (before, vec![window("0 0 1 apr *", None, "48h")], due, true),
            // Cannot be read: renewed when due, and told.
            (before, vec![window("every day", None, "1h")], due, true),
            (before, vec![window("0 0 * * * *", None, "1h")], due, true),
            (
                before,
                vec![window("@daily", Some("Mars/Base"), "1h")],
                due,
                true,
            ),
            (before, vec![window("@daily", None, "1d")], due, true),
            (before, vec![window("0 0 31 feb *", None, "1h")], due, true),
            (before, vec![window("@daily", None, "1h"); 101], due, true),
        ];
        for (policy, windows, want, problem) in table {
            let mut spec = spec(None, None);
            spec.renewal = Some(Renewal {
                policy,
                windows: Some(windows.clone()),
            });
            let found = renewal_time(
                &spec,
                None,
                at("2026-01-01T00:00:00Z"),
                at("2026-04-01T00:00:00Z"),
            );
            assert_eq!(found.at, want.map(at), "{policy:?} {windows:?}");
            assert_eq!(found.problem.is_some(), problem, "{windows:?} {found:?}");
        }
    }

    #[test]
    fn the_ca_suggests() {
        // 90 days; due on 2 March, and 10 days before the end at the latest.
        let (from, to) = (at("2026-01-01T00:00:00Z"), at("2026-04-01T00:00:00Z"));
        let saturdays = || Some(vec![window("0 2 * * sat", None, "2h")]);
        let closed = || Some(vec![window("0 0 1 12 *", None, "1h")]);
        let mut disabled = spec(None, None);
        disabled.renewal = Some(Renewal {
            policy: Some(RenewalPolicy::Disabled),
            windows: None,
        });
        assert_eq!(
            renewal_time(&disabled, Some(calm("2026-01-01T00:00:00Z")), from, to).at,
            None
        );
        // (windows, suggested, urgent, renewed)
        let table = [
            (None, "2026-02-01T00:00:07Z", false, "2026-02-01T00:00:07Z"),
            (None, "2026-03-10T00:00:00Z", false, "2026-03-10T00:00:00Z"),
            (None, "2026-03-30T00:00:00Z", false, "2026-03-22T00:00:00Z"),
            (None, "2020-01-01T00:00:00Z", true, "2020-01-01T00:00:00Z"),
            // The next opening after what the CA wants, or after what is ordinary.
            (
                saturdays(),
                "2026-02-01T00:00:00Z",
                false,
                "2026-02-07T02:00:00Z",
            ),
            (
                saturdays(),
                "2026-02-07T03:00:00Z",
                false,
                "2026-02-07T03:00:00Z",
            ),
            (
                saturdays(),
                "2026-03-10T00:00:00Z",
                false,
                "2026-03-07T02:00:00Z",
            ),
            (
                saturdays(),
                "2026-01-10T00:00:00Z",
                true,
                "2026-01-10T00:00:00Z",
            ),
            // No window opens in time.
            (
                closed(),
                "2026-02-01T00:00:00Z",
                false,
                "2026-02-01T00:00:00Z",
            ),
            (
                closed(),
                "2026-03-10T00:00:00Z",
                false,
                "2026-03-02T00:00:00Z",
            ),
        ];
        for (windows, suggested, is_urgent, want) in table {
            let mut spec = spec(None, None);
            spec.renewal = windows.clone().map(|windows| Renewal {
                policy: None,
                windows: Some(windows),
            });
            let suggestion = Suggestion {
                is_urgent,
                ..calm(suggested)
            };
            let found = renewal_time(&spec, Some(suggestion), from, to).at;
            assert_eq!(found, Some(at(want)), "{windows:?} {suggested} {is_urgent}");
        }
    }

    fn calm(suggested: &str) -> Suggestion {
        Suggestion {
            at: at(suggested),
            is_urgent: false,
        }
    }
}
