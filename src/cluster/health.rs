//! Is this process alive, and is it ready? Answered over HTTP with the names of what is missing.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::get,
};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::cluster::{clock::Clock, leader::Leadership};

/// The most that the wall clock may move against the monotonic one: beyond it, what was computed
/// from it (deadlines, renewal times) cannot be trusted.
const MAX_SKEW: Duration = Duration::from_secs(300);

/// What has to happen before this process is ready; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    state: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    gates: BTreeMap<String, Option<String>>,
    warnings: BTreeMap<String, String>,
}

/// One thing that readiness waits for; closed until opened.
#[derive(Clone, Debug)]
pub struct Gate {
    name: String,
    readiness: Readiness,
}

/// What is missing for readiness, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Name of each closed gate and what it waits for.
    pub waiting: Vec<(String, String)>,
    /// What does not hinder readiness but should be looked at.
    pub warnings: Vec<String>,
}

impl Readiness {
    /// Wait for `name` (`cache of Certificates`), which now lacks `what` (`first list`).
    pub fn gate(&self, name: impl Into<String>, what: impl Into<String>) -> Gate {
        let gate = Gate {
            name: name.into(),
            readiness: self.clone(),
        };
        gate.close(what);
        gate
    }

    /// Show `text` beside the answer until it is replaced or [cleared](Self::clear).
    pub fn warn(&self, topic: &str, text: impl Into<String>) {
        self.lock().warnings.insert(topic.to_owned(), text.into());
    }

    /// The warning on `topic` no longer holds.
    pub fn clear(&self, topic: &str) {
        self.lock().warnings.remove(topic);
    }

