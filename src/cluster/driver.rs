//! When and how often an object is reconciled, and what its outcome leads to.

use std::{
    collections::HashMap,
    fmt::Display,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::ObjectReference;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, debug, error, info_span, warn};

use crate::cluster::{key::ObjectKey, queue::Queue};

/// One kind's reconcile: gather the facts, plan, act.
pub trait Reconciler: Send + Sync + 'static {
    /// The controller's name, as users of cert-manager's metrics know it.
    const NAME: &'static str;

    /// What can go wrong.
    type Error: ReconcileError;

    /// Bring the object of that name one step nearer to what its spec asks. Never sleeps: says
    /// when to come back. An object that is gone is not an error.
    fn reconcile(&self, key: &ObjectKey) -> impl Future<Output = Result<Next, Self::Error>> + Send;

    /// How events refer to the object; `None` when it is gone.
    fn reference(&self, key: &ObjectKey) -> Option<ObjectReference>;
}

/// When to look at an object again without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// After this long at the latest.
    After(Duration),
    /// When it, or what it waits for, changes.
    Change,
}

impl Next {
    /// Whichever comes first.
    pub fn sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::After(a), Self::After(b)) => Self::After(a.min(b)),
            (Self::After(a), Self::Change) | (Self::Change, Self::After(a)) => Self::After(a),
            (Self::Change, Self::Change) => Self::Change,
        }
    }
}

/// An error that knows how to go on.
pub trait ReconcileError: std::error::Error + Send + Sync + 'static {
    /// How to go on.
    fn class(&self) -> Class;

    /// The reason of the warning event that tells the user, if this is one to tell.
    fn reason(&self) -> Option<&'static str>;
}

/// What an error means for the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Somebody else wrote first: look again at once, quietly.
    Conflict,
    /// May pass by itself: try again with growing delay.
    Transient,
    /// The other side named the time: try again then.
    RateLimited(Duration),
    /// The API server refuses. A right or a quota is missing, and nothing tells us when it comes; or
    /// the API server has only just started and does not know the rights yet: try again with growing
    /// delay, in the end as seldom as what is misconfigured.
    Refused,
    /// Somebody must change something. The change wakes us; look now and then all the same.
    Misconfigured,
    /// Trying again cannot help; only a change of the object can.
    Permanent,
}

/// Growing delays between failed tries of one object.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// At the most.
    pub most: Duration,
}

impl Backoff {
    /// The delay after the `failures`-th failure in a row, counted from one.
    pub fn delay(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        self.first.saturating_mul(1 << doublings).min(self.most)
    }
}

/// What the driver tells others about a finished reconcile.
pub trait Observer: Send + Sync {
    /// A reconcile of `controller` ended. `failed` does not count conflicts.
    fn reconciled(&self, controller: &'static str, failed: bool, took: Duration);

    /// How many objects of `controller` are in back-off now.
    fn backing_off(&self, controller: &'static str, objects: usize);

    /// Warn the user on the object.
    fn warn(&self, object: ObjectReference, reason: &'static str, message: String);
}

/// Takes due objects from a queue and has them reconciled.
pub struct Driver<R: Reconciler> {
    reconciler: Arc<R>,
    queue: Queue,
    observer: Arc<dyn Observer>,
    options: Options,
    failures: Arc<Mutex<HashMap<ObjectKey, Failures>>>,
}

/// How a driver drives.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Reconciles at the same time.
    pub workers: usize,
    /// The longest a reconcile may take.
    pub timeout: Duration,
    /// Delays after transient errors.
    pub backoff: Backoff,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: 10,
            timeout: Duration::from_secs(60),
            backoff: Backoff {
                first: Duration::from_millis(500),
                most: Duration::from_secs(30),
            },
        }
    }
}

#[derive(Default)]
struct Failures {
    in_a_row: u32,
    last_warning: String,
}

/// How often a misconfigured object is looked at although nothing it names has changed.
const RECHECK: Duration = Duration::from_secs(300);

impl<R: Reconciler> Driver<R> {
    /// A driver of `reconciler` for what `queue` names.
    pub fn new(
        reconciler: Arc<R>,
        queue: Queue,
        observer: Arc<dyn Observer>,
        options: Options,
    ) -> Self {
        Self {
            reconciler,
            queue,
            observer,
            options,
            failures: Arc::default(),
        }
    }

