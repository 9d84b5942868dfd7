//! What do people do with certwright, and does it work on a real control plane?
//!
//! One test bed serves all stories; it starts when the first one runs. Each story lives in
//! namespaces of its own.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use testbed::stage::Stage;

mod bed;
mod chart;

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
            "chart::cert_manager_is_replaced_and_comes_back",
            story(stage.without_operator(chart::cert_manager_is_replaced_and_comes_back)),
        ),
        Trial::test(
            "chart::a_switch_that_would_fail_is_not_begun",
            story(stage.without_operator(chart::a_switch_that_would_fail_is_not_begun)),
        ),
        Trial::test(
            "chart::the_plain_manifest_applies",
            story(stage.without_operator(chart::the_plain_manifest_applies)),
        ),
        Trial::test(
            "chart::rights_are_what_they_should_be",
            story(stage.without_operator(chart::rights_are_what_they_should_be)),
        ),
    ]
}

/// An error of a story with all its causes.
fn story(
    test: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> impl FnOnce() -> Result<(), libtest_mimic::Failed> + Send + 'static {
    || test().map_err(|error| format!("{error:#}").into())
}
