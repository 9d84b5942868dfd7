//! Who may ask a CA for a revocation now, and which record may be deleted?
//!
//! First the revocations of each namespace follow one another, then those at each CA: so that one namespace
//! with thousands stands before nobody else. And of each few are under way at once: a CA that does not
//! answer, which may be anybody's, keeps no other waiting.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::cluster::ObjectKey;

/// Revocations in one line without a pause.
const BURST: u32 = 20;
/// The pause between two after that. Let's Encrypt allows ten a second, for all there are.
const PAUSE: Duration = Duration::from_millis(500);
/// The pause between two deletions of records: a clock that was wrong for an hour costs no more of them than
/// this allows.
const BETWEEN_DELETIONS: Duration = Duration::from_secs(1);
/// Revocations under way at once for a namespace, and at a CA.
const MOST: usize = 2;
/// When to look again for one of these places, at the earliest.
const AGAIN: Duration = Duration::from_secs(1);
/// What nobody has asked for since then is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// Spreads revocations.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When a line will have moved no faster than it should.
    settled: HashMap<Line, Instant>,
    /// When the turn of a record comes: each is told once, and so comes back once.
    booked: HashMap<ObjectKey, Booking>,
    /// Revocations under way.
    busy: HashMap<Line, usize>,
    swept: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Line {
    /// That of a namespace.
    Namespace(Arc<str>),
    /// That at a CA, by its directory.
    Server(String),
    /// That of records to be deleted.
    Deletions,
}

impl Line {
    fn pause(&self) -> Duration {
        match self {
            Self::Namespace(_) | Self::Server(_) => PAUSE,
            Self::Deletions => BETWEEN_DELETIONS,
        }
    }
}

#[derive(Debug)]
struct Booking {
    at: Instant,
    /// How many lines it has stood in by then.
    passed: usize,
}

/// A place among the revocations under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pace: &'a Pace,
    lines: [Line; 2],
}

