//! Did another program lead since one of ours did, and is it known what went meanwhile?
//!
//! cert-manager takes the same Lease. Whoever takes it adds one to `leaseTransitions`, and keeps its
//! annotations: by the number that ours note beside it, one of ours is told from anybody else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::Instant;

/// Annotation of the Lease: its `leaseTransitions` when one of ours took it last.
pub const NOTED: &str = "certwright.io/transitions";
/// Annotation of the Lease: another program led before, and not everything that went meanwhile is
/// written down yet. Value `true`.
pub const UNSETTLED: &str = "certwright.io/unsettled";

/// Who led before, as far as the Lease tells. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Succession {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether there is no Lease to go by, and nobody else.
    is_alone: bool,
    /// Ours lead, one after the other.
    ours: Option<Reign>,
    is_unsettled: bool,
    is_settled: bool,
}

/// A time in which ours have led without a break, as far as this process saw.
#[derive(Clone, Copy, Debug)]
struct Reign {
    since: Instant,
    transitions: i32,
}

impl Succession {
    /// Of a process that is the only one: nobody else ever leads.
    pub fn alone() -> Self {
        let state = State {
            is_alone: true,
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Whether another program led before this process, and what went meanwhile is not all written
    /// down.
    pub fn is_unsettled(&self) -> bool {
        self.state().is_unsettled
    }

    /// Everything that went is written down. The Lease says so from its next renewal on.
    pub fn settle(&self) {
        let mut state = self.state();
        state.is_unsettled = false;
        state.is_settled = true;
    }

    /// Whether one of ours led at that moment, as far as this process saw.
    pub fn covers(&self, moment: Instant) -> bool {
        let state = self.state();
        state.is_alone || state.ours.is_some_and(|reign| reign.since <= moment)
    }

    /// A candidate has read this.
    pub(super) fn look(&self, lease: Option<&Lease>, now: Instant) {
        let mut state = self.state();
        let before = state.ours.take();
        state.ours = lease.filter(|lease| is_ours(lease)).map(|lease| {
            let transitions = transitions(lease);
            let unbroken = before.filter(|before| {
                // Of more than one, somebody else may have been one.
                (0..=1).contains(&transitions.saturating_sub(before.transitions))
            });
            Reign {
                since: unbroken.map_or(now, |reign| reign.since),
                transitions,
            }
        });
    }

    /// Note on `lease`, about to be written in the place of `before`, who is behind it.
    pub(super) fn sign(&self, before: Option<&Lease>, lease: &mut Lease, is_leading: bool) {
        let mut state = self.state();
        // One that was lost under this process is made anew by it; else nothing is known.
        let was_ours = before.map_or(is_leading, is_ours);
        if !was_ours {
            state.ours = None;
            state.is_settled = false;
        }
        let was_unsettled = state.is_unsettled || before.is_some_and(is_unsettled);
        let is_unsettled = !was_ours || (was_unsettled && !state.is_settled);
        let transitions = transitions(lease).to_string();
        let annotations = lease.metadata.annotations.get_or_insert_default();
        annotations.insert(NOTED.to_owned(), transitions);
        if is_unsettled {
            annotations.insert(UNSETTLED.to_owned(), "true".to_owned());
        } else {
            annotations.remove(UNSETTLED);
        }
    }

    /// What was signed, by a write that was begun at `began`, is stored.
    pub(super) fn took(&self, lease: &Lease, began: Instant) {
        let mut state = self.state();
        state.is_unsettled = is_unsettled(lease) && !state.is_settled;
        state.ours = Some(Reign {
            since: state.ours.map_or(began, |reign| reign.since),
            transitions: transitions(lease),
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether one of ours was the last to take it.
fn is_ours(lease: &Lease) -> bool {
    annotation(lease, NOTED) == Some(&transitions(lease).to_string())
}

fn is_unsettled(lease: &Lease) -> bool {
    annotation(lease, UNSETTLED).is_some()
}

fn transitions(lease: &Lease) -> i32 {
    let spec = lease.spec.as_ref();
    spec.and_then(|spec| spec.lease_transitions)
        .unwrap_or_default()
}

fn annotation<'a>(lease: &'a Lease, name: &str) -> Option<&'a str> {
    let annotations = lease.metadata.annotations.as_ref()?;
    annotations.get(name).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Taken for the n-th time, by one of ours or by somebody who keeps what stands.
    fn taken(before: Option<&Lease>) -> Lease {
        let mut lease = before.cloned().unwrap_or_default();
        let number = before.map_or(0, |before| transitions(before) + 1);
        lease.spec.get_or_insert_default().lease_transitions = Some(number);
        lease
    }

    /// A process of ours takes it, after it has looked.
    fn lead(before: Option<&Lease>) -> (Succession, Lease) {
        let succession = Succession::default();
        let now = Instant::now();
        succession.look(before, now);
        let mut lease = taken(before);
        succession.sign(before, &mut lease, false);
        succession.took(&lease, now);
        (succession, lease)
    }

    /// It renews it.
    fn renew(succession: &Succession, lease: &Lease) -> Lease {
        let mut renewed = lease.clone();
        succession.sign(Some(lease), &mut renewed, true);
        succession.took(&renewed, Instant::now());
        renewed
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_in_between_is_known_until_all_is_settled() {
        let (first, lease) = lead(None);
        assert!(first.is_unsettled(), "nobody knows who led before");
        // Ended too early: the next one has to see to it.
        let (second, lease) = lead(Some(&lease));
        assert!(second.is_unsettled());
        second.settle();
        assert!(!second.is_unsettled());
        let lease = renew(&second, &lease);
        let (third, lease) = lead(Some(&lease));
        assert!(!third.is_unsettled(), "all of ours");
        let lease = renew(&third, &lease);
        assert!(!third.is_unsettled());

        let stranger = taken(Some(&lease));
        let (fourth, lease) = lead(Some(&stranger));
        assert!(fourth.is_unsettled(), "somebody else led");
        let lease = renew(&fourth, &lease);
        assert!(fourth.is_unsettled(), "a renewal settles nothing");
        fourth.settle();
        let lease = renew(&fourth, &lease);
        assert!(!fourth.is_unsettled() && !is_unsettled(&lease));
        // Twice in a row.
        let stranger = taken(Some(&taken(Some(&lease))));
        assert!(lead(Some(&stranger)).0.is_unsettled());

        // Deleted under the one that leads, which makes it anew; or taken from it and emptied.
        let mut anew = taken(None);
        fourth.sign(None, &mut anew, true);
        fourth.took(&anew, Instant::now());
        assert!(!fourth.is_unsettled());
        let emptied = taken(Some(&anew));
        let mut back = taken(Some(&emptied));
        fourth.sign(Some(&emptied), &mut back, true);
        fourth.took(&back, Instant::now());
        assert!(fourth.is_unsettled());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_while_ours_led_counts() {
        let pass = || tokio::time::advance(Duration::from_secs(9));
        assert!(Succession::alone().covers(Instant::now()));
        let waiting = Succession::default();
        let early = Instant::now();
        assert!(!waiting.covers(early));
        pass().await;
        let (leader, lease) = lead(None);
        waiting.look(Some(&lease), Instant::now());
        let under_ours = Instant::now();
        pass().await;
        let (_, lease) = lead(Some(&lease));
        waiting.look(Some(&lease), Instant::now());
        for succession in [&waiting, &leader] {
            assert!(!succession.covers(early) && succession.covers(under_ours));
        }
        // A stranger leads; this process comes after it.
        let stranger = taken(Some(&lease));
        waiting.look(Some(&stranger), Instant::now());
        let under_stranger = Instant::now();
        assert!(!waiting.covers(under_stranger));
        pass().await;
        let mut lease = taken(Some(&stranger));
        waiting.sign(Some(&stranger), &mut lease, false);
        waiting.took(&lease, Instant::now());
        assert!(!waiting.covers(under_ours) && !waiting.covers(under_stranger));
        assert!(waiting.covers(Instant::now()));
        // Two hands since the last look: one of them may have been a stranger's.
        let (_, lease) = lead(Some(&taken(Some(&lease))));
        pass().await;
        let before = Instant::now();
        pass().await;
        waiting.look(Some(&lease), Instant::now());
        assert!(!waiting.covers(before));
    }
}
