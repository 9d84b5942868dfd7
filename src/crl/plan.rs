//! Is another list to be signed, and what does it say? Pure: facts and a time in, a list out.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::{
    api::issuer::RevocationListSpec,
    pki::crl::{Entry, RevocationList, SerialNumber},
};

/// How long a list is good for where the issuer does not say.
const DEFAULT_VALIDITY: SignedDuration = SignedDuration::from_hours(7 * 24);
/// The shortest that an issuer may say.
const MIN_VALIDITY: SignedDuration = SignedDuration::from_hours(1);

/// What a decision is made from.
#[derive(Clone, Debug)]
pub struct Situation<'a> {
    /// The list that is stored, if it stands as the present CA has signed it.
    pub stored: Option<&'a RevocationList>,
    /// The highest number that is known to have been given.
    pub last_number: u64,
    /// What is to be on the list.
    pub wanted: BTreeMap<SerialNumber, Entry>,
    /// How long a list is to be good for.
    pub validity: SignedDuration,
    /// Now.
    pub now: Timestamp,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// The stored one is good until then.
    Keep(Timestamp),
    /// Another is needed, and may be signed then: several changes make one list.
    Wait(Timestamp),
    /// Sign this.
    Sign(RevocationList),
}

/// Decide.
pub fn plan(situation: Situation<'_>) -> Plan {
    let Situation {
        stored,
        last_number,
        wanted,
        validity,
        now,
    } = situation;
    if let Some(stored) = stored {
        let due = due(stored);
        let said = stored.this_update.duration_until(stored.next_update);
        let holds = |(serial, entry)| stored.entries.get(serial) == Some(entry);
        // What is on it and expired goes with the next one.
        if wanted.iter().all(holds) && now < due && said.as_secs() == validity.as_secs() {
            return Plan::Keep(due);
        }
    }
    let second = now.as_second();
    let clock = u64::try_from(second).unwrap_or_default();
    if last_number == clock {
        let next = Timestamp::from_second(second.saturating_add(1));
        return Plan::Wait(next.unwrap_or(now));
    }
    Plan::Sign(RevocationList {
        // The clock, so that a list that is lost never makes it go back.
        number: last_number.saturating_add(1).max(clock),
        this_update: Timestamp::from_second(second).unwrap_or(now),
        next_update: Timestamp::from_second(second.saturating_add(validity.as_secs()))
            .unwrap_or(Timestamp::MAX),
        entries: wanted,
    })
}

/// `list` with what is on the `last` one, and nothing that is new: where all of it takes too much room.
pub fn again(mut list: RevocationList, last: &RevocationList) -> RevocationList {
    list.entries
        .retain(|serial, _| last.entries.contains_key(serial));
    list
}

/// When the next list is signed: two thirds of the time that this one is good for are over.
pub fn due(list: &RevocationList) -> Timestamp {
    let good = list.this_update.duration_until(list.next_update);
    let wait = SignedDuration::from_secs(good.as_secs() / 3 * 2);
    list.this_update
        .checked_add(wait)
        .unwrap_or(list.next_update)
}

