//! Which note becomes an event, which is counted up in one that stands, and which is too many?

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use serde_json::{Value, json};

use super::Note;

/// `reportingController` of our events.
const CONTROLLER: &str = "certwright.io/controller";

/// Bytes of a note that the API takes.
const MAX_NOTE: usize = 1024;

/// Bytes of a reason, an action and an instance that the API takes.
const MAX_WORD: usize = 128;

/// Bytes of an object's name that go into the name of its events: 253, less the suffix.
const MAX_NAME: usize = 220;

/// Repeats that come within this time are counted up in one event.
const SERIES_ENDS: SignedDuration = SignedDuration::from_mins(6);

/// Events that an object may have at once, and how long it takes until it may have one more.
const BURST: i64 = 20;
const REFILL: SignedDuration = SignedDuration::from_secs(30);

/// Series and objects that are remembered.
const MAX_REMEMBERED: usize = 2048;

/// What is done with a note.
#[derive(Debug, PartialEq)]
pub(super) enum Act {
    Create(SeriesKey, Box<Event>),
    Drop,
    /// It is counted; the count is written by a later flush.
    Wait,
}

/// Which notes are counted together: a hash. Two notes that share one by chance are counted
/// together, which costs less than keeping their text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SeriesKey(u64);

/// The new count of an event that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) namespace: String,
    pub(super) name: String,
    count: i32,
    last: Timestamp,
}

impl Count {
    pub(super) fn patch(&self) -> Value {
        let last = MicroTime(self.last);
        json!({ "series": { "count": self.count, "lastObservedTime": last } })
    }
}

/// What was sent lately.
pub(super) struct Book {
    instance: String,
    hasher: RandomState,
    series: HashMap<SeriesKey, Series>,
    budgets: HashMap<u64, Budget>,
    last_suffix: i128,
}

struct Series {
    event: Count,
    /// Whether the event stands: before, there is nothing to write a count into.
    is_created: bool,
    is_written: bool,
}

struct Budget {
    left: i64,
    since: Timestamp,
}

impl Book {
    pub(super) fn new(instance: String) -> Self {
        Self {
            instance: cut(&instance, MAX_WORD).to_owned(),
            hasher: RandomState::new(),
            series: HashMap::new(),
            budgets: HashMap::new(),
            last_suffix: 0,
        }
    }

    /// Take `note` at `now`.
    pub(super) fn record(&mut self, note: &Note, now: Timestamp) -> Act {
        let object = identity(&note.regarding);
        let hash = self
            .hasher
            .hash_one((&object, note.kind, &note.reason, &note.text));
        let key = SeriesKey(hash);
        if let Some(series) = self.series.get_mut(&key)
            && now.duration_since(series.event.last) < SERIES_ENDS
        {
            series.event.count = series.event.count.saturating_add(1);
            series.event.last = now;
            series.is_written = false;
            return Act::Wait;
        }
        if !self.afford(self.hasher.hash_one(object), now) {
            return Act::Drop;
        }
        let event = self.event(note, now);
        self.forget_old(now);
        let event_of = |text: &Option<String>| text.clone().unwrap_or_default();
        let series = Series {
            event: Count {
                namespace: event_of(&event.metadata.namespace),
                name: event_of(&event.metadata.name),
                count: 1,
                last: now,
            },
            is_created: false,
            is_written: true,
        };
        self.series.insert(key, series);
        Act::Create(key, Box::new(event))
    }

    /// The event of a series was created, or not: then the next repeat is an event of its own.
    pub(super) fn settle(&mut self, key: SeriesKey, created: bool) {
        if !created {
            self.series.remove(&key);
        } else if let Some(series) = self.series.get_mut(&key) {
            series.is_created = true;
        }
    }

