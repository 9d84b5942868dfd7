//! How does the test bed run a program so that it never outlives the test bed?

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use tokio::{io::AsyncWriteExt, process::Child, time};

use self::reaper::Reaper;

pub mod ports;
mod reaper;
pub mod wait;

/// A program with its arguments and its whole environment, of which it otherwise sees `PATH` only.
#[derive(Clone, Debug)]
pub struct Program {
    name: String,
    path: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

impl Program {
    /// `name` says what it is in messages, and names its log.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
            args: Vec::new(),
            env: Vec::new(),
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }
}

/// Starts programs, and kills them when it goes, also when the test bed itself is killed.
#[derive(Clone, Debug)]
pub struct Launcher {
    reaper: Reaper,
    logs: PathBuf,
}

impl Launcher {
    /// Keeps one log per program in the folder `logs`.
    pub fn new(logs: &Path) -> Result<Self> {
        fs::create_dir_all(logs).with_context(|| format!("creating {}", logs.display()))?;
        Ok(Self {
            reaper: Reaper::start()?,
            logs: logs.to_owned(),
        })
    }

    /// Starts a program.
    pub async fn start(&self, program: &Program) -> Result<Process> {
        let log = self.logs.join(format!("{}.log", program.name));
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("opening {}", log.display()))?;
        let seen = output.metadata().map_or(0, |found| found.len());
        // The shell waits for a line before it becomes the program: by then the reaper knows its
        // id, and if we die before, the line never comes.
        let mut child = tokio::process::Command::new("sh")
            .args(["-c", r#"read -r go && exec "$0" "$@" </dev/null"#])
            .arg(&program.path)
            .args(&program.args)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .envs(program.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.name))?;
        let pid = child
            .id()
            .ok_or_else(|| anyhow!("{} ended at once", program.name))?;
        self.reaper.watch(pid)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin
                .write_all(b"go\n")
                .await
                .with_context(|| format!("starting {}", program.name))?;
        }
        let name = program.name.clone();
        Ok(Process {
            name,
            pid,
            child,
            log,
            seen,
            reaper: self.reaper.clone(),
        })
    }
}

/// A running program. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: u32,
    child: Child,
    log: PathBuf,
    /// Where in the log this run of the program begins.
    seen: u64,
    reaper: Reaper,
}

impl Process {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What it has printed in this run.
    pub fn log(&self) -> String {
        use io::{Read, Seek, SeekFrom};
        let mut bytes = Vec::new();
        let read = File::open(&self.log).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.seen))?;
            file.read_to_end(&mut bytes)
        });
        match read {
            Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("({} cannot be read: {error})", self.log.display()),
        }
    }

    /// The file it prints to.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Its exit status, once it has ended.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        let status = self
            .child
            .try_wait()
            .with_context(|| format!("asking for {}", self.name))?;
        if status.is_some() {
            self.reaper.forget(self.pid);
        }
        Ok(status)
    }

    /// Waits until `probe` answers, or fails with the end of the log once the program has ended or
    /// `within` has passed.
    pub async fn ready<T>(
        &mut self,
        within: Duration,
        mut probe: impl AsyncFnMut() -> Result<T>,
    ) -> Result<T> {
        let begun = time::Instant::now();
        loop {
            // Asked first: another program may be the one that answers on that port.
            if let Some(status) = self.exited()? {
                let log = self.log();
                if log.contains("address already in use") {
                    return Err(ports::Taken {
                        by: self.name.clone(),
                    }
                    .into());
                }
                bail!("{} ended with {status}:\n{}", self.name, tail(&log));
            }
            let error = match time::timeout(Duration::from_secs(5), probe()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => error,
                Err(_) => anyhow!("no answer in 5 s"),
            };
            if begun.elapsed() > within {
                let log = self.log();
                return Err(error).with_context(|| {
                    format!(
                        "{} is not ready after {within:?}:\n{}",
                        self.name,
                        tail(&log)
                    )
                });
            }
            time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Sends SIGKILL and waits for the end.
    pub async fn kill(&mut self) -> Result<()> {
        self.child
            .kill()
            .await
            .with_context(|| format!("killing {}", self.name))?;
        self.reaper.forget(self.pid);
        Ok(())
    }

    /// Sends SIGTERM and waits for the end, which must come `within` that time.
    pub async fn stop(&mut self, within: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.exited()? {
            return Ok(status);
        }
        self.reaper.signal("TERM", self.pid)?;
        self.wait(within).await
    }

    /// Waits for the end.
    pub async fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let Ok(status) = time::timeout(within, self.child.wait()).await else {
            bail!(
                "{} is still running after {within:?}:\n{}",
                self.name,
                tail(&self.log())
            );
        };
        self.reaper.forget(self.pid);
        status.with_context(|| format!("waiting for {}", self.name))
    }

    /// Sends any signal, by its name without `SIG`: `STOP`, `CONT`.
    pub fn signal(&self, name: &str) -> Result<()> {
        self.reaper.signal(name, self.pid)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Killed here and not left to tokio, whose own kill forgets the reaper.
        let _ = self.child.start_kill();
        self.reaper.forget(self.pid);
    }
}

/// The last lines of a log, for an error message.
pub fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
