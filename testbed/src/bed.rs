//! What does a test bed consist of, and in which order does it start?

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{
    acme::{Pebble, PebbleOptions, World},
    apply::apply,
    chart::Release,
    cluster::{ApiServer, Cluster, access::Access},
    dns::{self, Algorithm, Data, Key, Zone},
    folder::Folder,
    home::Home,
    ingress::{self, Ingress},
    namespace::Namespace,
    operator::{self, Operator, OperatorOptions, Origin},
    process::{Launcher, ports},
    progress::Progress,
    tools::Tools,
};

/// The zone of the test bed; every name in it resolves to the ingress controller at first.
pub const ZONE: &str = "example.com";

/// A zone with two servers, of which the test bed runs only the first. The address of the second,
/// `ns2`, is 127.0.0.2: a test that wants it starts a secondary there.
pub const LAGGING_ZONE: &str = "example.org";

/// A zone for challenge records that stand elsewhere by an alias.
pub const ALIAS_ZONE: &str = "example.net";

/// The name of the TSIG key that may change the zone.
pub const TSIG_KEY: &str = "certwright";

/// What a test bed is started with.
#[derive(Clone, Debug)]
pub struct BedOptions {
    /// Where it works.
    pub home: Home,
    /// How it tells what it does.
    pub progress: Progress,
    /// The operator to run; built by cargo when not given.
    pub binary: Option<PathBuf>,
    /// Whether the requests of ServiceAccounts to the API server are recorded.
    pub audit: bool,
}

/// A running test bed. Everything ends when it is dropped, or when this process ends.
pub struct Bed {
    // Dropped in this order.
    ingress: Ingress,
    dns: dns::Server,
    cluster: Cluster,
    launcher: Launcher,
    tools: Tools,
    address: IpAddr,
    folder: Folder,
    options: BedOptions,
    release: OnceCell<Release>,
    binary: OnceCell<PathBuf>,
}

impl Bed {
    /// Starts one; builds or fetches the programs it lacks.
    pub async fn start(options: BedOptions) -> Result<Self> {
        let progress = options.progress;
        // Only an error when it was done before.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let tools = Tools::ready(&options.home, progress).await?;
        let address = ports::own_address()?;
        let folder = Folder::create(&options.home)?;
        let launcher = Launcher::new(&folder.path().join("logs"))?;
        progress.step("starting etcd, kube-apiserver and kube-controller-manager");
        let cluster = Cluster::start(&folder, &launcher, &tools, address, options.audit).await?;
        progress.step("starting Traefik, and a DNS server for example.com");
        let ingress = Ingress::start(&folder, &launcher, &tools, &cluster, address).await?;
        let dns = serve_names(address)?;
        Ok(Self {
            ingress,
            dns,
            cluster,
            launcher,
            tools,
            address,
            folder,
            binary: OnceCell::new_with(options.binary.clone()),
            options,
            release: OnceCell::new(),
        })
    }

    /// A client that may do everything.
    pub fn client(&self) -> &Client {
        self.cluster.client()
    }

    /// A kubeconfig that may do everything.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// How to reach the API server; from it, access as a ServiceAccount is made.
    pub fn access(&self) -> &Access {
        self.cluster.access()
    }

    /// The API server, which can be stopped and started.
    pub fn api_server(&self) -> &ApiServer {
        self.cluster.api_server()
    }

    /// The process ids of what answers requests to the API server.
    pub async fn answering(&self) -> Vec<u32> {
        self.cluster.answering().await
    }

    /// The DNS server of [`ZONE`].
    pub fn dns(&self) -> &dns::Server {
        &self.dns
    }

    /// The ingress controller.
    pub fn ingress(&self) -> &Ingress {
        &self.ingress
    }