    /// The counts that have changed since they were written.
    pub(super) fn flush(&mut self, now: Timestamp) -> Vec<Count> {
        let mut counts = Vec::new();
        for series in self.series.values_mut() {
            if series.is_written || !series.is_created {
                continue;
            }
            series.is_written = true;
            counts.push(series.event.clone());
        }
        self.forget_old(now);
        counts
    }

    fn afford(&mut self, object: u64, now: Timestamp) -> bool {
        let budget = self.budgets.entry(object).or_insert(Budget {
            left: BURST,
            since: now,
        });
        let refills = now.duration_since(budget.since).as_secs() / REFILL.as_secs();
        if refills > 0 {
            budget.left = budget.left.saturating_add(refills).min(BURST);
            budget.since = now;
        }
        if budget.left <= 0 {
            return false;
        }
        budget.left -= 1;
        true
    }

    fn event(&mut self, note: &Note, now: Timestamp) -> Event {
        // Later than the last one, so that two events of one object never share a name.
        self.last_suffix = now.as_nanosecond().max(self.last_suffix + 1);
        let name = note.regarding.name.as_deref().unwrap_or("unknown");
        let namespace = note.regarding.namespace.clone();
        let reason = cut(&note.reason, MAX_WORD).to_owned();
        Event {
            action: Some(reason.clone()),
            event_time: Some(MicroTime(now)),
            metadata: ObjectMeta {
                name: Some(format!("{}.{:x}", cut(name, MAX_NAME), self.last_suffix)),
                namespace: Some(
                    namespace
                        .filter(|namespace| !namespace.is_empty())
                        .unwrap_or_else(|| "default".to_owned()),
                ),
                ..ObjectMeta::default()
            },
            note: Some(shorten(&note.text)),
            reason: Some(reason),
            regarding: Some(note.regarding.clone()),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(note.kind.text().to_owned()),
            ..Event::default()
        }
    }

    /// Let go what no longer matters; everything, where that is not enough: then some repeats
    /// become events of their own.
    fn forget_old(&mut self, now: Timestamp) {
        if self.series.len() >= MAX_REMEMBERED {
            let is_open = |series: &Series| now.duration_since(series.event.last) < SERIES_ENDS;
            self.series.retain(|_, series| is_open(series));
            if self.series.len() >= MAX_REMEMBERED {
                self.series.clear();
            }
        }
        if self.budgets.len() > MAX_REMEMBERED {
            let full = REFILL.saturating_mul(i32::try_from(BURST).unwrap_or(i32::MAX));
            self.budgets
                .retain(|_, budget| now.duration_since(budget.since) < full);
            if self.budgets.len() > MAX_REMEMBERED {
                self.budgets.clear();
            }
        }
    }
}

/// The object by its uid, or by its name where that is not known.
fn identity(object: &ObjectReference) -> (&str, &str, &str) {
    match &object.uid {
        Some(uid) => (uid, "", ""),
        None => (
            object.kind.as_deref().unwrap_or_default(),
            object.namespace.as_deref().unwrap_or_default(),
            object.name.as_deref().unwrap_or_default(),
        ),
    }
}

fn shorten(note: &str) -> String {
    const MARK: &str = "…";
    if note.len() <= MAX_NOTE {
        return note.to_owned();
    }
    format!("{}{MARK}", cut(note, MAX_NOTE - MARK.len()))
}

