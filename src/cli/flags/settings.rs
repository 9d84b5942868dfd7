//! What a controller is to do: the flags as values, found good together.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};

use super::{Controller, FlagError, Gates, controllers, gates::Answer, value::Values};
use crate::{
    api::deletion::DeletionPolicy,
    cli::logging::{Format, Logging},
    cluster::{ObjectKey, lease::Timing},
    net::dns::Nameserver,
    pki::pem::Limits,
};

/// What `certwright controller` is to do. Taken apart without `..` where it is used, so that no
/// setting is forgotten.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How to reach the API server.
    pub api_server: ApiServer,
    /// Where the Secrets of ClusterIssuers are.
    pub cluster_resource_namespace: String,
    /// The only namespace to work in; all when `None`.
    pub namespace: Option<String>,
    /// How to elect a leader; `None`: this is the only replica.
    pub leader_election: Option<LeaderElection>,
    /// How long after the end of leadership `/livez` still passes.
    pub leader_health_timeout: Duration,
    /// What to run.
    pub controllers: BTreeSet<Controller>,
    /// Objects of one kind worked on at the same time, 1 or more.
    pub concurrent_workers: usize,
    /// Challenges under way at the same time, 1 or more.
    pub max_concurrent_challenges: usize,
    /// HTTP-01.
    pub http01: Http01,
    /// DNS-01.
    pub dns01: Dns01,
    /// Pauses.
    pub waits: Waits,
    /// Whether the Certificate owns its Secret.
    pub certificate_owns_secret: bool,
    /// What becomes of certificates that are no longer wanted.
    pub deletion: Deletion,
    /// Prefixes of annotations copied from Certificates to requests and orders: `*` for all, `-` in
    /// front for not.
    pub copied_annotation_prefixes: Vec<String>,
    /// How large PEM texts may be.
    pub pem_limits: Limits,
    /// The ConfigMap that parametrizes the approval policy.
    pub signers_config_map: Option<ObjectKey>,
    /// Features that can be chosen.
    pub gates: Gates,
    /// Before which request the process ends itself, in a crash test.
    pub fault_point: Option<u64>,
    /// Where lists of revoked certificates are served; nowhere when `None`.
    pub crl_address: Option<SocketAddr>,
    /// Where `/metrics` is served.
    pub metrics_address: SocketAddr,
    /// Where `/livez` and `/readyz` are served.
    pub health_address: SocketAddr,
    /// How to log.
    pub logging: Logging,
    /// What was given and has no effect, a line each, to be logged once.
    pub notes: Vec<String>,
}

/// How to reach the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiServer {
    /// Its URL, instead of the one in the kubeconfig.
    pub url: Option<http::Uri>,
    /// The kubeconfig; `None`: the pod's own account, or what `KUBECONFIG` names.
    pub kubeconfig: Option<PathBuf>,
}

/// How to elect a leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderElection {
    /// The namespace of the Lease.
    pub namespace: String,
    /// The times to go by.
    pub timing: Timing,
}

/// How HTTP-01 challenges are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http01 {
    /// Where the responder listens.
    pub listen_address: SocketAddr,
    /// Where routes lead to; `None`: HTTP-01 challenges cannot be solved.
    pub backend: Option<SolverBackend>,
    /// Whom the self-check asks for addresses; the system's when empty.
    pub nameservers: Vec<Nameserver>,
    /// The port that the self-check asks at.
    pub check_port: u16,
    /// Labels for the objects that route challenges.
    pub extra_labels: BTreeMap<String, String>,
}

/// Which addresses answer HTTP-01 challenges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SolverBackend {
    /// These.
    Addresses(Vec<SocketAddr>),
    /// The ready ones of a Service.
    Service(ObjectKey),
}

/// How DNS-01 challenges are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns01 {
    /// Where look-ups begin; the system's when empty.
    pub nameservers: Vec<Nameserver>,
    /// Whether only they are asked.
    pub recursive_only: bool,
    /// The port of the authoritative servers.
    pub authoritative_port: u16,
}

/// What becomes of certificates that are no longer wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// Where nobody says otherwise.
    pub default_policy: DeletionPolicy,
    /// How long that waits.
    pub delay: Duration,
    /// The namespace of the records.
    pub issuances: String,
    /// Whether a policy of the API server writes down who asks for a revocation.
    pub users_are_checked: bool,
}

/// Pauses between tries; none is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// Between self-checks of a challenge, after the first quick ones.
    pub check_retry: Duration,
    /// After the first failed issuance.
    pub first_backoff: Duration,
    /// After failed issuances, at the most.
    pub most_backoff: Duration,
}

impl Settings {
    /// What `values` mean.
    pub(super) fn of(values: &Values) -> Result<Self, FlagError> {
        let mut notes = values.notes()?;
        let gates = gates(values, &mut notes)?;
        let namespace = values.some_text("namespace");
        let mut controllers =
            controllers::select(&values.list("controllers"), gates.signing_requests)
                .map_err(|problem| values.error("controllers", problem))?;
        if namespace.is_some() {
            controllers.retain(|controller| !controller.is_for_the_cluster());
        }
        let count = |name| values.number(name, 1.., "a whole number, 1 or more");
        Ok(Self {
            api_server: api_server(values)?,
            cluster_resource_namespace: required(values, "cluster-resource-namespace")?,
            namespace,
            leader_election: leader_election(values)?,
            leader_health_timeout: values.duration("internal-healthz-leader-election-timeout")?,
            controllers,
            concurrent_workers: count("concurrent-workers")?,
            max_concurrent_challenges: count("max-concurrent-challenges")?,
            http01: http01(values)?,
            dns01: Dns01 {
                nameservers: values.parsed_list("dns01-recursive-nameservers")?,
                recursive_only: values.bool("dns01-recursive-nameservers-only")?,
                authoritative_port: values.number(
                    "dns01-authoritative-port",
                    1..,
                    "a port number",
                )?,
            },
            waits: waits(values)?,
            certificate_owns_secret: values.bool("enable-certificate-owner-ref")?,
            deletion: deletion(values)?,
            copied_annotation_prefixes: values.list("copied-annotation-prefixes"),
            pem_limits: pem_limits(values)?,
            signers_config_map: values.object("signers-config-map")?,
            gates,
            fault_point: Some(values.number("fault-point", 0.., "a number")?)
                .filter(|point| *point > 0),
            crl_address: match values.some_text("crl-listen-address") {
                Some(_) => Some(values.address("crl-listen-address")?),
                None => None,
            },
            metrics_address: values.address("metrics-listen-address")?,
            health_address: values.address("internal-healthz-listen-address")?,
            logging: logging(values)?,
            notes,
        })
    }
}

