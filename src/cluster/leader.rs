//! How one replica becomes and stays the one that writes: cert-manager's Lease, so that the two
//! never work at once.
//!
//! Every write of the lease is a create, or a replace that carries the resourceVersion it was read
//! with, so of two candidates that both find it free one gets a conflict. The decisions are in
//! [`lease`](crate::cluster::lease); here are the requests.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::coordination::v1::Lease,
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, info, warn};

use crate::cluster::{
    clock::Clock,
    error::RequestError,
    key::ObjectKey,
    lease::{Candidate, Loss, Record, Step, Timing},
    succession::Succession,
};

/// The name of the Lease, cert-manager's.
pub const LEASE: &str = "cert-manager-controller";

/// How long giving the lease back may take on shutdown.
const RELEASE_LIMIT: Duration = Duration::from_secs(3);

/// The identity of a candidate on `hostname`, in cert-manager's form; `unique` keeps two processes
/// of one host apart.
pub fn identity(hostname: &str, unique: u64) -> String {
    format!("{hostname}-external-cert-manager-controller-{unique:016x}")
}

/// Leadership ended while the process still ran.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// Another replica leads, or soon will.
    #[error("lost leadership: lease {lease} {loss}")]
    Lost {
        /// Which lease.
        lease: ObjectKey,
        /// Why.
        loss: Loss,
    },
}

/// Whether this process leads; cheap to clone.
#[derive(Clone, Debug)]
pub struct Leadership {
    state: watch::Receiver<State>,
    succession: Succession,
    over: CancellationToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Candidate,
    /// Leads until then, unless renewed.
    Leader(Instant),
    /// Leads and nobody contests it.
    Alone,
}

impl Leadership {
    /// The leadership of a process that is the only one (`--leader-elect=false`).
    pub fn alone() -> Self {
        Self {
            state: watch::channel(State::Alone).1,
            succession: Succession::alone(),
            over: CancellationToken::new(),
        }
    }

    /// Whether this process may write now. Turns false by the clock, even when the task that
    /// renews the lease gets no time to run.
    pub fn is_leading(&self) -> bool {
        !self.over.is_cancelled()
            && match *self.state.borrow() {
                State::Candidate => false,
                State::Leader(until) => Instant::now() < until,
                State::Alone => true,
            }
    }

    /// Wait until this process leads. `false`: it never will, the election is over.
    pub async fn wait_leading(&self) -> bool {
        let mut state = self.state.clone();
        tokio::select! {
            biased;
            () = self.over.cancelled() => false,
            led = state.wait_for(|state| *state != State::Candidate) => led.is_ok(),
        }
    }

    /// Who led before.
    pub fn succession(&self) -> &Succession {
        &self.succession
    }

    /// Cancelled when this process must not write any more: leadership was lost or given back.
    pub fn lost(&self) -> &CancellationToken {
        &self.over
    }

    /// For how long leadership has been over although this process was not told to stop: what
    /// `/livez/leaderElection` fails on.
    pub fn overdue(&self) -> Option<Duration> {
        match *self.state.borrow() {
            State::Candidate | State::Alone => None,
            State::Leader(until) => Instant::now().checked_duration_since(until),
        }
    }
}

/// What an election needs to know.
#[derive(Clone, Debug)]
pub struct Election {
    /// The namespace of the Lease.
    pub namespace: String,
    /// Who this candidate is, see [`identity`].
    pub identity: String,
    /// The times to go by.
    pub timing: Timing,
}

impl Election {
    /// A handle for those who must know, and the task that takes part in the election.
    pub fn candidate(self, client: Client, clock: Clock) -> (Leadership, Elector) {
        let Self {
            namespace,
            identity,
            timing,
        } = self;
        let (sender, state) = watch::channel(State::Candidate);
        let over = CancellationToken::new();
        let succession = Succession::default();
        let elector = Elector {
            api: Api::namespaced(client, &namespace),
            key: ObjectKey::new(namespace, LEASE),
            candidate: Candidate::new(identity.clone(), timing),
            identity,
            lease: None,
            clock,
            state: sender,
            succession: succession.clone(),
            complaint: String::new(),
            _over: over.clone().drop_guard(),
        };
        let leadership = Leadership {
            state,
            succession,
            over,
        };
        (leadership, elector)
    }
}