    /// This machine's address that is not loopback.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The logs of all that runs.
    pub fn logs(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    /// The requests of ServiceAccounts, if they are recorded: one JSON object per line.
    pub fn audit_log(&self) -> PathBuf {
        self.folder.path().join("audit.log")
    }

    /// The user name that the operator has at the API server.
    pub fn operator_user(&self) -> Result<String> {
        let release = self.installed()?;
        let (namespace, name) = (release.namespace(), release.service_account());
        Ok(format!("system:serviceaccount:{namespace}:{name}"))
    }

    /// Where the test bed keeps its files and tools.
    pub fn home(&self) -> &Home {
        &self.options.home
    }

    /// Leaves the folder with the logs after the end, until the next run.
    pub fn keep_folder(&mut self) {
        self.folder.keep();
    }

    /// A namespace whose name begins with `name`.
    pub async fn namespace(&self, name: &str) -> Result<Namespace> {
        Namespace::create(self.client(), name).await
    }

    /// Makes a host name in [`ZONE`] resolve to the ingress controller by a record of its own: the
    /// wildcard of the zone does not reach a name once there is a challenge record below it.
    pub fn host(&self, name: &str) -> Result<()> {
        self.dns.set_record(name, &Data::Address(self.address))
    }

    /// A Secret named `name` that holds the TSIG key, as a solver refers to it by the key
    /// `secret`.
    pub fn tsig_secret(&self, name: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": name },
            "stringData": { "secret": tsig_secret_text() },
        })
    }

    /// The `dns01` part of a solver for [`ZONE`], for a Secret made by [`Self::tsig_secret`].
    pub fn dns01(&self, secret: &str) -> Value {
        json!({ "rfc2136": {
            "nameserver": self.dns.addr().to_string(),
            "tsigKeyName": TSIG_KEY,
            "tsigAlgorithm": "HMACSHA256",
            "tsigSecretSecretRef": { "name": secret, "key": "secret" },
        }})
    }

    /// An Issuer of that ACME server with these solvers; its account key goes into the Secret
    /// `<name>-account`.
    pub fn acme_issuer(&self, name: &str, pebble: &Pebble, solvers: &Value) -> Value {
        self.acme_issuer_at(pebble.directory_url(), name, pebble, solvers)
    }

    /// The same, for a server that is reached by another directory.
    pub fn acme_issuer_at(
        &self,
        directory_url: &str,
        name: &str,
        pebble: &Pebble,
        solvers: &Value,
    ) -> Value {
        json!({
            "apiVersion": "cert-manager.io/v1",
            "kind": "Issuer",
            "metadata": { "name": name },
            "spec": { "acme": {
                "server": directory_url,
                "caBundle": k8s_openapi::ByteString(pebble.tls_root().as_bytes().to_vec()),
                "privateKeySecretRef": { "name": format!("{name}-account") },
                "solvers": solvers,
            }},
        })
    }

    /// The `http01` part of a solver for the ingress controller.
    pub fn http01(&self) -> Value {
        json!({ "ingress": { "ingressClassName": ingress::CLASS } })
    }

    /// Starts an ACME server; `name` must differ from those of others that run.
    pub async fn pebble(&self, name: &str, options: &PebbleOptions) -> Result<Pebble> {
        let world = World {
            dns: self.dns.addr(),
            http_port: self.ingress.http().port(),
        };
        Pebble::start(
            name,
            &self.folder,
            &self.launcher,
            &self.tools,
            world,
            options,
        )
        .await
    }

    /// Installs the operator's chart, once; `values` of later calls are not looked at.
    pub async fn install_chart(&self, values: &Value) -> Result<&Release> {
        self.release
            .get_or_try_init(async || self.install(values).await)
            .await
    }

    /// Access as the operator's ServiceAccount.
    pub async fn operator_access(&self) -> Result<Access> {
        let release = self.installed()?;
        let (namespace, name) = (release.namespace(), release.service_account());
        let client = self.client();
        self.access()
            .with_service_account(client, namespace, name)
            .await
    }

    /// Starts an operator as the installed chart says, under its ServiceAccount.
    pub async fn operator(&self, options: &OperatorOptions) -> Result<Operator> {
        let release = self.installed()?;
        let access = self.operator_access().await?;
        let kubeconfig = self
            .folder
            .write(&format!("{}.kubeconfig", options.name), access.text()?)?;
        let origin = Origin {
            launcher: &self.launcher,
            binary: self.binary().await?,
            release,
            flags: self.operator_flags(&kubeconfig),
        };
        Operator::start(&origin, self.address, options).await
    }

    /// The operator's binary, built if need be.
    pub async fn binary(&self) -> Result<&Path> {
        let path = self
            .binary
            .get_or_try_init(async || {
                self.options.progress.long("building the operator");
                operator::build(&self.options.home, false).await
            })
            .await?;
        Ok(path)
    }

    fn installed(&self) -> Result<&Release> {
        let release = self.release.get();
        release.context("the chart is not installed yet")
    }

    async fn install(&self, values: &Value) -> Result<Release> {
        self.options.progress.step("installing the chart");
        let folder = self.options.home.workspace().join("charts/certwright");
        let release =
            Release::render(&self.tools, &folder, "certwright", "certwright", values).await?;
        release.install(&self.cluster).await?;
        Ok(release)
    }

    /// What the operator must know of this world: no DNS server here has port 53, and no ingress
    /// controller port 80.
    fn operator_flags(&self, kubeconfig: &Path) -> Vec<String> {
        let dns = self.dns.addr();
        vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--dns01-recursive-nameservers={dns}"),
            format!("--dns01-authoritative-port={}", dns.port()),
            format!("--acme-http01-solver-nameservers={dns}"),
            format!("--acme-http01-check-port={}", self.ingress.http().port()),
        ]
    }

    /// Applies objects that name their namespace or need none.
    pub async fn apply_all(&self, objects: &[Value]) -> Result<()> {
        apply(self.client(), None, objects).await
    }
}

/// The TSIG secret as Secrets hold it: base64, as in the configuration of a DNS server.
fn tsig_secret_text() -> Value {
    json!(k8s_openapi::ByteString(TSIG_SECRET.to_vec()))
}

/// No secret: it guards names that exist in this process alone.
const TSIG_SECRET: &[u8] = b"a key for a DNS server on loopback";

fn serve_names(address: IpAddr) -> Result<dns::Server> {
    let server = SocketAddr::from(([127, 0, 0, 1], ports::free()?));
    let zone = Zone::new(ZONE)
        .server(&format!("ns1.{ZONE}"), server.ip())
        .record(ZONE, Data::Address(address))
        .record(&format!("*.{ZONE}"), Data::Address(address));
    let lagging = Zone::new(LAGGING_ZONE)
        .server(&format!("ns1.{LAGGING_ZONE}"), server.ip())
        .server(
            &format!("ns2.{LAGGING_ZONE}"),
            Ipv4Addr::new(127, 0, 0, 2).into(),
        );
    dns::Server::start(dns::Options {
        address: server.ip(),
        port: server.port(),
        zones: vec![zone, lagging, Zone::new(ALIAS_ZONE)],
        keys: vec![Key {
            name: TSIG_KEY.to_owned(),
            algorithm: Algorithm::HmacSha256,
            secret: TSIG_SECRET.to_vec(),
        }],
    })
    .context("starting the DNS server")
}
