//! Which ACME server do the tests order from, and how awkward can it be?

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use self::front::Front;
pub use self::gate::{Gate, Refusal};
use crate::{
    authority::{Authority, Identity},
    folder::Folder,
    process::{Launcher, Process, Program, ports},
    tools::{Tool, Tools},
};

mod front;
mod gate;

/// How a Pebble behaves.
#[derive(Clone, Debug)]
pub struct PebbleOptions {
    /// Per cent of good nonces that are refused.
    pub rejected_nonces: u8,
    /// Per cent of orders whose valid authorizations are used again.
    pub reused_authorizations: u8,
    /// External accounts: key id to HMAC key in base64url. Not empty means that new accounts need
    /// one.
    pub external_accounts: BTreeMap<String, String>,
    /// Certificate profiles by name.
    pub profiles: BTreeMap<String, Profile>,
    /// Roots beside the first, each with a chain of its own.
    pub alternate_roots: u8,
    /// Seconds of `Retry-After` on pending authorizations and orders; none when 0.
    pub retry_after: u8,
    /// Names that it refuses to order.
    pub blocked_names: Vec<String>,
    /// Whether it waits some seconds before it validates, as it does by default.
    pub sleeps: bool,
}

/// A certificate profile.
#[derive(Clone, Debug)]
pub struct Profile {
    /// What the directory says about it.
    pub description: String,
    /// How long its certificates are valid.
    pub validity: Duration,
    /// Whether the first name becomes the common name too.
    pub common_name: bool,
}

impl Default for PebbleOptions {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3600);
        let profile = |description: &str, days, common_name| Profile {
            description: description.to_owned(),
            validity: day * days,
            common_name,
        };
        Self {
            rejected_nonces: 5,
            reused_authorizations: 0,
            external_accounts: BTreeMap::new(),
            profiles: BTreeMap::from([
                ("default".to_owned(), profile("90 days", 90, false)),
                (
                    "classic".to_owned(),
                    profile("90 days, with a common name", 90, true),
                ),
                ("shortlived".to_owned(), profile("6 days", 6, false)),
            ]),
            alternate_roots: 1,
            retry_after: 0,
            blocked_names: Vec::new(),
            sleeps: false,
        }
    }
}

/// What a Pebble looks at when it validates.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// The DNS server that it asks.
    pub dns: SocketAddr,
    /// The port of HTTP-01.
    pub http_port: u16,
}

/// A running Pebble. Its accounts, orders and CA keys live in its memory.
#[derive(Debug)]
pub struct Pebble {
    launcher: Launcher,
    program: Program,
    process: Mutex<Option<Process>>,
    front: Front,
    behind: SocketAddr,
    identity: Identity,
    management: String,
    http: reqwest::Client,
    tls_root: String,
    directory_url: String,
}