/// Takes part in the election until told to stop.
#[derive(Debug)]
pub struct Elector {
    api: Api<Lease>,
    key: ObjectKey,
    candidate: Candidate,
    identity: String,
    /// The lease as last read or written, with what others keep in its metadata.
    lease: Option<Lease>,
    clock: Clock,
    state: watch::Sender<State>,
    succession: Succession,
    /// The last failure that was logged, so that a lasting one is logged once.
    complaint: String,
    _over: DropGuard,
}

impl Elector {
    /// Become leader, stay leader; give the lease back when `release` is cancelled, which must not
    /// be before everything that writes has stopped.
    ///
    /// # Errors
    /// Leadership was lost: the process should end, another replica takes over.
    pub async fn run(mut self, release: CancellationToken) -> Result<(), LeaderError> {
        let led = tokio::select! {
            biased;
            () = release.cancelled() => Ok(()),
            loss = self.campaign() => Err(loss),
        };
        match led {
            Ok(()) => {
                self.release().await;
                Ok(())
            }
            Err(loss) => Err(LeaderError::Lost {
                lease: self.key,
                loss,
            }),
        }
    }

    async fn campaign(&mut self) -> Loss {
        loop {
            let step = self.candidate.next(Instant::now().into_std());
            match step {
                Step::Wait(pause) => sleep(pause).await,
                Step::Read => self.read().await,
                Step::Create | Step::Take | Step::Renew => self.write(&step).await,
                Step::Lost(loss) => return loss,
            }
        }
    }

    async fn read(&mut self) {
        let answer = timeout(self.patience(), self.api.get_opt(LEASE)).await;
        let now = Instant::now();
        match answer {
            Ok(Ok(lease)) => {
                let holder = holder(lease.as_ref());
                let is_other = !holder.is_empty() && holder != self.identity;
                if is_other && holder != holder_of(self.candidate.record()) {
                    info!(lease = %self.key, holder, "waiting to lead");
                }
                if self.candidate.leads_until().is_none() {
                    self.succession.look(lease.as_ref(), now);
                }
                self.candidate
                    .observe(lease.as_ref().map(record), now.into_std());
                self.lease = lease;
                self.complaint.clear();
            }
            Ok(Err(error)) => self.fail("get", error),
            Err(_) => self.fail_late("get"),
        }
    }

    async fn write(&mut self, step: &Step) {
        let mut lease = held_by(
            self.lease.as_ref(),
            &self.identity,
            self.candidate.timing(),
            &self.clock,
        );
        let is_leading = self.candidate.leads_until().is_some();
        self.succession
            .sign(self.lease.as_ref(), &mut lease, is_leading);
        let began = Instant::now();
        let params = PostParams::default();
        let creates = *step == Step::Create;
        let operation = if creates { "create" } else { "replace" };
        let answer = timeout(self.patience(), async {
            if creates {
                self.api.create(&params, &lease).await
            } else {
                self.api.replace(LEASE, &params, &lease).await
            }
        })
        .await;
        match answer {
            Ok(Ok(lease)) => {
                self.candidate.wrote(record(&lease), began.into_std());
                // Before anybody begins who goes by it.
                self.succession.took(&lease, began);
                self.lease = Some(lease);
                self.complaint.clear();
                self.lead();
            }
            Ok(Err(kube::Error::Api(status)))
                if matches!(status.code, 404 | 409) && !(creates && status.code == 404) =>
            {
                debug!(lease = %self.key, operation, "somebody else wrote the lease first");
                self.candidate.conflict();
            }
            Ok(Err(error)) => self.fail(operation, error),
            Err(_) => self.fail_late(operation),
        }
    }