impl Pace {
    /// Ask for a turn for the `record` of a certificate in `namespace`, at the CA `server`; else how long
    /// to wait before asking again.
    pub(super) fn turn(
        &self,
        record: &ObjectKey,
        namespace: &Arc<str>,
        server: &str,
    ) -> Result<Turn<'_>, Duration> {
        let now = Instant::now();
        let lines = [
            Line::Namespace(Arc::clone(namespace)),
            Line::Server(server.to_owned()),
        ];
        let mut state = self.state();
        state.sweep(now);
        let passed = match state.booked.get(record) {
            Some(booking) if booking.at > now => return Err(booking.at - now),
            Some(booking) => booking.passed,
            None => 0,
        };
        for (place, line) in lines.iter().enumerate().skip(passed) {
            let at = state.reserve(line, now);
            if at > now {
                return Err(state.book(record, at, place + 1, now));
            }
        }
        if lines.iter().any(|line| state.busy.get(line) >= Some(&MOST)) {
            let [of_namespace, _] = &lines;
            let at = state.reserve(of_namespace, now).max(now + AGAIN);
            return Err(state.book(record, at, lines.len(), now));
        }
        state.booked.remove(record);
        for line in &lines {
            *state.busy.entry(line.clone()).or_default() += 1;
        }
        Ok(Turn { pace: self, lines })
    }

    /// Whether `record` may be deleted now; else how long to wait before asking again.
    pub(super) fn deletion(&self, record: &ObjectKey) -> Result<(), Duration> {
        let now = Instant::now();
        let mut state = self.state();
        state.sweep(now);
        match state.booked.get(record) {
            Some(booking) if booking.at > now => return Err(booking.at - now),
            Some(_) => {}
            None => {
                let at = state.reserve(&Line::Deletions, now);
                if at > now {
                    return Err(state.book(record, at, 0, now));
                }
            }
        }
        state.booked.remove(record);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The next time in `line`.
    fn reserve(&mut self, line: &Line, now: Instant) -> Instant {
        let settled = self.settled.entry(line.clone()).or_insert(now);
        let at = (*settled).max(now);
        *settled = at + line.pause();
        // So far the line may run ahead of its pace.
        at.checked_sub(line.pause() * (BURST - 1))
            .map_or(now, |at| at.max(now))
    }

    fn book(&mut self, record: &ObjectKey, at: Instant, passed: usize, now: Instant) -> Duration {
        self.booked.insert(record.clone(), Booking { at, passed });
        at - now
    }

    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| swept + FORGOTTEN > now) {
            return;
        }
        self.swept = Some(now);
        self.settled.retain(|_, at| *at > now);
        self.booked
            .retain(|_, booking| booking.at + FORGOTTEN > now);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.pace.state();
        for line in &self.lines {
            if let Some(number) = state.busy.get_mut(line) {
                *number -= 1;
                if *number == 0 {
                    state.busy.remove(line);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The turns of records, by number, for a namespace at a CA.
    struct Asking {
        pace: Pace,
    }

    impl Asking {
        fn ask(&self, namespace: &str, number: u32, server: &str) -> Result<Turn<'_>, Duration> {
            let record = ObjectKey::new("certwright", format!("{namespace}-{number}"));
            self.pace.turn(&record, &namespace.into(), server)
        }

        /// Whether it was done at once, or how long it is to wait.
        fn wait(&self, namespace: &str, number: u32, server: &str) -> Duration {
            self.ask(namespace, number, server)
                .err()
                .unwrap_or_default()
        }
    }

    fn asking() -> Asking {
        Asking {
            pace: Pace::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_at_once_are_spread_and_each_comes_back_once() {
        let asking = asking();
        for number in 0..BURST {
            assert_eq!(asking.wait("web", number, "a"), Duration::ZERO);
        }
        let waits: Vec<_> = (0..1000)
            .map(|number| asking.wait("web", BURST + number, "a"))
            .collect();
        let spread: Vec<_> = (1..=1000).map(|number| PAUSE * number).collect();
        assert_eq!(waits, spread, "each has a time of its own");
        // Woken before, it is told the same, and nobody loses a place.
        assert_eq!(asking.wait("web", BURST + 1, "a"), PAUSE * 2);
        for number in 0..1000 {
            tokio::time::advance(PAUSE).await;
            assert_eq!(asking.wait("web", BURST + number, "a"), Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_namespace_stands_before_nobody_else() {
        let asking = asking();
        for number in 0..1000 {
            asking.wait("web", number, "a");
        }
        // The CA is at its limit, but for the next.
        assert_eq!(asking.wait("other", 0, "a"), PAUSE);
        assert_eq!(asking.wait("other", 1, "b"), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn few_are_under_way_for_a_namespace_or_at_a_ca() {
        let asking = asking();
        let mut held: Vec<_> = (0..2)
            .map(|number| {
                asking
                    .ask("evil", number, &format!("slow-{number}"))
                    .unwrap()
            })
            .collect();
        // However many servers it names.
        assert_eq!(asking.wait("evil", 2, "slow-2"), AGAIN);
        assert_eq!(asking.wait("web", 0, "a"), Duration::ZERO);
        held.push(asking.ask("one", 0, "slow").unwrap());
        held.push(asking.ask("two", 0, "slow").unwrap());
        assert_eq!(asking.wait("three", 0, "slow"), AGAIN);
        held.clear();
        // Its turn comes when it was told.
        assert_eq!(asking.wait("three", 0, "slow"), AGAIN);
        tokio::time::advance(AGAIN).await;
        assert_eq!(asking.wait("three", 0, "slow"), Duration::ZERO);
        assert!(asking.pace.state().busy.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn records_are_deleted_one_after_the_other() {
        let pace = Pace::default();
        let wait = |number: u32| {
            let record = ObjectKey::new("certwright", number.to_string());
            pace.deletion(&record).err().unwrap_or_default()
        };
        let waits: Vec<_> = (0..BURST + 2).map(wait).collect();
        let mut want = vec![Duration::ZERO; 20];
        want.extend([BETWEEN_DELETIONS, BETWEEN_DELETIONS * 2]);
        assert_eq!(waits, want);
        tokio::time::advance(BETWEEN_DELETIONS).await;
        assert_eq!(wait(BURST), Duration::ZERO);
        assert_eq!(wait(BURST + 1), BETWEEN_DELETIONS);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_over_is_forgotten() {
        let asking = asking();
        for number in 0..100 {
            asking.wait("web", number, "a");
        }
        tokio::time::advance(FORGOTTEN * 2).await;
        asking.wait("other", 0, "b");
        let state = asking.pace.state();
        assert_eq!((state.settled.len(), state.booked.len()), (2, 0));
    }
}
