//! What processor time and memory does a process use?

use std::{fs, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::time::sleep;

/// Linux counts in hundredths of a second, whatever the kernel's own clock.
const TICKS: f64 = 100.0;

/// In KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) resident: u64,
    pub(super) peak: u64,
}

/// User and system time so far.
pub(super) fn cpu_seconds(pid: u32) -> Result<f64> {
    let text = read(pid, "stat")?;
    ticks(&text)
        .map(|ticks| ticks as f64 / TICKS)
        .with_context(|| format!("/proc/{pid}/stat"))
}

/// Resident memory now and at most.
pub(super) fn memory(pid: u32) -> Result<Memory> {
    let text = read(pid, "status")?;
    let field = |name: &str| {
        field(&text, name).with_context(|| format!("/proc/{pid}/status has no {name}"))
    };
    Ok(Memory {
        resident: field("VmRSS:")?,
        peak: field("VmHWM:")?,
    })
}

/// The memory of a process once it has used no processor time for a second.
pub(super) async fn settled(pid: u32) -> Result<Memory> {
    let mut before = cpu_seconds(pid)?;
    for _ in 0..60 {
        sleep(Duration::from_secs(1)).await;
        let now = cpu_seconds(pid)?;
        if now - before < 0.02 {
            return memory(pid);
        }
        before = now;
    }
    bail!("the operator does not come to rest within a minute");
}

fn read(pid: u32, name: &str) -> Result<String> {
    fs::read_to_string(format!("/proc/{pid}/{name}"))
        .with_context(|| format!("reading /proc/{pid}/{name}; the bench needs Linux"))
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn ticks(stat: &str) -> Option<u64> {
    // The second field is the program's name in brackets, in which anything may stand.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_understood() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 1 0 1 1 1";
        assert_eq!(ticks(stat), Some(300));
        let status = "Name:\tx\nVmHWM:\t   20480 kB\nVmRSS:\t 16384 kB\n";
        assert_eq!(field(status, "VmRSS:"), Some(16384));
        assert_eq!(field(status, "VmHWM:"), Some(20480));
        assert!(memory(std::process::id()).unwrap().resident > 100);
        assert!(cpu_seconds(std::process::id()).unwrap() >= 0.0);
    }
}
