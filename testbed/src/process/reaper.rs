//! Who kills the programs when the test bed is killed itself?

use std::{
    io::Write,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};

/// Told on its standard input which programs run. When that ends, so has the test bed, however it
/// died; then it kills them. It also delivers signals, which Rust cannot do without `unsafe`.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
pids=
while read -r verb pid; do
  case $verb in
    watch) pids="$pids $pid" ;;
    forget)
      rest=
      for one in $pids; do [ "$one" = "$pid" ] || rest="$rest $one"; done
      pids=$rest ;;
    *) kill -"$verb" "$pid" 2>/dev/null ;;
  esac
done
for one in $pids; do kill -KILL "$one" 2>/dev/null; done
"#;

/// A shell that outlives the test bed by a moment. All clones are one.
#[derive(Clone, Debug)]
pub(super) struct Reaper {
    shell: Arc<Mutex<Shell>>,
}

#[derive(Debug)]
struct Shell {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Reaper {
    pub(super) fn start() -> Result<Self> {
        use std::os::unix::process::CommandExt;
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("starting a shell to watch over the programs")?;
        let stdin = child.stdin.take();
        Ok(Self {
            shell: Arc::new(Mutex::new(Shell { child, stdin })),
        })
    }

    pub(super) fn watch(&self, pid: u32) -> Result<()> {
        self.tell("watch", pid)
    }

    /// Called once the program has been waited for, since its id may then be another's.
    pub(super) fn forget(&self, pid: u32) {
        // Fails only when the reaper was killed from outside; then nothing is left to forget.
        let _ = self.tell("forget", pid);
    }

    pub(super) fn signal(&self, name: &str, pid: u32) -> Result<()> {
        self.tell(name, pid)
    }

    fn tell(&self, verb: &str, pid: u32) -> Result<()> {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        let stdin = shell.stdin.as_mut().context("the watching shell is gone")?;
        writeln!(stdin, "{verb} {pid}").context("telling the watching shell")
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}