impl Pebble {
    /// Starts one under that name, which must differ from those of others.
    pub async fn start(
        name: &str,
        folder: &Folder,
        launcher: &Launcher,
        tools: &Tools,
        world: World,
        options: &PebbleOptions,
    ) -> Result<Self> {
        let authority = Authority::new(&format!("{name} TLS root"))?;
        let identity = authority.server(name, &[Ipv4Addr::LOCALHOST.into()])?;
        let files = Files {
            certificate: folder.write(&format!("{name}.crt"), &identity.certificate)?,
            key: folder.write(&format!("{name}.key"), &identity.key)?,
        };
        let http = crate::web::client(&[authority.pem()])?;
        ports::avoiding(async || {
            let behind = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()?));
            let management = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()?));
            let text = configuration(&files, behind, management, world, options).to_string();
            let file = folder.write(&format!("{name}.json"), text)?;
            let program = Program::new(name, tools.path(Tool::Pebble))
                .arg("-config")
                .arg(file)
                .arg(format!("-dnsserver={}", world.dns))
                .env(
                    "PEBBLE_WFE_NONCEREJECT",
                    options.rejected_nonces.to_string(),
                )
                .env(
                    "PEBBLE_AUTHZREUSE",
                    options.reused_authorizations.to_string(),
                )
                .env(
                    "PEBBLE_ALTERNATE_ROOTS",
                    options.alternate_roots.to_string(),
                )
                .env("PEBBLE_VA_NOSLEEP", if options.sleeps { "0" } else { "1" });
            let management = format!("https://{management}");
            let process = run(launcher, &program, &http, &management).await?;
            let front = Front::open(behind).await?;
            Ok(Self {
                launcher: launcher.clone(),
                program,
                process: Mutex::new(Some(process)),
                directory_url: format!("https://{}/dir", front.address()),
                front,
                behind,
                identity: identity.clone(),
                management,
                http: http.clone(),
                tls_root: authority.pem().to_owned(),
            })
        })
        .await
    }

    /// Its ACME directory, for `spec.acme.server`.
    pub fn directory_url(&self) -> &str {
        &self.directory_url
    }

    /// The CA of its HTTPS certificate in PEM, for `spec.acme.caBundle`. Not the root of what it
    /// issues.
    pub fn tls_root(&self) -> &str {
        &self.tls_root
    }

    /// The roots of what it issues, in PEM: the default first, then the alternates.
    pub async fn roots(&self) -> Result<Vec<String>> {
        self.certificates("roots").await
    }

    /// The intermediates, in PEM, in the order of the roots.
    pub async fn intermediates(&self) -> Result<Vec<String>> {
        self.certificates("intermediates").await
    }

    /// The serial numbers, in hex, of all certificates issued since it was started last.
    pub async fn issued(&self) -> Vec<String> {
        let process = self.process.lock().await;
        let log = process.as_ref().map(Process::log).unwrap_or_default();
        let serials = log.lines().filter_map(|line| {
            let (_, rest) = line.split_once("Issued certificate serial ")?;
            rest.split_once(' ').map(|(serial, _)| serial.to_owned())
        });
        serials.collect()
    }

    /// What it knows of a certificate by its serial number in hex: `Status` is `Valid` or
    /// `Revoked`, with `Reason` and `RevokedAt`.
    pub async fn certificate_status(&self, serial: &str) -> Result<Value> {
        let url = format!("{}/cert-status-by-serial/{serial}", self.management);
        let answer = self.http.get(&url).send().await?.error_for_status()?;
        let bytes = answer.bytes().await?;
        serde_json::from_slice(&bytes).with_context(|| format!("reading {url}"))
    }

    /// Makes it answer `answer`, whatever that is, to who asks when to renew `certificate` (PEM).
    pub async fn answer_renewal_info(&self, certificate: &str, answer: &str) -> Result<()> {
        let url = format!("{}/set-renewal-info/", self.management);
        let body = json!({"Certificate": certificate, "ARIResponse": answer}).to_string();
        self.http
            .post(&url)
            .body(body)
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }

    /// Everything it has printed since it was started last: one line per request among it.
    pub async fn log(&self) -> String {
        self.process
            .lock()
            .await
            .as_ref()
            .map(Process::log)
            .unwrap_or_default()
    }

    /// Another way to it, on which orders can be refused.
    pub async fn gate(&self) -> Result<Gate> {
        Gate::open(self.behind, &self.identity, &self.tls_root).await
    }

    /// Makes it refuse connections; it forgets nothing.
    pub fn unplug(&self) {
        self.front.close();
    }

    /// Makes it reachable again.
    pub async fn plug(&self) -> Result<()> {
        self.front.reopen().await
    }

    /// Kills it. With it go its accounts, orders and CA keys.
    pub async fn stop(&self) -> Result<()> {
        match self.process.lock().await.take() {
            Some(mut process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Starts it again at the same address, unless it runs.
    pub async fn resume(&self) -> Result<()> {
        let mut slot = self.process.lock().await;
        if slot.is_none() {
            let process = run(&self.launcher, &self.program, &self.http, &self.management).await?;
            *slot = Some(process);
        }
        Ok(())
    }

    async fn certificates(&self, kind: &str) -> Result<Vec<String>> {
        let mut found = Vec::new();
        loop {
            let url = format!("{}/{kind}/{}", self.management, found.len());
            let answer = self.http.get(&url).send().await?;
            match answer.status().as_u16() {
                200 => found.push(answer.text().await?),
                404 if !found.is_empty() => return Ok(found),
                status => bail!("{url} answered {status}"),
            }
        }
    }
}

struct Files {
    certificate: std::path::PathBuf,
    key: std::path::PathBuf,
}

fn configuration(
    files: &Files,
    listen: SocketAddr,
    management: SocketAddr,
    world: World,
    options: &PebbleOptions,
) -> Value {
    let profiles: BTreeMap<_, _> = options
        .profiles
        .iter()
        .map(|(name, profile)| {
            let Profile {
                description,
                validity,
                common_name,
            } = profile;
            let value = json!({
                "description": description,
                "validityPeriod": validity.as_secs(),
                "promoteCommonName": common_name,
            });
            (name, value)
        })
        .collect();
    json!({ "pebble": {
        "listenAddress": listen.to_string(),
        "managementListenAddress": management.to_string(),
        "certificate": files.certificate,
        "privateKey": files.key,
        "httpPort": world.http_port,
        // Nothing here answers TLS-ALPN-01.
        "tlsPort": 1,
        "keyAlgorithm": "ecdsa",
        "profiles": profiles,
        "retryAfter": { "authz": options.retry_after, "order": options.retry_after },
        "domainBlocklist": options.blocked_names,
        "externalAccountBindingRequired": !options.external_accounts.is_empty(),
        "externalAccountMACKeys": options.external_accounts,
    }})
}

async fn run(
    launcher: &Launcher,
    program: &Program,
    http: &reqwest::Client,
    management: &str,
) -> Result<Process> {
    let mut process = launcher.start(program).await?;
    let root = format!("{management}/roots/0");
    process
        .ready(Duration::from_secs(20), async || {
            http.get(&root).send().await?.error_for_status()?;
            Ok(())
        })
        .await?;
    Ok(process)
}