    /// Work until `stop`; then let what is under way finish.
    pub async fn run(self, stop: CancellationToken) {
        let workers = Arc::new(Semaphore::new(self.options.workers));
        let tasks = TaskTracker::new();
        let this = Arc::new(self);
        loop {
            let next = async {
                let worker = Arc::clone(&workers).acquire_owned().await;
                (worker, this.queue.next().await)
            };
            let (worker, key) = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                next = next => next,
            };
            let this = Arc::clone(&this);
            tasks.spawn(async move {
                this.handle(key).await;
                drop(worker);
            });
        }
        tasks.close();
        tasks.wait().await;
    }

    async fn handle(&self, key: ObjectKey) {
        let span = info_span!("reconcile", controller = R::NAME, object = %key);
        let started = Instant::now();
        // A task of its own, so that a panic costs one try of one object and nothing else.
        let attempt = tokio::spawn({
            let reconciler = Arc::clone(&self.reconciler);
            let limit = self.options.timeout;
            let key = key.clone();
            async move { timeout(limit, reconciler.reconcile(&key)).await }.instrument(span.clone())
        });
        let outcome = match attempt.await {
            Ok(Ok(Ok(next))) => Ok(next),
            Ok(Ok(Err(error))) => Err(Failure::of(&error)),
            Ok(Err(_)) => Err(Failure::internal(format_args!(
                "reconcile took longer than {} s",
                self.options.timeout.as_secs()
            ))),
            Err(panic) => Err(Failure::internal(panic)),
        };
        let failed = matches!(&outcome, Err(failure) if failure.class != Class::Conflict);
        self.observer.reconciled(R::NAME, failed, started.elapsed());
        let next = span.in_scope(|| self.settle(&key, outcome));
        self.queue.done(&key);
        if let Next::After(delay) = next {
            self.queue.add_after(key, delay);
        }
    }

    /// Remember, tell, and decide when to come back.
    fn settle(&self, key: &ObjectKey, outcome: Result<Next, Failure>) -> Next {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let failure = match outcome {
            Ok(next) => {
                if failures.remove(key).is_some() {
                    self.observer.backing_off(R::NAME, failures.len());
                }
                return next;
            }
            Err(failure) => failure,
        };
        if failure.class == Class::Conflict {
            debug!(error = failure.message, "conflict, looking again");
            return Next::After(Duration::from_millis(50));
        }
        let known = failures.entry(key.clone()).or_default();
        known.in_a_row += 1;
        let next = match failure.class {
            Class::Conflict => Next::After(Duration::ZERO),
            Class::Transient => Next::After(self.options.backoff.delay(known.in_a_row)),
            Class::RateLimited(delay) => Next::After(delay),
            Class::Refused => {
                let backoff = Backoff {
                    most: RECHECK,
                    ..self.options.backoff
                };
                Next::After(backoff.delay(known.in_a_row))
            }
            Class::Misconfigured => Next::After(RECHECK),
            Class::Permanent => Next::Change,
        };
        if failure.internal {
            error!(
                error = failure.message,
                tries = known.in_a_row,
                "reconcile failed"
            );
        } else {
            warn!(
                error = failure.message,
                tries = known.in_a_row,
                "reconcile failed"
            );
        }
        if let Some(reason) = failure.reason
            && known.last_warning != failure.message
            && let Some(object) = self.reconciler.reference(key)
        {
            known.last_warning.clone_from(&failure.message);
            self.observer.warn(object, reason, failure.message);
        }
        self.observer.backing_off(R::NAME, failures.len());
        next
    }
}

struct Failure {
    class: Class,
    reason: Option<&'static str>,
    message: String,
    internal: bool,
}

impl Failure {
    fn of(error: &impl ReconcileError) -> Self {
        Self {
            class: error.class(),
            reason: error.reason(),
            message: chain(error),
            internal: false,
        }
    }

    fn internal(message: impl Display) -> Self {
        Self {
            class: Class::Transient,
            reason: None,
            message: message.to_string(),
            internal: true,
        }
    }
}

