//! Do several candidates agree, also when the API server hangs, fails and forgets?

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;

/// An API server with one lease and a plan of what goes wrong.
#[derive(Clone, Default)]
struct Server {
    state: Arc<Mutex<Stored>>,
}

#[derive(Default)]
struct Stored {
    lease: Option<Value>,
    version: u64,
    requests: usize,
    /// What happens to the n-th request; to all others, nothing.
    trouble: Vec<(usize, Trouble)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    /// Answered with 500, not done.
    Fails,
    /// Done, and never answered.
    HangsDone,
    /// Not done, and never answered.
    Hangs,
}

impl Server {
    /// A client whose requests get no answer while `is_cut`.
    fn client(&self, is_cut: Arc<AtomicBool>) -> Client {
        let server = self.clone();
        let answer = move |request: Request<Body>| {
            let (server, is_cut) = (server.clone(), Arc::clone(&is_cut));
            async move {
                let method = request.method().clone();
                let body = request.into_body().collect_bytes().await?;
                let answer = match is_cut.load(Ordering::SeqCst) {
                    true => None,
                    false => server.handle(&method, &body),
                };
                let Some((status, answer)) = answer else {
                    std::future::pending::<()>().await;
                    unreachable!("it hangs");
                };
                let mut response = Response::new(Body::from(answer.to_string().into_bytes()));
                *response.status_mut() = status;
                Ok::<_, kube::Error>(response)
            }
        };
        Client::new(tower::service_fn(answer), "default")
    }

    fn handle(&self, method: &Method, body: &[u8]) -> Option<(StatusCode, Value)> {
        let mut state = self.state.lock().unwrap();
        state.requests += 1;
        let number = state.requests;
        let trouble = state.trouble.iter().find(|(at, _)| *at == number);
        let trouble = trouble.map(|(_, trouble)| *trouble);
        if trouble == Some(Trouble::Hangs) {
            return None;
        }
        if trouble == Some(Trouble::Fails) {
            return Some(status(StatusCode::INTERNAL_SERVER_ERROR));
        }
        let answer = state.serve(method, body);
        (trouble != Some(Trouble::HangsDone)).then_some(answer)
    }

    fn lease(&self) -> Option<Value> {
        self.state.lock().unwrap().lease.clone()
    }

    fn set(&self, change: impl FnOnce(&mut Stored)) {
        change(&mut self.state.lock().unwrap());
    }

    fn candidate(&self, name: &str) -> Replica {
        let second = Duration::from_secs(1);
        let election = Election {
            namespace: "ns".to_owned(),
            identity: name.to_owned(),
            timing: Timing::new(6 * second, 4 * second, second).unwrap(),
        };
        let is_cut = Arc::<AtomicBool>::default();
        let client = self.client(Arc::clone(&is_cut));
        let (leadership, elector) = election.candidate(client, Clock::default());
        let release = CancellationToken::new();
        let running = tokio::spawn(elector.run(release.clone()));
        Replica {
            leadership,
            release,
            running,
            is_cut,
        }
    }
}

impl Stored {
    fn serve(&mut self, method: &Method, body: &[u8]) -> (StatusCode, Value) {
        let sent: Value = serde_json::from_slice(body).unwrap_or_default();
        match (method, &self.lease) {
            (&Method::GET, Some(lease)) => (StatusCode::OK, lease.clone()),
            (&Method::GET | &Method::PUT, None) => status(StatusCode::NOT_FOUND),
            (&Method::POST, None) => self.store(sent),
            (&Method::PUT, Some(lease))
                if lease["metadata"]["resourceVersion"] == sent["metadata"]["resourceVersion"] =>
            {
                self.store(sent)
            }
            (&Method::POST | &Method::PUT, Some(_)) => status(StatusCode::CONFLICT),
            _ => panic!("{method} is not expected"),
        }
    }

    fn store(&mut self, mut lease: Value) -> (StatusCode, Value) {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.lease = Some(lease.clone());
        (StatusCode::OK, lease)
    }
}

fn status(code: StatusCode) -> (StatusCode, Value) {
    let reason = match code {
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "Conflict",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status",
        "status": "Failure",
        "reason": reason,
        "message": code.to_string(),
        "code": code.as_u16(),
    });
    (code, status)
}

struct Replica {
    leadership: Leadership,
    release: CancellationToken,
    running: JoinHandle<Result<(), LeaderError>>,
    is_cut: Arc<AtomicBool>,
}

