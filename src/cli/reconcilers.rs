//! Which reconcilers run, what is each made of, and when may it begin?

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use kube::Client;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    answers::{
        AnswersReconciler, Watches,
        look::{Looker, Nameservers},
        plan::Pace as LookPace,
    },
    caches::{Caches, Queues, Scope, Seed, all, nothing},
    certificate::{
        backoff,
        reconcile::{CertificateReconciler, Desk, Prompts},
        renewal_info::RenewalInfoReconciler,
        replaced::replaced,
        rotation::Fleet,
    },
    challenge::{reconcile::ChallengeReconciler, slots::Slots, solve::Solvers},
    cli::{
        ca_requests::CaObserver,
        flags::{Controller, Settings, SolverBackend},
        starter::Starter,
        wanted::{certificate_settings, retire_settings, signing_requests},
    },
    cluster::{
        Clock,
        client::FaultPoint,
        driver::{Backoff, Observer, Options},
        events::Events,
        leader::Leadership,
        metrics::Metrics,
        pace::Pace,
        pause::Pauses,
        report::Report,
    },
    crl::{ListReconciler, MOST_BYTES},
    issuer::{
        IssuerKind, IssuerView, LocalSigners, SecretVersion, Sessions,
        reconcile::{IssuerReconciler, TIMEOUT as ISSUER_TIMEOUT},
        rotation::Rotations,
        sessions::SecretVersions,
    },
    net::dns,
    order::{ledger::Ledger, reconcile::OrderReconciler},
    request::{
        identity::Requester, in_hand::InHand, plan::Served, reconcile::RequestReconciler,
        signers::SignersReconciler,
    },
    retire::{
        DepartureReconciler, IssuanceReconciler, Recorder, reconcile::Place, record::ClusterId,
    },
    route::RouteReconciler,
    signing_request::reconcile::SigningRequestReconciler,
    solver::http01::{check::Checker, endpoints::Endpoints, route::PathType},
};

/// Where the system names its nameservers.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Challenges are worked on all at once, as far as they have slots: a check waits for others most
/// of the time.
const CHALLENGE_WORKERS: usize = 256;
/// Few certificates go at a time.
const ISSUANCE_WORKERS: usize = 8;
/// Lists are large at times, and signed seldom.
const LIST_WORKERS: usize = 2;
/// Issuers wait for CAs, and there are few.
const ISSUER_WORKERS: usize = 32;

/// Asking for renewal information waits for CAs most of the time.
const RENEWAL_INFO_WORKERS: usize = 8;

/// Looking at DNS for those that failed waits for nameservers, and nobody waits for it.
const ANSWERS_WORKERS: usize = 4;

/// What reconcilers are made of.
pub(super) struct Parts<'a> {
    pub(super) settings: &'a Settings,
    pub(super) client: Client,
    pub(super) clock: Clock,
    pub(super) caches: Caches,
    pub(super) scope: Scope,
    pub(super) queues: Queues,
    pub(super) events: Events,
    pub(super) metrics: Metrics,
    pub(super) fault_point: Arc<FaultPoint>,
    pub(super) leadership: Leadership,
    pub(super) requester: Requester,
}

/// Something the reconcilers need cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PartsError {
    /// No HTTP client for self-checks.
    #[error("make an HTTP client for self-checks: {0}")]
    Check(#[from] reqwest::Error),
}

/// What becomes of certificates when a CA changes.
fn rotations(
    settings: &Settings,
    client: &Client,
    caches: &Caches,
    queues: &Queues,
    metrics: &Metrics,
) -> Rotations {
    let fleet = Fleet {
        certificates: Arc::clone(&caches.certificates),
        secrets: Arc::clone(&caches.secrets),
        queue: queues.certificates.clone(),
    };
    let (issuers, cluster_issuers) = (queues.issuers.clone(), queues.cluster_issuers.clone());
    Rotations::new(
        client.clone(),
        settings.cluster_resource_namespace.as_str().into(),
        Arc::new(fleet),
        Box::new(move |(kind, issuer), wait| {
            let queue = match kind {
                IssuerKind::Issuer => &issuers,
                IssuerKind::ClusterIssuer => &cluster_issuers,
            };
            queue.add_after(issuer.clone(), wait);
        }),
        metrics.clone(),
    )
}