    fn lead(&mut self) {
        let Some(until) = self.candidate.leads_until() else {
            return;
        };
        let state = State::Leader(Instant::from_std(until));
        if self.state.send_replace(state) == State::Candidate {
            info!(lease = %self.key, identity = self.identity, "leading");
            if self.succession.is_unsettled() {
                info!(
                    "another program may have led before: what lost its Certificate meanwhile is \
                     neither revoked nor deleted until that is confirmed"
                );
            }
        }
    }

    /// How long a request may take: never past the moment at which leading ends.
    fn patience(&self) -> Duration {
        let retry = self.candidate.timing().retry_period();
        let left =
            |until: std::time::Instant| until.saturating_duration_since(Instant::now().into_std());
        self.candidate
            .leads_until()
            .map_or(retry, |until| retry.min(left(until)))
    }

    fn fail(&mut self, operation: &'static str, error: kube::Error) {
        let error = RequestError::new::<Lease>(operation, &self.key, error);
        self.complain(error.to_string());
    }

    fn fail_late(&mut self, operation: &'static str) {
        self.complain(format!("{operation} Lease {}: no answer in time", self.key));
    }

    fn complain(&mut self, complaint: String) {
        if self.complaint == complaint {
            debug!(error = complaint, "leader election still fails");
        } else {
            warn!(error = complaint, "leader election failed, trying on");
            self.complaint = complaint;
        }
        self.candidate.failed(Instant::now().into_std());
    }

    /// Let the others know at once that the lease is free. If that fails they find out when it
    /// expires.
    async fn release(&mut self) {
        if self.candidate.leads_until().is_none() {
            return;
        }
        self.state.send_replace(State::Candidate);
        let released = timeout(RELEASE_LIMIT, async {
            // Read anew: a renewal may have been under way.
            let Some(mut lease) = self.api.get_opt(LEASE).await? else {
                return Ok(());
            };
            if holder(Some(&lease)) != self.identity {
                return Ok(());
            }
            let spec = lease.spec.get_or_insert_default();
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(self.clock.now()));
            self.api
                .replace(LEASE, &PostParams::default(), &lease)
                .await?;
            Ok(())
        })
        .await;
        match released {
            Ok(Ok(())) => info!(lease = %self.key, "lease given back"),
            Ok(Err(error)) => {
                let error = RequestError::new::<Lease>("release", &self.key, error);
                warn!(%error, "lease not given back, it expires by itself");
            }
            Err(_) => {
                warn!(lease = %self.key, "lease not given back in time, it expires by itself");
            }
        }
    }
}

/// `lease` (or a new one), held by `identity` and renewed now.
fn held_by(lease: Option<&Lease>, identity: &str, timing: &Timing, clock: &Clock) -> Lease {
    let now = MicroTime(clock.now());
    let mut lease = lease.cloned().unwrap_or_else(|| Lease {
        metadata: ObjectMeta {
            name: Some(LEASE.to_owned()),
            labels: Some(BTreeMap::from([(
                "app.kubernetes.io/managed-by".to_owned(),
                "cert-manager".to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        spec: None,
    });
    lease.metadata.managed_fields = None;
    let is_new = lease.spec.is_none();
    let spec = lease.spec.get_or_insert_default();
    if spec.holder_identity.as_deref() != Some(identity) {
        spec.acquire_time = Some(now.clone());
        let transitions = spec.lease_transitions.unwrap_or_default();
        spec.lease_transitions = Some(if is_new {
            0
        } else {
            transitions.saturating_add(1)
        });
    }
    spec.holder_identity = Some(identity.to_owned());
    // Rounded up: the others must not find it expired before this process stops.
    let seconds = timing.lease_duration().as_millis().div_ceil(1000);
    spec.lease_duration_seconds = Some(i32::try_from(seconds).unwrap_or(i32::MAX));
    spec.renew_time = Some(now);
    lease
}

fn record(lease: &Lease) -> Record {
    Record::new(lease.spec.clone().unwrap_or_default())
}

fn holder(lease: Option<&Lease>) -> &str {
    lease
        .and_then(|lease| lease.spec.as_ref())
        .and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default()
}

fn holder_of(record: Option<&Record>) -> &str {
    record.map(Record::holder).unwrap_or_default()
}

#[cfg(test)]
mod tests;