async fn pass(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn never_do_two_lead_whatever_fails() {
    use Trouble::{Fails, Hangs, HangsDone};
    for offset in 0..9 {
        let server = Server::default();
        // Trouble moves along the requests, so that each kind of request meets each kind of trouble.
        server.set(|state| {
            state.trouble = (0..60)
                .map(|n| (offset + 3 * n, [Fails, HangsDone, Hangs][n % 3]))
                .collect();
        });
        let mut replicas = ["a", "b", "c"].map(|name| server.candidate(name));
        let mut led = 0;
        for step in 0..900 {
            sleep(Duration::from_millis(100)).await;
            let leading = replicas
                .iter()
                .filter(|replica| replica.leadership.is_leading());
            let leading = leading.count();
            assert!(
                leading <= 1,
                "{leading} lead, trouble from {offset}, step {step}"
            );
            led += leading;
            // Now and then one is cut off, for some seconds; who has lost is started again.
            for (index, replica) in replicas.iter_mut().enumerate() {
                let phase = (step + 37 * offset + 150 * index) % 450;
                replica.is_cut.store(phase < 120, Ordering::SeqCst);
                if replica.running.is_finished() {
                    *replica = server.candidate(&format!("{index} of {step}"));
                }
            }
        }
        assert!(led > 0, "nobody ever led, trouble from {offset}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_stops_before_another_starts() {
    let server = Server::default();
    let first = server.candidate("first");
    assert!(first.leadership.wait_leading().await);
    first.is_cut.store(true, Ordering::SeqCst);
    let cut_off = Instant::now();
    first.leadership.lost().cancelled().await;
    assert!(cut_off.elapsed() <= Duration::from_secs(4));
    let error = first.running.await.unwrap().unwrap_err().to_string();
    assert!(
        error.starts_with("lost leadership: lease ns/cert-manager-controller not renewed for ")
    );
    assert!(!first.leadership.is_leading());
    assert!(!first.leadership.wait_leading().await);

    let second = server.candidate("second");
    let watching = Instant::now();
    assert!(second.leadership.wait_leading().await);
    // It cannot know how old the record is, so it watches it for the whole duration.
    assert!(watching.elapsed() >= Duration::from_secs(6));
    let lease = server.lease().unwrap();
    assert_eq!(lease["spec"]["leaseTransitions"], 1);
    assert_eq!(lease["spec"]["holderIdentity"], "second");
}

#[tokio::test(start_paused = true)]
async fn a_lease_given_back_is_taken_at_the_next_look() {
    let server = Server::default();
    let first = server.candidate("first");
    assert!(first.leadership.wait_leading().await);
    let second = server.candidate("second");
    pass(3).await;
    assert!(!second.leadership.is_leading());
    first.release.cancel();
    first.running.await.unwrap().unwrap();
    assert!(first.leadership.lost().is_cancelled());
    let lease = server.lease().unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "");
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 1);
    let free = Instant::now();
    assert!(second.leadership.wait_leading().await);
    assert!(free.elapsed() <= Duration::from_secs(1));
    // One that does not lead has nothing to give back.
    let third = server.candidate("third");
    pass(1).await;
    third.release.cancel();
    third.running.await.unwrap().unwrap();
    assert_eq!(server.lease().unwrap()["spec"]["holderIdentity"], "second");
}

#[tokio::test(start_paused = true)]
async fn what_others_keep_on_the_lease_stays() {
    let server = Server::default();
    server.set(|state| {
        state.store(json!({
            "metadata": { "name": LEASE, "labels": { "theirs": "1" } },
            "spec": { "leaseTransitions": 7 },
        }));
    });
    let replica = server.candidate("me");
    assert!(replica.leadership.wait_leading().await);
    pass(5).await;
    let lease = server.lease().unwrap();
    assert_eq!(lease["metadata"]["labels"], json!({ "theirs": "1" }));
    assert_eq!(lease["spec"]["leaseTransitions"], 8);
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 6);
    replica.release.cancel();
}

/// cert-manager's client takes the lease, or gives it back: it replaces the spec and keeps the rest.
fn as_client_go_would(lease: &mut Value, holder: &str) {
    let transitions = lease["spec"]["leaseTransitions"].as_i64().unwrap();
    let is_taken = !holder.is_empty();
    lease["spec"] = json!({
        "holderIdentity": holder,
        "leaseDurationSeconds": if is_taken { 60 } else { 1 },
        "leaseTransitions": transitions + i64::from(is_taken),
        "acquireTime": "2026-01-01T00:00:00.000000Z",
        "renewTime": "2026-01-01T00:00:00.000000Z",
    });
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_another_program_knows() {
    let server = Server::default();
    let lead = async |name: &str| {
        let replica = server.candidate(name);
        assert!(replica.leadership.wait_leading().await);
        replica
    };
    let release = async |replica: Replica| {
        replica.release.cancel();
        replica.running.await.unwrap().unwrap();
    };
    let is_unsettled = |replica: &Replica| replica.leadership.succession().is_unsettled();
    let first = lead("first").await;
    assert!(is_unsettled(&first), "there was no lease");
    first.leadership.succession().settle();
    pass(2).await;
    release(first).await;
    let second = lead("second").await;
    assert!(!is_unsettled(&second));
    release(second).await;
    server.set(|state| {
        for holder in ["cert-manager", ""] {
            let mut lease = state.lease.clone().unwrap();
            as_client_go_would(&mut lease, holder);
            state.store(lease);
        }
    });
    let third = lead("third").await;
    assert!(is_unsettled(&third));
    pass(5).await;
    release(third).await;
    let fourth = lead("fourth").await;
    assert!(is_unsettled(&fourth), "the third did not settle it");
    fourth.release.cancel();
}

#[tokio::test(start_paused = true)]
async fn one_replica_without_election_leads() {
    let alone = Leadership::alone();
    assert!(alone.is_leading() && alone.wait_leading().await);
    assert_eq!(alone.overdue(), None);
    assert!(!alone.lost().is_cancelled());
}
