//! What do people do with certwright, and does it work on a real control plane?
//!
//! One test bed serves all stories; it starts when the first one runs. Each story lives in
//! namespaces of its own.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use testbed::stage::Stage;

mod bed;
mod leader;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let binary = env!("CARGO_BIN_EXE_certwright").into();
    let stage = Stage::new(Some(binary)).unwrap();
    let conclusion = libtest_mimic::run(&arguments, stories(&stage));
    stage.end(conclusion.has_failed());
    conclusion.exit_code()
}

/// Stories that share the operator first, those that are alone last: the operator is started again
/// between one kind and the other.
fn stories(stage: &Stage) -> Vec<Trial> {
    vec![
        Trial::test(
            "bed::everything_answers",
            story(stage.without_operator(bed::everything_answers)),
        ),
        Trial::test(
            "leader::one_replica_leads",
            story(stage.alone(leader::one_replica_leads)),
        ),
        Trial::test(
            "leader::a_restart_of_the_api_server_is_lived_through",
            story(stage.alone(leader::a_restart_of_the_api_server_is_lived_through)),
        ),
    ]
}

/// An error of a story with all its causes.
fn story(
    test: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> impl FnOnce() -> Result<(), libtest_mimic::Failed> + Send + 'static {
    || test().map_err(|error| format!("{error:#}").into())
}