/// The error and its causes in one line; a cause that its effect already tells is not repeated.
fn chain(error: &impl ReconcileError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::mpsc;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("get Secret ns/a: {0}")]
    struct Oops(&'static str, #[source] Option<Box<Self>>);

    impl ReconcileError for Oops {
        fn class(&self) -> Class {
            match self.0 {
                "busy" => Class::RateLimited(Duration::from_secs(77)),
                "conflict" => Class::Conflict,
                "forbidden" => Class::Refused,
                _ => Class::Transient,
            }
        }

        fn reason(&self) -> Option<&'static str> {
            Some("Oops")
        }
    }

    struct Script {
        steps: Vec<Result<Next, &'static str>>,
        at: AtomicUsize,
        seen: mpsc::UnboundedSender<Instant>,
    }

    impl Reconciler for Script {
        const NAME: &'static str = "script";
        type Error = Oops;

        async fn reconcile(&self, _: &ObjectKey) -> Result<Next, Oops> {
            let step = self.at.fetch_add(1, Ordering::SeqCst);
            self.seen.send(Instant::now()).unwrap();
            match self.steps[step.min(self.steps.len() - 1)] {
                Ok(next) => Ok(next),
                Err("panic") => panic!("as asked"),
                Err("hang") => std::future::pending().await,
                Err(text) => Err(Oops(text, None)),
            }
        }

        fn reference(&self, key: &ObjectKey) -> Option<ObjectReference> {
            Some(ObjectReference {
                name: Some(key.name.to_string()),
                ..Default::default()
            })
        }
    }

    #[derive(Default)]
    struct Notes {
        warnings: Mutex<Vec<String>>,
        failed: AtomicUsize,
    }

    impl Observer for Notes {
        fn reconciled(&self, _: &'static str, failed: bool, _: Duration) {
            self.failed.fetch_add(usize::from(failed), Ordering::SeqCst);
        }

        fn backing_off(&self, _: &'static str, _: usize) {}

        fn warn(&self, _: ObjectReference, _: &'static str, message: String) {
            self.warnings.lock().unwrap().push(message);
        }
    }

    /// The gaps in seconds between the first `tries` tries, and what was noted.
    async fn gaps(steps: Vec<Result<Next, &'static str>>, tries: usize) -> (Vec<u64>, Arc<Notes>) {
        let (seen, mut tried) = mpsc::unbounded_channel();
        let notes = Arc::new(Notes::default());
        let queue = Queue::default();
        queue.add(ObjectKey::new("ns", "a"));
        let options = Options {
            backoff: Backoff {
                first: Duration::from_secs(1),
                most: Duration::from_secs(4),
            },
            ..Options::default()
        };
        let script = Script {
            steps,
            at: AtomicUsize::new(0),
            seen,
        };
        let driver = Driver::new(Arc::new(script), queue, Arc::clone(&notes) as _, options);
        let stop = CancellationToken::new();
        let running = tokio::spawn(driver.run(stop.clone()));
        let mut times = Vec::new();
        for _ in 0..tries {
            times.push(tried.recv().await.unwrap());
        }
        stop.cancel();
        running.await.unwrap();
        (
            times
                .windows(2)
                .map(|pair| (pair[1] - pair[0]).as_secs())
                .collect(),
            notes,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn transient_errors_back_off_and_warn_once() {
        let (gaps, notes) = gaps(vec![Err("down")], 5).await;
        assert_eq!(gaps, [1, 2, 4, 4]);
        assert_eq!(*notes.warnings.lock().unwrap(), ["get Secret ns/a: down"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_met_again_soon_at_first_and_seldom_in_the_end() {
        let (gaps, notes) = gaps(vec![Err("forbidden")], 12).await;
        assert_eq!(gaps, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(notes.warnings.lock().unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn success_starts_the_back_off_again() {
        let again = Ok(Next::After(Duration::from_secs(9)));
        let (gaps, _) = gaps(vec![Err("down"), Err("down"), again, Err("down"), again], 5).await;
        assert_eq!(gaps, [1, 2, 9, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_limit_is_obeyed_and_a_conflict_is_quiet() {
        let (gaps, notes) = gaps(vec![Err("conflict"), Err("busy"), Ok(Next::Change)], 3).await;
        assert_eq!(gaps, [0, 77]);
        assert_eq!(notes.failed.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_and_a_hang_are_failed_tries() {
        let (gaps, notes) = gaps(vec![Err("panic"), Err("hang"), Ok(Next::Change)], 3).await;
        assert_eq!(gaps, [1, 60 + 2]);
        assert_eq!(notes.failed.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn causes_are_told_once() {
        let told = Oops("no route", Some(Box::new(Oops("no route", None))));
        assert_eq!(chain(&told), "get Secret ns/a: no route");
        let cause = Oops("no route", Some(Box::new(Oops("timed out", None))));
        assert_eq!(
            chain(&cause),
            "get Secret ns/a: no route: get Secret ns/a: timed out"
        );
    }
}
