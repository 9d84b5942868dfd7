//! What users are told in events, sent beside the work and never in its way.
//!
//! A reconcile puts a note into a bounded queue and goes on; what does not fit is dropped and
//! counted. Repeats are counted up in one event, and no object gets more than a trickle.

mod book;
mod event;

use std::{borrow::Cow, collections::VecDeque, time::Duration};

use k8s_openapi::api::{core::v1::ObjectReference, events::v1};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use self::book::{Act, Book, Count, SeriesKey};
use crate::cluster::{
    clock::Clock,
    metrics::{EventOutcome, Metrics},
};

pub use event::Event;

/// Notes that may wait.
const QUEUE: usize = 1024;

/// Requests under way at the same time.
const AT_ONCE: usize = 4;

/// The longest that one request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// How long what waits may still be sent once the process stops.
const GRACE: Duration = Duration::from_secs(2);

/// How often counts of repeats are written.
const FLUSH: Duration = Duration::from_secs(30);

/// Whether an event is good news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// It is.
    Normal,
    /// Somebody should look.
    Warning,
}

impl EventType {
    fn text(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Takes notes for users; cheap to clone.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<Note>,
    metrics: Metrics,
}

/// What a user is told about an object.
#[derive(Clone, Debug)]
struct Note {
    regarding: ObjectReference,
    kind: EventType,
    reason: Cow<'static, str>,
    text: String,
}

impl Events {
    /// A handle to take notes with, and the task that sends them through `client` in the name of
    /// `instance` (the host of this process).
    pub fn new(
        client: Client,
        clock: Clock,
        metrics: Metrics,
        instance: impl Into<String>,
    ) -> (Self, Recorder) {
        let (queue, notes) = mpsc::channel(QUEUE);
        let recorder = Recorder {
            client,
            clock,
            notes,
            book: Book::new(instance.into()),
            waiting: VecDeque::new(),
            sending: JoinSet::new(),
            metrics: metrics.clone(),
        };
        (Self { queue, metrics }, recorder)
    }

    /// Tell the users of `regarding`: `reason` is one CamelCase word, `note` a sentence of which
    /// 1,024 bytes are kept. Never waits.
    pub fn publish(
        &self,
        regarding: ObjectReference,
        kind: EventType,
        reason: impl Into<Cow<'static, str>>,
        note: impl Into<String>,
    ) {
        let note = Note {
            regarding,
            kind,
            reason: reason.into(),
            text: note.into(),
        };
        if self.queue.try_send(note).is_err() {
            self.metrics.events(EventOutcome::Dropped).inc();
        }
    }

    /// Tell the users of `regarding` of `event`, as [`Events::publish`] does.
    pub fn tell(&self, regarding: ObjectReference, event: Event) {
        let Event {
            kind,
            reason,
            message,
        } = event;
        self.publish(regarding, kind, reason, message);
    }
}

/// Sends what was noted.
pub struct Recorder {
    client: Client,
    clock: Clock,
    notes: mpsc::Receiver<Note>,
    book: Book,
    /// Decided and not yet under way.
    waiting: VecDeque<Request>,
    sending: JoinSet<(Option<SeriesKey>, EventOutcome)>,
    metrics: Metrics,
}

impl Recorder {
    /// Send until `stop`, then what is in the queue and the counts, as far as it goes in two seconds.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut flush = interval(FLUSH);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.send_what_fits();
            let is_idle = self.waiting.is_empty();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(sent) = self.sending.join_next() => self.settle(sent),
                note = self.notes.recv(), if is_idle => match note {
                    Some(note) => self.take(&note),
                    None => break,
                },
                _ = flush.tick(), if is_idle => self.flush(),
            }
        }
        self.notes.close();
        while let Ok(note) = self.notes.try_recv() {
            self.take(&note);
        }
        let rest = async {
            self.finish().await;
            self.flush();
            self.finish().await;
        };
        if timeout(GRACE, rest).await.is_err() {
            debug!("events left unsent at stop");
        }
    }

    fn take(&mut self, note: &Note) {
        match self.book.record(note, self.clock.now()) {
            Act::Create(series, event) => {
                self.waiting.push_back(Request::Create(series, event));
            }
            Act::Wait => {}
            Act::Drop => self.metrics.events(EventOutcome::Dropped).inc(),
        }
    }

    fn flush(&mut self) {
        let counts = self.book.flush(self.clock.now());
        self.waiting.extend(counts.into_iter().map(Request::Count));
    }

    /// Send what waits, to the last answer.
    async fn finish(&mut self) {
        self.send_what_fits();
        while let Some(sent) = self.sending.join_next().await {
            self.settle(sent);
            self.send_what_fits();
        }
    }

    fn send_what_fits(&mut self) {
        while self.sending.len() < AT_ONCE {
            let Some(request) = self.waiting.pop_front() else {
                return;
            };
            let client = self.client.clone();
            let series = request.creates();
            self.sending.spawn(async move {
                let outcome = match timeout(REQUEST_LIMIT, request.send(client)).await {
                    Ok(Ok(outcome)) => outcome,
                    Ok(Err(error)) => {
                        debug!(%error, "event not written");
                        EventOutcome::Failed
                    }
                    Err(_) => {
                        debug!("event not written in time");
                        EventOutcome::Failed
                    }
                };
                (series, outcome)
            });
        }
    }

    fn settle(&mut self, sent: Result<(Option<SeriesKey>, EventOutcome), JoinError>) {
        let (series, outcome) = sent.unwrap_or((None, EventOutcome::Failed));
        if let Some(series) = series {
            self.book.settle(series, outcome == EventOutcome::Sent);
        }
        self.metrics.events(outcome).inc();
    }
}

enum Request {
    Create(SeriesKey, Box<v1::Event>),
    Count(Count),
}

impl Request {
    fn creates(&self) -> Option<SeriesKey> {
        match self {
            Self::Create(series, _) => Some(*series),
            Self::Count(_) => None,
        }
    }

    async fn send(self, client: Client) -> kube::Result<EventOutcome> {
        match self {
            Self::Create(_, event) => {
                let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
                let api = Api::<v1::Event>::namespaced(client, namespace);
                api.create(&PostParams::default(), &event).await?;
                Ok(EventOutcome::Sent)
            }
            Self::Count(count) => {
                let api = Api::<v1::Event>::namespaced(client, &count.namespace);
                let patch = Patch::Merge(count.patch());
                api.patch(&count.name, &PatchParams::default(), &patch)
                    .await?;
                Ok(EventOutcome::Aggregated)
            }
        }
    }
}