/// The beginning of `text`, of at most so many bytes.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests {
    use super::{super::EventType, *};

    fn note(name: &str, text: &str) -> Note {
        Note {
            regarding: ObjectReference {
                api_version: Some("cert-manager.io/v1".to_owned()),
                kind: Some("Certificate".to_owned()),
                name: Some(name.to_owned()),
                namespace: Some("shop".to_owned()),
                uid: Some(format!("uid of {name}")),
                ..ObjectReference::default()
            },
            kind: EventType::Warning,
            reason: "Failed".into(),
            text: text.to_owned(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn created(book: &mut Book, note: &Note, now: Timestamp) -> Event {
        match book.record(note, now) {
            Act::Create(series, event) => {
                book.settle(series, true);
                *event
            }
            other => panic!("want a new event, got {other:?}"),
        }
    }

    #[test]
    fn repeats_are_counted_in_one_event() {
        let mut book = Book::new("host".to_owned());
        let event = created(&mut book, &note("web", "no"), at(0));
        assert_eq!(book.flush(at(0)), []);
        assert_eq!(book.record(&note("web", "no"), at(1)), Act::Wait);
        assert_eq!(book.record(&note("web", "no"), at(300)), Act::Wait);
        let counts = book.flush(at(301));
        assert_eq!(counts.len(), 1);
        assert_eq!(Some(&counts[0].name), event.metadata.name.as_ref());
        assert_eq!(
            counts[0].patch(),
            json!({ "series": { "count": 3, "lastObservedTime": MicroTime(at(300)) } })
        );
        assert_eq!(book.flush(at(302)), []);
        // Another text, another object, or much later: another event.
        for (note, second) in [
            (note("web", "still no"), 303),
            (note("mail", "no"), 304),
            (note("web", "no"), 300 + 361),
        ] {
            let other = created(&mut book, &note, at(second));
            assert_ne!(other.metadata.name, event.metadata.name);
        }
    }

    #[test]
    fn a_count_waits_for_its_event() {
        let mut book = Book::new("host".to_owned());
        let Act::Create(series, _) = book.record(&note("web", "no"), at(0)) else {
            panic!("the first is an event");
        };
        assert_eq!(book.record(&note("web", "no"), at(1)), Act::Wait);
        assert_eq!(book.flush(at(2)), []);
        book.settle(series, true);
        assert_eq!(book.flush(at(3)).len(), 1);
        // What could not be created is tried again by the next repeat.
        let Act::Create(series, _) = book.record(&note("mail", "no"), at(4)) else {
            panic!("the first is an event");
        };
        assert_eq!(book.record(&note("mail", "no"), at(5)), Act::Wait);
        book.settle(series, false);
        created(&mut book, &note("mail", "no"), at(6));
    }

    #[test]
    fn an_object_gets_no_more_than_a_trickle() {
        let mut book = Book::new("host".to_owned());
        let mut tried = 0;
        let mut sent = |book: &mut Book, object: &str, second| {
            tried += 1;
            let act = book.record(&note(object, &format!("try {tried}")), at(second));
            matches!(act, Act::Create(..))
        };
        let first: usize = (0..40)
            .map(|_| usize::from(sent(&mut book, "web", 0)))
            .sum();
        assert_eq!(first, 20);
        assert!(sent(&mut book, "mail", 0));
        assert!(!sent(&mut book, "web", 29));
        assert!(sent(&mut book, "web", 30));
        assert!(!sent(&mut book, "web", 30));
    }

    #[test]
    fn events_fit_what_the_api_takes() {
        let mut book = Book::new("h".repeat(300));
        let long = note(&"n".repeat(253), &"ä".repeat(600));
        let event = created(&mut book, &long, at(0));
        let text = event.note.unwrap();
        assert!(text.len() <= 1024 && text.ends_with("ä…"), "{}", text.len());
        assert!(event.metadata.name.unwrap().len() <= 253);
        assert_eq!(event.reporting_instance.unwrap().len(), 128);
        let mut cluster_wide = note("le", "x");
        cluster_wide.regarding.namespace = None;
        let event = created(&mut book, &cluster_wide, at(0));
        assert_eq!(event.metadata.namespace.as_deref(), Some("default"));
        assert_eq!(event.regarding.unwrap().namespace, None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut book = Book::new("host".to_owned());
        for n in 0..3 * i64::try_from(MAX_REMEMBERED).unwrap() {
            book.record(&note(&format!("n{n}"), "x"), at(n / 100));
            assert!(book.series.len() <= MAX_REMEMBERED);
            assert!(book.budgets.len() <= MAX_REMEMBERED + 1);
        }
    }
}
