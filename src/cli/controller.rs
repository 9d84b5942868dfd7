//! `certwright controller`: what is started, in which order, and in which order does it stop?

use std::{io, sync::Arc, time::Duration};

use aws_lc_rs::error::Unspecified;
use k8s_openapi::api::core::v1::ObjectReference;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::{
    connect::{self, ConnectError},
    flags::{Controller, LeaderElection, Settings, SolverBackend},
    reconcilers::{self, Parts, PartsError},
    wanted,
};
use crate::caches::{Caches, Queues, Scope};
use crate::cluster::{
    client::{self, BeforeRequest, FaultPoint},
    clock::Clock,
    events::{EventType, Events},
    guard::WriteGuard,
    health::{self, Liveness, Readiness},
    leader::{Election, Elector, LeaderError, Leadership, identity},
    leftover,
    metrics::{self, Metrics},
    serve::{ListenError, Server},
    signal::{GRACE, Overdue, Shutdown},
    watch::OnInvalid,
};
use crate::crl::serve::Lists;
use crate::request::{identity::Requester, plan::Served};
use crate::solver::http01::responder::Responder;

/// Reason of the event on an object that cannot be read.
const UNREADABLE: &str = "InvalidObject";
/// Connections to /metrics and to health checks, each.
const CONNECTIONS: usize = 64;
/// Connections to the HTTP-01 responder: CAs ask from several places at once.
const CHALLENGE_CONNECTIONS: usize = 512;

/// Connections to the lists of revoked certificates.
const LIST_CONNECTIONS: usize = 256;

/// How long reconciles under way may take once the process was asked to stop. What is left of
/// [`GRACE`] is for events and the lease; after it is given back, no write passes the guard.
const WORK_GRACE: Duration = Duration::from_secs(5);