    /// What is missing now.
    pub fn report(&self) -> Report {
        let state = self.lock();
        let closed = |(name, what): (&String, &Option<String>)| Some((name.clone(), what.clone()?));
        Report {
            waiting: state.gates.iter().filter_map(closed).collect(),
            warnings: state.warnings.values().cloned().collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    /// What was waited for is there.
    pub fn open(&self) {
        self.readiness.lock().gates.insert(self.name.clone(), None);
    }

    /// It is missing: `what` says so in a few words.
    pub fn close(&self, what: impl Into<String>) {
        let what = Some(what.into());
        self.readiness.lock().gates.insert(self.name.clone(), what);
    }
}

impl Report {
    /// Whether nothing is missing.
    pub fn is_ready(&self) -> bool {
        self.waiting.is_empty()
    }

    /// One line each, for a person.
    pub fn text(&self) -> String {
        let mut text = String::from(if self.is_ready() {
            "ready\n"
        } else {
            "not ready, waiting for:\n"
        });
        for (name, what) in &self.waiting {
            let _ = writeln!(text, "- {name}: {what}");
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        text
    }
}

/// The checks behind `/livez`: each fails only where a restart helps.
#[derive(Clone, Debug)]
pub struct Liveness {
    leadership: Leadership,
    /// How long after the end of leadership the process may still be about to stop.
    leader_timeout: Duration,
    clock: Clock,
    started: (Timestamp, Instant),
}

const CHECKS: [&str; 2] = ["leaderElection", "clockHealth"];

impl Liveness {
    /// Watch over `leadership`, whose end must stop the process within `leader_timeout`, and over
    /// the wall clock from now on.
    pub fn new(leadership: Leadership, leader_timeout: Duration, clock: Clock) -> Self {
        let started = (clock.now(), Instant::now());
        Self {
            leadership,
            leader_timeout,
            clock,
            started,
        }
    }

    fn check(&self, name: &str) -> Option<Result<(), String>> {
        match name {
            "leaderElection" => Some(self.leader_election()),
            "clockHealth" => {
                let (wall, monotonic) = self.started;
                let skew = skew(self.clock.now().duration_since(wall), monotonic.elapsed());
                Some(clock_health(skew))
            }
            _ => None,
        }
    }

    fn leader_election(&self) -> Result<(), String> {
        match self.leadership.overdue() {
            Some(overdue) if overdue > self.leader_timeout => Err(format!(
                "leadership ended {} s ago and the process did not",
                overdue.as_secs()
            )),
            _ => Ok(()),
        }
    }

    fn report(&self) -> (StatusCode, String) {
        let mut text = String::new();
        let mut status = StatusCode::OK;
        for name in CHECKS {
            let _ = match self.check(name) {
                Some(Err(why)) => {
                    status = StatusCode::INTERNAL_SERVER_ERROR;
                    writeln!(text, "[-]{name} failed: {why}")
                }
                _ => writeln!(text, "[+]{name} ok"),
            };
        }
        text.push_str(if status == StatusCode::OK {
            "livez check passed\n"
        } else {
            "livez check failed\n"
        });
        (status, text)
    }
}

/// `/livez`, `/livez/<check>`, `/healthz` and `/readyz`.
pub fn router(liveness: Liveness, readiness: Readiness) -> Router {
    let live = Router::new()
        .route("/livez", get(livez))
        .route("/livez/{check}", get(livez_check))
        .route("/healthz", get(livez))
        .with_state(liveness);
    let ready = Router::new()
        .route("/readyz", get(readyz))
        .with_state(readiness);
    live.merge(ready)
}

async fn livez(State(liveness): State<Liveness>) -> (StatusCode, String) {
    liveness.report()
}

async fn livez_check(
    State(liveness): State<Liveness>,
    Path(check): Path<String>,
) -> (StatusCode, String) {
    match liveness.check(&check) {
        Some(Ok(())) => (StatusCode::OK, "ok\n".to_owned()),
        Some(Err(why)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{why}\n")),
        None => {
            let known = CHECKS.join(", ");
            (
                StatusCode::NOT_FOUND,
                format!("no such check; there are {known}\n"),
            )
        }
    }
}

async fn readyz(State(readiness): State<Readiness>) -> (StatusCode, String) {
    let report = readiness.report();
    let status = if report.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, report.text())
}

/// How far two clocks went apart while one went on by `wall` and the other by `monotonic`.
fn skew(wall: SignedDuration, monotonic: Duration) -> Duration {
    let monotonic = SignedDuration::try_from(monotonic).unwrap_or(SignedDuration::MAX);
    wall.saturating_sub(monotonic).unsigned_abs()
}

fn clock_health(skew: Duration) -> Result<(), String> {
    if skew <= MAX_SKEW {
        return Ok(());
    }
    Err(format!(
        "the wall clock moved by {} s against the monotonic one since the start",
        skew.as_secs()
    ))
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt;

    use super::*;

    fn liveness(clock: &Clock) -> Liveness {
        Liveness::new(Leadership::alone(), Duration::from_secs(20), clock.clone())
    }

    async fn ask(liveness: &Liveness, readiness: &Readiness, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let router = router(liveness.clone(), readiness.clone());
        let answer = router.oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), 4096)
            .await
            .unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_names_what_is_missing() {
        let (clock, readiness) = (Clock::default(), Readiness::default());
        let live = liveness(&clock);
        let secrets = readiness.gate("cache of Secrets", "first list");
        let orders = readiness.gate("cache of Orders", "first list");
        orders.close("the CRD is not installed");
        let (status, text) = ask(&live, &readiness, "/readyz").await;
        assert_eq!(status, 503);
        assert_eq!(
            text,
            "not ready, waiting for:\n- cache of Orders: the CRD is not installed\n\
             - cache of Secrets: first list\n"
        );
        secrets.open();
        orders.open();
        readiness.warn(
            "webhooks",
            "ValidatingWebhookConfiguration \"x\" is left over",
        );
        let (status, text) = ask(&live, &readiness, "/readyz").await;
        assert_eq!(status, 200);
        assert_eq!(
            text,
            "ready\nwarning: ValidatingWebhookConfiguration \"x\" is left over\n"
        );
        readiness.clear("webhooks");
        assert_eq!(ask(&live, &readiness, "/readyz").await.1, "ready\n");
        secrets.close("watch lost");
        assert_eq!(ask(&live, &readiness, "/readyz").await.0, 503);
    }

    #[tokio::test]
    async fn liveness_fails_when_the_wall_clock_jumps() {
        let (clock, readiness) = (Clock::default(), Readiness::default());
        let live = liveness(&clock);
        readiness.gate("anything", "not there");
        for path in [
            "/livez",
            "/healthz",
            "/livez/clockHealth",
            "/livez/leaderElection",
        ] {
            assert_eq!(ask(&live, &readiness, path).await.0, 200, "{path}");
        }
        clock.advance(290);
        assert_eq!(ask(&live, &readiness, "/livez").await.0, 200);
        clock.advance(20);
        let (status, text) = ask(&live, &readiness, "/livez").await;
        assert_eq!(status, 500);
        assert!(text.contains("[+]leaderElection ok\n[-]clockHealth failed: the wall clock moved"));
        assert_eq!(ask(&live, &readiness, "/livez/clockHealth").await.0, 500);
        assert_eq!(ask(&live, &readiness, "/livez/leaderElection").await.0, 200);
        assert_eq!(ask(&live, &readiness, "/livez/nonsense").await.0, 404);
    }

    #[test]
    fn a_clock_set_back_counts_too() {
        let hour = SignedDuration::from_hours(1);
        assert_eq!(
            skew(-hour, Duration::from_secs(60)),
            Duration::from_secs(3660)
        );
        assert_eq!(skew(hour, Duration::from_secs(3600)), Duration::ZERO);
    }
}
