//! Does OpenSSL, where it is installed, agree with what we write? (Tests only.)

use std::{
    io::Write,
    process::{Command, Stdio},
};

/// Runs `openssl` with these arguments and `input`: what it printed, or `None` with a note if it
/// is not installed. Panics if it refuses.
pub(super) fn openssl(arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("openssl is not installed: its part of the test is skipped");
        return None;
    };
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {errors}");
    Some(output.stdout)
}
