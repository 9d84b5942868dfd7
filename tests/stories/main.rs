//! What do people do with certwright, and does it work on a real control plane?
//!
//! One test bed serves all stories; it starts when the first one runs. Each story lives in
//! namespaces of its own.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use testbed::stage::Stage;

mod acme;
mod admission;
mod bed;
mod identity;
mod leader;
#[path = "../objects/mod.rs"]
mod objects;
mod roundtrip;

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
            "acme::every_account_key",
            story(stage.without_operator(acme::every_account_key)),
        ),
        Trial::test(
            "acme::external_account",
            story(stage.without_operator(acme::external_account)),
        ),
        Trial::test(
            "acme::order_to_revocation",
            story(stage.without_operator(acme::order_to_revocation)),
        ),
        Trial::test(
            "acme::refusals",
            story(stage.without_operator(acme::refusals)),
        ),
        Trial::test(
            "acme::rejected_nonces",
            story(stage.without_operator(acme::rejected_nonces)),
        ),
        Trial::test(
            "bed::routes",
            story(stage.without_operator(bed::the_ingress_controller_routes)),
        ),
        Trial::test(
            "bed::acme",
            story(stage.without_operator(bed::the_acme_server_answers)),
        ),
        Trial::test(
            "leader::one_replica_leads",
            story(stage.alone(leader::one_replica_leads)),
        ),
        Trial::test(
            "leader::a_restart_of_the_api_server_is_lived_through",
            story(stage.alone(leader::a_restart_of_the_api_server_is_lived_through)),
        ),
        // Alone, since it takes the API server away for a moment.
        Trial::test(
            "bed::control_plane",
            story(stage.alone(bed::the_control_plane_works)),
        ),
    ]
    .into_iter()
    .chain(rules(stage))
    .collect()
}

/// What the API server takes and keeps. Alone, since the operator would approve and answer what
/// they write.
fn rules(stage: &Stage) -> Vec<Trial> {
    vec![
        Trial::test(
            "admission::certificates",
            story(stage.alone(admission::certificates)),
        ),
        Trial::test("admission::issuers", story(stage.alone(admission::issuers))),
        Trial::test(
            "admission::requests",
            story(stage.alone(admission::requests)),
        ),
        Trial::test("admission::orders", story(stage.alone(admission::orders))),
        Trial::test(
            "admission::challenges",
            story(stage.alone(admission::challenges)),
        ),
        Trial::test(
            "admission::many_names",
            story(stage.alone(admission::many_names)),
        ),
        Trial::test(
            "identity::written_down",
            story(stage.alone(identity::the_requester_is_written_down)),
        ),
        Trial::test(
            "identity::where_it_cannot_be",
            story(stage.alone(identity::where_it_cannot_be_nothing_else_is_claimed)),
        ),
        Trial::test(
            "roundtrip::every_field_is_kept",
            story(stage.alone(roundtrip::every_field_is_kept)),
        ),
    ]
}

/// An error of a story with all its causes.
fn story(
    test: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> impl FnOnce() -> Result<(), libtest_mimic::Failed> + Send + 'static {
    || test().map_err(|error| format!("{error:#}").into())
}
