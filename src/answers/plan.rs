//! When is DNS looked at while a Certificate waits, and which change ends the wait? Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::answers::{
    history::{History, Observation},
    question::Question,
};

/// So many waits in a row are cut short. The one after that is waited for to its end: a name whose
/// answers change all the time is no reason to ask a CA all the time.
const MOST_CUT: u32 = 3;

/// A wait of a Certificate after a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The uid of the Certificate.
    pub certificate: String,
    /// The uid of the request that failed.
    pub request: String,
    /// When it failed.
    pub failed: Timestamp,
    /// When it is tried again if nothing changes.
    pub ends: Timestamp,
}

/// How long it is between two looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// After the first.
    first: SignedDuration,
    /// At most.
    longest: SignedDuration,
}

impl Pace {
    /// For waits that are not cut below `shortest`: looking much less often than that would make
    /// them longer.
    pub fn within(shortest: SignedDuration) -> Self {
        Self {
            first: shortest / 15,
            longest: shortest,
        }
    }

    /// The pause after that many looks: it doubles.
    fn after(&self, looks: u32) -> SignedDuration {
        let doublings = looks.saturating_sub(1).min(16);
        let pause = self.first.checked_mul(1 << doublings);
        pause.unwrap_or(self.longest).min(self.longest)
    }
}

/// When to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Now.
    Now,
    /// Then.
    At(Timestamp),
    /// Not any more in this wait.
    Never,
}

/// What is known of a wait.
#[derive(Clone, Debug)]
pub struct Watch {
    wait: Wait,
    /// How many waits in a row were cut short, this one among them.
    cut: u32,
    looks: u32,
    due: Timestamp,
    names: BTreeMap<Question, History>,
    changed: Option<String>,
}

impl Watch {
    /// That of a `wait` of which nothing is known yet. `before` is the latest of the same object.
    pub fn begin(before: Option<&Self>, wait: Wait) -> Self {
        let cut = match before {
            Some(before)
                if before.changed.is_some() && before.wait.certificate == wait.certificate =>
            {
                before.cut
            }
            // It was waited for to its end, or there was none.
            Some(_) | None => 0,
        };
        Self {
            due: wait.failed,
            wait,
            cut,
            looks: 0,
            names: BTreeMap::new(),
            changed: None,
        }
    }

    /// The wait.
    pub fn wait(&self) -> &Wait {
        &self.wait
    }

    /// Whether it is that of this wait.
    pub fn is_of(&self, wait: &Wait) -> bool {
        (&self.wait.certificate, self.wait.failed) == (&wait.certificate, wait.failed)
    }

    /// The wait ends then.
    pub fn ends(&mut self, at: Timestamp) {
        self.wait.ends = at;
    }

    /// The name that DNS says something else of since the Certificate failed at `failed`.
    pub fn changed(&self, certificate: &str, failed: Timestamp) -> Option<&str> {
        let is_same = self.wait.certificate == certificate && self.wait.failed == failed;
        self.changed.as_deref().filter(|_| is_same)
    }

    /// When to look.
    pub fn look(&self, now: Timestamp) -> Look {
        let is_over = self.changed.is_some() || self.cut >= MOST_CUT || self.wait.ends <= now;
        match self.due {
            _ if is_over => Look::Never,
            due if due <= now => Look::Now,
            due => Look::At(due),
        }
    }