/// Why the operator did not start, or ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// No way to the API server.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The client cannot be made.
    #[error("make a client for the API server: {0}")]
    Client(#[source] Box<kube::Error>),
    /// A port is in use.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Another replica leads.
    #[error(transparent)]
    Leader(#[from] LeaderError),
    /// Two metrics have one name.
    #[error("set up metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// It did not stop in time.
    #[error(transparent)]
    Overdue(#[from] Overdue),
    /// A part of the work cannot be made ready.
    #[error(transparent)]
    Parts(#[from] PartsError),
    /// The system has no randomness.
    #[error("no randomness from the system")]
    Randomness(#[from] Unspecified),
    /// The system refuses to tell signals, or its name.
    #[error("ask the system for {what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// Run until a signal, or until leadership is lost.
///
/// # Errors
/// It could not start, or ended before it was asked to.
pub async fn run(settings: Settings) -> Result<(), ControllerError> {
    for note in &settings.notes {
        warn!("{note}");
    }
    settings.pem_limits.set();
    let system = |what| move |source| ControllerError::System { what, source };
    let shutdown = Shutdown::on_signal().map_err(system("signals"))?;
    let hostname = hostname::get().map_err(system("the host name"))?;
    let hostname = hostname.to_string_lossy();
    let clock = Clock::default();
    let metrics = Metrics::new(clock.clone())?;
    let config = connect::config(settings.api_server.clone()).await?;
    let fault_point = Arc::new(FaultPoint::new(settings.fault_point));
    let guard = WriteGuard::default();
    let observers: Vec<Arc<dyn BeforeRequest>> =
        vec![Arc::new(metrics.clone()), fault_point.clone()];
    let client = client::client(config, observers, &guard)
        .map_err(|error| ControllerError::Client(Box::new(error)))?;

    let (leadership, elector) = match settings.leader_election.clone() {
        Some(election) => {
            let (leadership, elector) = candidate(election, &hostname, &client, &clock)?;
            (leadership, Some(elector))
        }
        None => (Leadership::alone(), None),
    };
    guard.follow(leadership.clone());
    metrics.follow(leadership.clone());
    let readiness = Readiness::default();
    let after_loss = settings.leader_health_timeout;
    let liveness = Liveness::new(leadership.clone(), after_loss, clock.clone());

    let tasks = TaskTracker::new();
    // Served to the end, so that whoever watches sees how it stops.
    let background = CancellationToken::new();
    let server = Server::bind("metrics", settings.metrics_address, CONNECTIONS).await?;
    tasks.spawn(server.run(metrics::router(metrics.clone()), background.clone()));
    let server = Server::bind("health", settings.health_address, CONNECTIONS).await?;
    tasks.spawn(server.run(
        health::router(liveness, readiness.clone()),
        background.clone(),
    ));
    let look = leftover::watch(client.clone(), readiness.clone());
    tasks.spawn(background.clone().run_until_cancelled_owned(look));
    let only = settings.namespace.as_deref();
    let caches = Caches::new(&settings.cluster_resource_namespace, only);
    let queues = Queues::closed();
    caches.wake(&queues);
    let scope = Scope {
        namespace: settings.namespace.clone(),
        solver_service: match &settings.http01.backend {
            Some(SolverBackend::Service(service)) => Some(service.clone()),
            Some(SolverBackend::Addresses(_)) | None => None,
        },
        signers: settings.signers_config_map.clone(),
        issuances: settings.deletion.issuances.clone(),
        signing_requests: wanted::signing_requests(&settings) != Served::NONE,
    };
    let (events, recorder) = Events::new(
        client.clone(),
        clock.clone(),
        metrics.clone(),
        hostname.into_owned(),
    );
    let events_stop = CancellationToken::new();
    let recording = tasks.spawn(recorder.run(events_stop.clone()));
    let (counted, told) = (metrics.clone(), events.clone());
    let on_invalid: OnInvalid = Arc::new(move |object: ObjectReference, error: &str| {
        counted.invalid_object(object.kind.as_deref().unwrap_or_default());
        let note = format!("this object is passed over until it is put right: {error}");
        told.publish(object, EventType::Warning, UNREADABLE, note);
    });
    caches.watch(
        &client,
        &scope,
        &readiness,
        &tasks,
        &background,
        &on_invalid,
    );
    if settings
        .controllers
        .contains(&Controller::CertificateMetrics)
    {
        metrics.read_objects(Arc::new(caches.clone()));
    }
    let responder = Responder::new(Arc::clone(&caches.challenges), client.clone());
    let address = settings.http01.listen_address;
    let server = Server::bind("HTTP-01 challenges", address, CHALLENGE_CONNECTIONS).await?;
    tasks.spawn(server.run(responder.router(), background.clone()));
    if let Some(address) = settings.crl_address {
        let lists = Lists {
            issuers: caches.issuers.clone(),
            lists: Arc::clone(&caches.lists),
            clock: clock.clone(),
        };
        let server = Server::bind("revocation lists", address, LIST_CONNECTIONS).await?;
        tasks.spawn(server.run(lists.router(), background.clone()));
    }
    let workers = TaskTracker::new();
    let requester = Requester::new(client.clone(), clock.clone());
    let parts = Parts {
        settings: &settings,
        client,
        clock,
        caches,
        scope,
        queues,
        events,
        metrics,
        fault_point,
        leadership: leadership.clone(),
        requester,
    };
    reconcilers::start(parts, &workers, &shutdown.asked)?;
    workers.close();

    info!(version = env!("CARGO_PKG_VERSION"), "started");
    let stopped = async {
        // First what writes, then what tells of it, then the lease.
        let release = CancellationToken::new();
        let led = async {
            match elector {
                Some(elector) => elector.run(release.clone()).await,
                None => {
                    release.cancelled().await;
                    Ok(())
                }
            }
        };
        let stop = async {
            shutdown.asked.cancelled().await;
            if timeout(WORK_GRACE, workers.wait()).await.is_err() {
                warn!("work in hand is dropped, to be resumed by whoever leads next");
            }
            events_stop.cancel();
            let _ = recording.await;
            release.cancel();
        };
        let mut led = std::pin::pin!(led);
        tokio::select! {
            biased;
            // Lost: nothing may be written any more, so nothing is waited for.
            led = &mut led => led?,
            () = stop => led.await?,
        }
        background.cancel();
        tasks.close();
        tasks.wait().await;
        Ok::<_, LeaderError>(())
    };
    shutdown.within(GRACE, stopped).await??;
    info!("stopped");
    Ok(())
}

fn candidate(
    election: LeaderElection,
    hostname: &str,
    client: &kube::Client,
    clock: &Clock,
) -> Result<(Leadership, Elector), ControllerError> {
    let LeaderElection { namespace, timing } = election;
    let mut unique = [0; 8];
    aws_lc_rs::rand::fill(&mut unique)?;
    let election = Election {
        namespace,
        identity: identity(hostname, u64::from_be_bytes(unique)),
        timing,
    };
    Ok(election.candidate(client.clone(), clock.clone()))
}