/// How long lists are to be good for.
///
/// # Errors
/// What is written is none; the rules of the API let none such pass.
pub fn validity(spec: &RevocationListSpec) -> Result<SignedDuration, String> {
    let Some(text) = &spec.validity else {
        return Ok(DEFAULT_VALIDITY);
    };
    let validity = text
        .parse()
        .map_err(|error| format!("spec.ca.crl.validity: {error}"))?;
    if validity < MIN_VALIDITY {
        return Err(format!("spec.ca.crl.validity {text} is shorter than 1h"));
    }
    Ok(validity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::crl::Reason;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn entries(serials: &[&str]) -> BTreeMap<SerialNumber, Entry> {
        let entry = Entry {
            revoked: at("2026-01-01T00:00:00Z"),
            reason: Reason::Superseded,
        };
        let serial = |digits: &&str| (SerialNumber::from_hex(digits).unwrap(), entry);
        serials.iter().map(serial).collect()
    }

    fn list(number: u64, serials: &[&str]) -> RevocationList {
        RevocationList {
            number,
            this_update: at("2026-02-01T00:00:00Z"),
            next_update: at("2026-02-01T03:00:00Z"),
            entries: entries(serials),
        }
    }

    #[test]
    fn a_list_is_signed_when_it_must_be() {
        let stored = list(7, &["1", "2"]);
        let early = "2026-02-01T01:00:00Z";
        // (stored, wanted, validity in hours, now, whether it is signed)
        let table = [
            (Some(&stored), &["1", "2"][..], 3, early, false),
            // What expired goes with the next one.
            (Some(&stored), &["1"], 3, early, false),
            (Some(&stored), &["1", "3"], 3, early, true),
            (Some(&stored), &["1"], 4, early, true),
            (Some(&stored), &["1"], 3, "2026-02-01T01:59:59Z", false),
            (Some(&stored), &["1"], 3, "2026-02-01T02:00:00Z", true),
            (Some(&stored), &["1"], 3, "2026-03-01T00:00:00Z", true),
            (None, &[], 3, early, true),
        ];
        for (stored, wanted, hours, now, want) in table {
            let plan = plan(Situation {
                stored,
                last_number: 7,
                wanted: entries(wanted),
                validity: HOUR * hours,
                now: at(now),
            });
            match plan {
                Plan::Keep(until) => {
                    assert!(!want, "{wanted:?} at {now}");
                    assert_eq!(until, at("2026-02-01T02:00:00Z"));
                }
                Plan::Sign(list) => {
                    assert!(want, "{wanted:?} at {now}");
                    assert_eq!(list.entries, entries(wanted));
                    assert_eq!(list.this_update, at(now));
                    assert_eq!(list.next_update, at(now) + HOUR * hours);
                }
                Plan::Wait(_) => panic!("{wanted:?} at {now}"),
            }
        }
    }

    #[test]
    fn a_changed_reason_is_another_entry() {
        let stored = list(7, &["1"]);
        let mut wanted = entries(&["1"]);
        for entry in wanted.values_mut() {
            entry.reason = Reason::KeyCompromise;
        }
        let situation = Situation {
            stored: Some(&stored),
            last_number: 7,
            wanted,
            validity: HOUR * 3,
            now: at("2026-02-01T01:00:00Z"),
        };
        assert!(matches!(plan(situation), Plan::Sign(_)));
    }

    #[test]
    fn the_number_rises_and_a_second_has_one_list() {
        let now = at("2026-02-01T00:00:00.7Z");
        let clock = now.as_second() as u64;
        // (the last number, the next; `None`: it is waited)
        let table = [
            (0, Some(clock)),
            (clock - 1, Some(clock)),
            (clock, None),
            // The clock went back, or another counted before.
            (clock + 5, Some(clock + 6)),
            (u64::MAX, Some(u64::MAX)),
        ];
        for (last_number, want) in table {
            let plan = plan(Situation {
                stored: None,
                last_number,
                wanted: BTreeMap::new(),
                validity: HOUR,
                now,
            });
            match plan {
                Plan::Sign(list) => {
                    assert_eq!(Some(list.number), want, "{last_number}");
                    assert_eq!(list.this_update, at("2026-02-01T00:00:00Z"));
                }
                Plan::Wait(until) => {
                    assert_eq!(want, None, "{last_number}");
                    assert_eq!(until, at("2026-02-01T00:00:01Z"));
                }
                Plan::Keep(_) => panic!("nothing is stored"),
            }
        }
    }

    #[test]
    fn a_list_is_good_for_an_hour_at_least() {
        let spec = |text: Option<&str>| RevocationListSpec {
            url: None,
            validity: text.map(Into::into),
        };
        assert_eq!(validity(&spec(None)), Ok(HOUR * 168));
        assert_eq!(validity(&spec(Some("1h"))), Ok(HOUR));
        assert!(validity(&spec(Some("59m"))).is_err());
        assert!(validity(&spec(Some("7d"))).is_err());
    }
}