    /// DNS was looked at, and said this. The first look is what later ones are held against.
    pub fn saw(&mut self, seen: Vec<(Question, Observation)>, pace: Pace, now: Timestamp) {
        self.looks = self.looks.saturating_add(1);
        let next = now.checked_add(pace.after(self.looks));
        self.due = next.unwrap_or(Timestamp::MAX);
        for (question, observation) in seen {
            let Some(history) = self.names.get_mut(&question) else {
                self.names.insert(question, History::of(&observation));
                continue;
            };
            if history.note(&observation) && self.changed.is_none() {
                self.changed = Some(question.name);
                self.cut = self.cut.saturating_add(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::answers::{
        history::{Aspect, Seen},
        question::Way,
    };

    const MINUTE: SignedDuration = SignedDuration::from_mins(1);

    fn start() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn wait(failed: Timestamp, minutes: i64) -> Wait {
        Wait {
            certificate: "c".into(),
            request: "r".into(),
            failed,
            ends: failed + SignedDuration::from_mins(minutes),
        }
    }

    fn pace() -> Pace {
        Pace::within(15 * MINUTE)
    }

    fn seen(name: &str, address: &str) -> (Question, Observation) {
        let question = Question {
            name: name.into(),
            way: Way::Http01,
        };
        let addresses = address.split_whitespace().map(str::to_owned);
        let answer = Seen::Answer(addresses.collect::<BTreeSet<_>>());
        (question, BTreeMap::from([(Aspect::Ipv4, answer)]))
    }

    /// Look whenever it is due, until there is nothing to look for; returns the minutes of the looks.
    fn follow(watch: &mut Watch, address: impl Fn(i64) -> &'static str) -> Vec<i64> {
        let failed = watch.wait().failed;
        let (mut now, mut looks) = (failed, Vec::new());
        loop {
            match watch.look(now) {
                Look::Now => {
                    let minutes = failed.duration_until(now).as_mins();
                    looks.push(minutes);
                    watch.saw(vec![seen("www", address(minutes))], pace(), now);
                }
                Look::At(at) => now = at,
                Look::Never => return looks,
            }
        }
    }

    #[test]
    fn looks_grow_rarer_and_end_with_the_wait() {
        let mut watch = Watch::begin(None, wait(start(), 60));
        let looks = follow(&mut watch, |_| "1");
        assert_eq!(looks, [0, 1, 3, 7, 15, 30, 45]);
        assert_eq!(watch.changed("c", start()), None);
        // Its end may come nearer.
        let mut watch = Watch::begin(None, wait(start(), 60));
        assert!(watch.is_of(&wait(start(), 5)));
        assert!(!watch.is_of(&wait(start() + MINUTE, 5)));
        watch.ends(start() + 5 * MINUTE);
        assert_eq!(follow(&mut watch, |_| "1"), [0, 1, 3]);
        // As short as waits may be.
        let second = Pace::within(SignedDuration::from_secs(15));
        assert_eq!(second.after(1), SignedDuration::from_secs(1));
        assert_eq!(second.after(u32::MAX), SignedDuration::from_secs(15));
    }

    #[test]
    fn what_changes_is_told_and_looked_for_no_more() {
        let mut watch = Watch::begin(None, wait(start(), 60));
        let looks = follow(&mut watch, |minute| if minute < 5 { "" } else { "1" });
        assert_eq!(looks, [0, 1, 3, 7]);
        assert_eq!(watch.changed("c", start()), Some("www"));
        // Of another failure, or another Certificate of that name, nothing is said.
        assert_eq!(watch.changed("c", start() + MINUTE), None);
        assert_eq!(watch.changed("d", start()), None);
    }

    #[test]
    fn one_of_several_names_is_enough() {
        let mut watch = Watch::begin(None, wait(start(), 60));
        watch.saw(vec![seen("a", "1"), seen("b", "1")], pace(), start());
        watch.saw(vec![seen("a", "1"), seen("b", "2")], pace(), start());
        assert_eq!(watch.changed("c", start()), Some("b"));
    }

    #[test]
    fn answers_that_always_change_cut_three_waits_and_then_none() {
        let mut watch = Watch::begin(None, wait(start(), 60));
        let mut failed = start();
        let mut cuts = Vec::new();
        for _ in 0..10 {
            // Another address each time.
            let looks = follow(&mut watch, |minute| if minute == 0 { "1" } else { "2" });
            let cut = watch.changed("c", failed).is_some();
            cuts.push(cut);
            assert_eq!(looks.is_empty(), !cut);
            failed += if cut { 15 * MINUTE } else { 60 * MINUTE };
            watch = Watch::begin(Some(&watch), wait(failed, 60));
        }
        let three = [true, true, true, false];
        assert_eq!(cuts, [&three[..], &three[..], &three[..2]].concat());
        // Another Certificate of that name has nothing to do with it.
        let other = Wait {
            certificate: "d".into(),
            ..wait(failed, 60)
        };
        assert_eq!(Watch::begin(Some(&watch), other).cut, 0);
    }
}
