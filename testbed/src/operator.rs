//! How does the operator under test run, as its chart says but outside the cluster?

use std::{
    collections::BTreeMap,
    io::IsTerminal,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::process::Command;

use crate::{
    chart::Release,
    home::Home,
    process::{Launcher, Process, Program, ports},
};

/// What is special about one operator.
#[derive(Clone, Debug)]
pub struct OperatorOptions {
    /// Names its log; must differ from those of operators that run at the same time.
    pub name: String,
    /// Flags as `--name=value`; each replaces the chart's flag of that name.
    pub args: Vec<String>,
    /// Environment variables beside those of the chart, e.g. a fault point.
    pub env: BTreeMap<String, String>,
    /// Whether to wait until it answers `/readyz`.
    pub wait: bool,
}

impl Default for OperatorOptions {
    fn default() -> Self {
        Self {
            name: "operator".to_owned(),
            args: Vec::new(),
            env: BTreeMap::new(),
            wait: true,
        }
    }
}

/// What an operator is started from.
pub(crate) struct Origin<'a> {
    pub(crate) launcher: &'a Launcher,
    pub(crate) binary: &'a Path,
    pub(crate) release: &'a Release,
    /// The flags that the test bed needs, in the place of the chart's.
    pub(crate) flags: Vec<String>,
}

/// A running operator. Killed when dropped.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    health: SocketAddr,
    metrics: SocketAddr,
    solver: SocketAddr,
    http: reqwest::Client,
    started: Instant,
}

impl Operator {
    pub(crate) async fn start(
        origin: &Origin<'_>,
        address: std::net::IpAddr,
        options: &OperatorOptions,
    ) -> Result<Self> {
        let http = crate::web::client(&[])?;
        ports::avoiding(async || {
            let health = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()?));
            let metrics = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()?));
            let solver = SocketAddr::from((address, ports::free()?));
            let listen = [
                format!("--internal-healthz-listen-address={health}"),
                format!("--metrics-listen-address={metrics}"),
                format!("--acme-http01-solver-listen-address={solver}"),
                format!("--acme-http01-solver-addresses={solver}"),
            ];
            let overrides = origin.flags.iter().chain(&listen).chain(&options.args);
            let program = Program::new(&options.name, origin.binary)
                .args(with_overrides(origin.release.args(), overrides));
            let program = origin
                .release
                .env()
                .iter()
                .chain(&options.env)
                .fold(program, |program, (name, value)| program.env(name, value));
            let started = Instant::now();
            let process = origin.launcher.start(&program).await?;
            let http = http.clone();
            let mut operator = Self {
                process,
                health,
                metrics,
                solver,
                http,
                started,
            };
            if options.wait {
                operator.ready(Duration::from_secs(30)).await?;
            }
            Ok(operator)
        })
        .await
    }

    /// Waits until it answers `/readyz`.
    pub async fn ready(&mut self, within: Duration) -> Result<()> {
        let Self {
            process,
            health,
            http,
            ..
        } = self;
        let url = format!("http://{health}/readyz");
        process
            .ready(within, async || {
                let answer = http.get(&url).send().await?;
                match answer.status().is_success() {
                    true => Ok(()),
                    false => bail!("{url}: {}", answer.text().await?.trim()),
                }
            })
            .await
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// When it was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// What it has logged since it started.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Where it answers HTTP-01.
    pub fn solver(&self) -> SocketAddr {
        self.solver
    }

    /// The text of its `/readyz`, ready or not.
    pub async fn readiness(&self) -> Result<String> {
        let url = format!("http://{}/readyz", self.health);
        Ok(self.http.get(url).send().await?.text().await?)
    }

    /// The text of its `/metrics`.
    pub async fn metrics(&self) -> Result<String> {
        let url = format!("http://{}/metrics", self.metrics);
        Ok(self
            .http
            .get(url)
            .send()
            .await?
            .error_for_status()?
            .text()
            .await?)
    }

    /// Its exit status, once it has ended.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.process.exited()
    }

    /// Waits for it to end by itself, as at a fault point.
    pub async fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        self.process.wait(within).await
    }

    /// Kills it without warning (SIGKILL).
    pub async fn kill(mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Asks it to stop (SIGTERM) and waits. It has 10 s for it.
    pub async fn stop(mut self) -> Result<ExitStatus> {
        self.process.stop(Duration::from_secs(10)).await
    }

    /// Sends any signal, by its name without `SIG`: `STOP` and `CONT` make a replica hang.
    pub fn signal(&self, name: &str) -> Result<()> {
        self.process.signal(name)
    }
}

/// How the binary of the image is linked: see there.
const PACKED: [&str; 3] = ["--", "-C", "link-arg=-Wl,-z,pack-relative-relocs"];

/// Builds the operator and returns its binary; for a release, as the image has it.
pub async fn build(home: &Home, release: bool) -> Result<PathBuf> {
    let mut cargo = Command::new(home.on_path("cargo").context("there is no cargo on PATH")?);
    cargo
        .current_dir(home.workspace())
        .args(match release {
            true => ["rustc", "--release"].as_slice(),
            false => &["build"],
        })
        .args([
            "--package=certwright",
            "--bin=certwright",
            "--message-format=json",
        ])
        .args(release.then_some(PACKED).into_iter().flatten())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    // A person sees how far cargo is; elsewhere its lines would only be noise.
    let watched = std::io::stderr().is_terminal();
    cargo.stderr(if watched {
        Stdio::inherit()
    } else {
        Stdio::piped()
    });
    let building = cargo.spawn().context("running cargo")?;
    let output = building.wait_with_output().await.context("running cargo")?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let messages: Vec<Value> = messages
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    if !output.status.success() {
        let errors: Vec<_> = messages
            .iter()
            .filter_map(|line| line["message"]["rendered"].as_str())
            .collect();
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("the operator does not build:\n{}{said}", errors.concat());
    }
    messages
        .iter()
        .filter(|line| line["target"]["name"] == "certwright")
        .find_map(|line| line["executable"].as_str())
        .map(PathBuf::from)
        .context("cargo names no executable of the operator")
}

/// `args` with each flag of `overrides` in the place of one of the same name, or else at the end.
fn with_overrides<'a>(
    args: &[String],
    overrides: impl IntoIterator<Item = &'a String>,
) -> Vec<String> {
    let mut args = args.to_vec();
    for new in overrides {
        let name = new.split('=').next().unwrap_or(new);
        args.retain(|old| old.split('=').next() != Some(name));
        args.push(new.clone());
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_replaces_the_flag_of_its_name_only() {
        let args = ["controller", "--a=1", "--ab=2", "--c"].map(str::to_owned);
        let new = ["--a=3".to_owned(), "--d=4".to_owned(), "--d=5".to_owned()];
        let merged = with_overrides(&args, &new);
        assert_eq!(merged, ["controller", "--ab=2", "--c", "--a=3", "--d=5"]);
    }
}