fn required(values: &Values, name: &'static str) -> Result<String, FlagError> {
    let text = values.some_text(name);
    text.ok_or_else(|| values.error(name, "must not be empty"))
}

fn api_server(values: &Values) -> Result<ApiServer, FlagError> {
    let url = match values.some_text("master") {
        Some(text) => {
            let url = text.parse::<http::Uri>().ok();
            let url = url.filter(|url| url.scheme().is_some() && url.host().is_some());
            let problem = || format!("{text:?} is not a URL such as https://HOST:PORT");
            Some(url.ok_or_else(|| values.error("master", problem()))?)
        }
        None => None,
    };
    Ok(ApiServer {
        url,
        kubeconfig: values.some_text("kubeconfig").map(PathBuf::from),
    })
}

fn leader_election(values: &Values) -> Result<Option<LeaderElection>, FlagError> {
    let lease = values.duration("leader-election-lease-duration")?;
    let deadline = values.duration("leader-election-renew-deadline")?;
    let retry = values.duration("leader-election-retry-period")?;
    let namespace = required(values, "leader-election-namespace")?;
    if !values.bool("leader-elect")? {
        return Ok(None);
    }
    let timing = Timing::new(lease, deadline, retry)
        .map_err(|problem| values.error("leader-election-lease-duration", problem))?;
    Ok(Some(LeaderElection { namespace, timing }))
}

fn http01(values: &Values) -> Result<Http01, FlagError> {
    let addresses = values.parsed_list::<SocketAddr>("acme-http01-solver-addresses")?;
    let service = values.object("acme-http01-solver-service")?;
    let backend = if addresses.is_empty() {
        service.map(SolverBackend::Service)
    } else {
        // Outside a cluster, where a chart has named the Service all the same.
        Some(SolverBackend::Addresses(addresses))
    };
    let nameservers = values.parsed_list::<Nameserver>("acme-http01-solver-nameservers")?;
    Ok(Http01 {
        listen_address: values.address("acme-http01-solver-listen-address")?,
        backend,
        nameservers,
        check_port: values.number("acme-http01-check-port", 1.., "a port number")?,
        extra_labels: values.map("acme-http01-solver-extra-labels")?,
    })
}

fn deletion(values: &Values) -> Result<Deletion, FlagError> {
    let name = "default-deletion-policy";
    let issuances = values.some_text("issuances-namespace");
    Ok(Deletion {
        default_policy: values
            .text(name)
            .parse()
            .map_err(|problem: String| values.error(name, problem))?,
        delay: values.duration("deletion-delay")?,
        issuances: match issuances {
            Some(namespace) => namespace,
            None => required(values, "cluster-resource-namespace")?,
        },
        users_are_checked: values.bool("trust-revoke-requested-by")?,
    })
}

fn waits(values: &Values) -> Result<Waits, FlagError> {
    let first_backoff = values.duration("certificate-request-minimum-backoff-duration")?;
    let most_backoff = values.duration("certificate-request-maximum-backoff-duration")?;
    if first_backoff > most_backoff {
        let problem = "must not be longer than --certificate-request-maximum-backoff-duration";
        return Err(values.error("certificate-request-minimum-backoff-duration", problem));
    }
    Ok(Waits {
        check_retry: values.duration("dns01-check-retry-period")?,
        first_backoff,
        most_backoff,
    })
}

fn pem_limits(values: &Values) -> Result<Limits, FlagError> {
    let bytes = |name| values.number(name, 1.., "a number of bytes, 1 or more");
    Ok(Limits {
        private_key: bytes("max-private-key-size")?,
        certificate: bytes("max-certificate-size")?,
        chain: bytes("max-certificate-chain-length")?,
        bundle: bytes("max-certificate-bundle-size")?,
    })
}

fn gates(values: &Values, notes: &mut Vec<String>) -> Result<Gates, FlagError> {
    let name = "feature-gates";
    let mut gates = Gates::default();
    for (gate, value) in values.map(name)? {
        let on = match value.as_str() {
            "true" => true,
            "false" => false,
            _ => return Err(values.error(name, format!("{gate}={value}: want true or false"))),
        };
        match gates.set(&gate, on) {
            Answer::Accepted => {}
            Answer::Idle(why) => notes.push(format!("--{name}={gate} has no effect: {why}")),
            Answer::Refused(problem) => return Err(values.error(name, problem)),
        }
    }
    Ok(gates)
}

fn logging(values: &Values) -> Result<Logging, FlagError> {
    let format = match values.text("logging-format").as_str() {
        "text" => Format::Text,
        "json" => Format::Json,
        other => {
            let problem = format!("{other:?} is neither text nor json");
            return Err(values.error("logging-format", problem));
        }
    };
    Ok(Logging {
        verbosity: values.number("v", 0.., "a whole number, 0 or more")?,
        format,
    })
}