/// Start the reconcilers that the settings ask for. Each begins when this process leads and every
/// cache is filled, and ends with `stop`.
pub(super) fn start(
    parts: Parts<'_>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), PartsError> {
    let Parts {
        settings,
        client,
        clock,
        caches,
        scope,
        queues,
        events,
        metrics,
        fault_point,
        leadership,
        requester,
    } = parts;
    let observer: Arc<dyn Observer> = Arc::new(Report::new(metrics.clone(), events.clone()));
    let versions: SecretVersions = {
        let caches = caches.clone();
        Arc::new(move |key: &_| {
            let (uid, resource_version) = caches.secret_version(key)?;
            Some(SecretVersion {
                uid,
                resource_version,
            })
        })
    };
    let ca = Arc::new(CaObserver {
        metrics: metrics.clone(),
        fault_point,
    });
    let rotations = Arc::new(rotations(settings, &client, &caches, &queues, &metrics));
    let local = LocalSigners::new(client.clone(), Arc::clone(&versions), clock.clone());
    let local = Arc::new(local);
    let sessions = Sessions::new(client.clone(), versions, ca, clock.clone());
    let sessions = Arc::new(sessions.rechecked_by(Arc::new({
        let queues = queues.clone();
        move |issuer: &IssuerView| {
            let queue = match issuer.kind {
                IssuerKind::Issuer => &queues.issuers,
                IssuerKind::ClusterIssuer => &queues.cluster_issuers,
            };
            queue.add(issuer.key.clone());
        }
    })));
    let dns = dns::Client::default().with_authority_port(settings.dns01.authoritative_port);
    let http01 = &settings.http01;
    let endpoints = match &http01.backend {
        Some(SolverBackend::Service(_)) => Endpoints::Mirrored(Arc::clone(&caches.slices)),
        Some(SolverBackend::Addresses(addresses)) => {
            Endpoints::Fixed(addresses.iter().copied().collect())
        }
        None => Endpoints::Fixed(BTreeSet::new()),
    };
    let succession = leadership.succession().clone();
    let starter = Starter {
        caches: &caches,
        scope,
        leadership,
        observer,
        tasks,
        stop,
    };
    let work = |workers| Options {
        workers,
        ..Options::default()
    };
    let wants = |controller| settings.controllers.contains(&controller);

    if wants(Controller::Issuers) {
        let cache = Arc::clone(&caches.issuers.namespaced);
        let reconciler = IssuerReconciler::new(
            cache,
            caches.issuers.clone(),
            Arc::clone(&sessions),
            Arc::clone(&local),
            Arc::clone(&rotations),
        );
        let seed = all(&caches.issuers.namespaced);
        starter.start(reconciler, &queues.issuers, seed, issuer_options());
    }
    if wants(Controller::ClusterIssuers) {
        let cache = Arc::clone(&caches.issuers.cluster);
        let reconciler = IssuerReconciler::new(
            cache,
            caches.issuers.clone(),
            Arc::clone(&sessions),
            Arc::clone(&local),
            Arc::clone(&rotations),
        );
        let seed = all(&caches.issuers.cluster);
        starter.start(reconciler, &queues.cluster_issuers, seed, issuer_options());
    }
    let cluster = Arc::new(ClusterId::new(client.clone()));
    let deletion = retire_settings(settings);
    let recorder = || {
        Recorder::new(
            client.clone(),
            &caches,
            events.clone(),
            &settings.deletion.issuances,
            Arc::clone(&cluster),
            deletion.clone(),
        )
    };
    if wants(Controller::Issuances) {
        let place = Place {
            namespace: settings.namespace.as_deref().map(Into::into),
            issuances: settings.deletion.issuances.as_str().into(),
            cluster: Arc::clone(&cluster),
            settings: deletion.clone(),
            succession: succession.clone(),
        };
        let reconciler = IssuanceReconciler::new(
            client.clone(),
            clock.clone(),
            caches.clone(),
            events.clone(),
            metrics.clone(),
            Arc::clone(&sessions),
            place,
        );
        let seed = all(&caches.issuances);
        starter.start(reconciler, &queues.issuances, seed, work(ISSUANCE_WORKERS));
        let reconciler = DepartureReconciler::new(
            clock.clone(),
            caches.clone(),
            recorder(),
            succession.clone(),
        );
        let seed = caches.every_departure();
        starter.start(reconciler, &queues.departures, seed, work(ISSUANCE_WORKERS));
        let reconciler = ListReconciler {
            client: client.clone(),
            clock: clock.clone(),
            issuers: caches.issuers.clone(),
            lists: Arc::clone(&caches.lists),
            issuances: Arc::clone(&caches.issuances),
            local: Arc::clone(&local),
            cluster: Arc::clone(&cluster),
            most_bytes: MOST_BYTES,
            waiting: Arc::clone(&caches.waiting),
            numbers: Mutex::default(),
        };
        let lists = Arc::clone(&caches.lists);
        starter.start_after(
            async move { lists.synced().await },
            reconciler,
            &queues.lists,
            caches.every_list(),
            work(LIST_WORKERS),
        );
    }
    let served = Served {
        acme: wants(Controller::RequestsAcme),
        ca: wants(Controller::RequestsCa),
        self_signed: wants(Controller::RequestsSelfSigned),
    };
    let requests = RequestReconciler {
        client: client.clone(),
        clock: clock.clone(),
        requests: Arc::clone(&caches.requests),
        orders: Arc::clone(&caches.orders),
        issuers: caches.issuers.clone(),
        events: events.clone(),
        approver: wants(Controller::RequestApprover),
        served,
        local: Arc::clone(&local),
        sessions: Arc::clone(&sessions),
        replaced: {
            let (certificates, secrets) = (caches.certificates.clone(), caches.secrets.clone());
            Arc::new(move |request: &_| replaced(&certificates, &secrets, request))
        },
        in_hand: InHand::new(Arc::clone(&caches.requests), queues.requests.clone()),
    };
    if wants(Controller::Certificates) {
        let certificate_settings = certificate_settings(settings);
        let pace = LookPace::within(backoff::shortest(&certificate_settings));
        let answers = Arc::new(Watches::new(queues.answers.clone(), pace));
        let reconciler = AnswersReconciler {
            clock: clock.clone(),
            orders: Arc::clone(&caches.orders),
            challenges: Arc::clone(&caches.challenges),
            looker: Looker::new(
                dns.clone(),
                Nameservers {
                    http01: http01.nameservers.clone(),
                    dns01: settings.dns01.nameservers.clone(),
                    system: dns::system_nameservers(Path::new(RESOLV_CONF)),
                },
            ),
            watches: Arc::clone(&answers),
            certificates: queues.certificates.clone(),
            events: events.clone(),
        };
        starter.start(
            reconciler,
            &queues.answers,
            nothing(),
            work(ANSWERS_WORKERS),
        );
        let reconciler = CertificateReconciler::new(
            client.clone(),
            clock.clone(),
            caches.clone(),
            events.clone(),
            certificate_settings,
            Desk {
                recorder: recorder(),
                requester,
                requests: requests.clone(),
            },
            Prompts {
                renewal_infos: queues.renewal_infos.clone(),
                rotations,
                answers,
            },
        );
        starter.start(
            reconciler,
            &queues.certificates,
            all(&caches.certificates),
            work(settings.concurrent_workers),
        );
        let reconciler = RenewalInfoReconciler {
            client: client.clone(),
            clock: clock.clone(),
            certificates: Arc::clone(&caches.certificates),
            secrets: Arc::clone(&caches.secrets),
            issuers: caches.issuers.clone(),
            sessions: Arc::clone(&sessions),
            events: events.clone(),
        };
        starter.start(
            reconciler,
            &queues.renewal_infos,
            nothing(),
            work(RENEWAL_INFO_WORKERS),
        );
    }
    if served != Served::NONE || requests.approver {
        starter.start(
            requests,
            &queues.requests,
            all(&caches.requests),
            work(settings.concurrent_workers),
        );
    }
    let served = signing_requests(settings);
    if served != Served::NONE {
        let reconciler = SigningRequestReconciler {
            client: client.clone(),
            clock: clock.clone(),
            requests: Arc::clone(&caches.signing_requests),
            orders: Arc::clone(&caches.orders),
            issuers: caches.issuers.clone(),
            events: events.clone(),
            served,
            local,
            sessions: Arc::clone(&sessions),
            copied_annotation_prefixes: settings.copied_annotation_prefixes.clone(),
        };
        let requests = Arc::clone(&caches.signing_requests);
        starter.start_after(
            async move { requests.synced().await },
            reconciler,
            &queues.signing_requests,
            all(&caches.signing_requests),
            work(settings.concurrent_workers),
        );
    }
    if let Some(signers) = &starter.scope.signers {
        // At start too, when there is nothing yet to wake it.
        let first = signers.clone();
        let seed: Seed = Box::new(move |queue| queue.add(first));
        caches
            .foreign_signers
            .wake(queues.signers.clone(), signers.clone());
        let reconciler = SignersReconciler {
            client: client.clone(),
            signers: Arc::clone(&caches.signers),
            foreign: Arc::clone(&caches.foreign_signers),
        };
        starter.start(reconciler, &queues.signers, seed, work(1));
    }
    if wants(Controller::IngressShim) {
        let reconciler = RouteReconciler {
            routes: Arc::clone(&caches.routes),
            events: events.clone(),
            told: Mutex::default(),
        };
        starter.start(reconciler, &queues.routes, caches.every_route(), work(1));
    }
    if wants(Controller::Orders) {
        let ledger = Arc::new(Ledger::new(
            client.clone(),
            settings.cluster_resource_namespace.as_str().into(),
            clock.clone(),
            metrics.clone(),
        ));
        let (keeper, kept) = (Arc::clone(&ledger), stop.clone());
        let leadership = starter.leadership.clone();
        tasks.spawn(async move {
            if kept.run_until_cancelled(leadership.wait_leading()).await == Some(true) {
                keeper.keep(kept).await;
            }
        });
        let reconciler = OrderReconciler {
            client: client.clone(),
            clock: clock.clone(),
            orders: Arc::clone(&caches.orders),
            challenges: Arc::clone(&caches.challenges),
            issuers: caches.issuers.clone(),
            sessions: Arc::clone(&sessions),
            events: events.clone(),
            pace: Pace::new(Duration::from_millis(100), Duration::from_secs(10)),
            pauses: Pauses::default(),
            ledger,
        };
        starter.start(
            reconciler,
            &queues.orders,
            all(&caches.orders),
            work(settings.concurrent_workers.max(16)),
        );
    }
    if wants(Controller::Challenges) {
        let reconciler = ChallengeReconciler {
            client: client.clone(),
            clock: clock.clone(),
            challenges: Arc::clone(&caches.challenges),
            issuers: caches.issuers.clone(),
            sessions,
            events,
            solvers: Solvers {
                client,
                clock,
                cluster_resource_namespace: settings.cluster_resource_namespace.as_str().into(),
                dns: dns.clone(),
                nameservers: settings.dns01.nameservers.clone(),
                recursive_only: settings.dns01.recursive_only,
                system_nameservers: dns::system_nameservers(Path::new(RESOLV_CONF)),
                checker: Checker::new(dns, http01.nameservers.clone(), http01.check_port)?,
                endpoints,
                path_type: if settings.gates.exact_ingress_path {
                    PathType::Exact
                } else {
                    PathType::ImplementationSpecific
                },
                extra_labels: http01.extra_labels.clone(),
            },
            queue: queues.challenges.clone(),
            slots: Mutex::new(Slots::new(settings.max_concurrent_challenges)),
            checks: Pace::new(Duration::from_millis(100), settings.waits.check_retry),
            polls: Pace::new(Duration::from_millis(50), Duration::from_secs(5)),
            pauses: Pauses::default(),
            check_retry: settings.waits.check_retry,
            progress: Mutex::new(HashMap::new()),
        };
        let seed = all(&caches.challenges);
        starter.start(
            reconciler,
            &queues.challenges,
            seed,
            work(CHALLENGE_WORKERS),
        );
    }
    Ok(())
}

fn issuer_options() -> Options {
    Options {
        workers: ISSUER_WORKERS,
        timeout: ISSUER_TIMEOUT,
        backoff: Backoff {
            first: Duration::from_secs(1),
            most: Duration::from_secs(300),
        },
    }
}
