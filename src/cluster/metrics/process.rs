//! What does this process use: CPU, memory, files, read from /proc.

use std::fs;

use super::text::{Family, Type};

/// Clock ticks per second in /proc: 100 on every architecture that Linux still has (`USER_HZ`).
const TICKS: f64 = 100.0;

/// Append what the system knows of this process; what it does not tell is left out.
pub(super) fn write(text: &mut String) {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let stat = Stat::parse(&read("/proc/self/stat"));
    let boot = boot_time(&read("/proc/stat"));
    let status = read("/proc/self/status");
    let counter = |text, value: Option<f64>| {
        let (name, help) = ("process_cpu_seconds_total", "CPU time, user and system.");
        one(text, name, help, Type::Counter, value);
    };
    counter(text, stat.map(|stat| stat.cpu_ticks as f64 / TICKS));
    let start = stat
        .zip(boot)
        .map(|(stat, boot)| boot as f64 + stat.start_ticks as f64 / TICKS);
    for (name, help, value) in [
        (
            "process_start_time_seconds",
            "When the process started, in Unix time.",
            start,
        ),
        (
            "process_resident_memory_bytes",
            "Resident memory.",
            field(&status, "VmRSS:").map(|kib| kib * 1024.0),
        ),
        (
            "process_virtual_memory_bytes",
            "Virtual memory.",
            field(&status, "VmSize:").map(|kib| kib * 1024.0),
        ),
        ("process_threads", "Threads.", field(&status, "Threads:")),
        (
            "process_open_fds",
            "Open files.",
            fs::read_dir("/proc/self/fd")
                .ok()
                .map(|files| files.count() as f64),
        ),
        (
            "process_max_fds",
            "Files that may be open.",
            field(&read("/proc/self/limits"), "Max open files"),
        ),
    ] {
        one(text, name, help, Type::Gauge, value);
    }
}

fn one(text: &mut String, name: &'static str, help: &'static str, kind: Type, value: Option<f64>) {
    if let Some(value) = value {
        Family::new(text, name, help, kind).sample(&[], value);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    start_ticks: u64,
}

impl Stat {
    /// /proc/PID/stat, proc_pid_stat(5). The second field is the name in parentheses and may
    /// contain anything.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let field = |number: usize| rest.split_whitespace().nth(number - 3)?.parse().ok();
        let user: u64 = field(14)?;
        let system: u64 = field(15)?;
        Some(Self {
            cpu_ticks: user + system,
            start_ticks: field(22)?,
        })
    }
}

/// When the machine was started, in Unix time, from /proc/stat.
fn boot_time(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

/// The first number after `name` at the start of a line.
fn field(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194560 100 0 1 0 250 50 0 0 20 0 9 0 123456 99 88";
        let want = Stat {
            cpu_ticks: 300,
            start_ticks: 123_456,
        };
        assert_eq!(Stat::parse(stat), Some(want));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
        assert_eq!(
            boot_time("cpu 1 2\nbtime 1700000000\nprocesses 3\n"),
            Some(1_700_000_000)
        );
        assert_eq!(
            field("VmPeak:\t 9 kB\nVmRSS:\t  1234 kB\n", "VmRSS:"),
            Some(1234.0)
        );
        assert_eq!(
            field(
                "Max open files            1024   4096   files\n",
                "Max open files"
            ),
            Some(1024.0)
        );
        assert_eq!(
            field("Max open files            unlimited\n", "Max open files"),
            None
        );
    }

    #[test]
    fn this_process_is_told() {
        let mut text = String::new();
        write(&mut text);
        for name in [
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_open_fds",
        ] {
            assert!(text.contains(&format!("\n{name} ")), "{name} in {text}");
        }
    }
}
