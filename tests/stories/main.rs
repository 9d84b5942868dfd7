//! What do people do with certwright, and does it work on a real control plane?
//!
//! One test bed serves all stories; it starts when the first one runs. Each story lives in
//! namespaces of its own.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod acme;
mod admission;
mod bed;
mod book;
mod chart;
mod leader;
mod identity;
mod issuer;
mod leader;
#[path = "../objects/mod.rs"]
mod objects;
mod roundtrip;

use std::process::ExitCode;

use libtest_mimic::Arguments;
use testbed::stage::Stage;

use book::Book;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Stories wait more than they compute.
    arguments.test_threads.get_or_insert(8);
    let binary = env!("CARGO_BIN_EXE_certwright").into();
    let stage = Stage::new(Some(binary)).unwrap();
    let mut book = Book { stage, trials: Vec::new() };
    tell(&mut book);
    let Book { stage, trials } = book;
    let conclusion = libtest_mimic::run(&arguments, trials);
    stage.end(conclusion.has_failed());
    conclusion.exit_code()
}

/// Those that are alone come last: the shared operator is stopped for them.
#[rustfmt::skip]
fn tell(book: &mut Book) {
    book.without_operator("acme::every_account_key", acme::every_account_key);
    book.without_operator("acme::external_account", acme::external_account);
    book.without_operator("acme::order_to_revocation", acme::order_to_revocation);
    book.without_operator("acme::refusals", acme::refusals);
    book.without_operator("acme::rejected_nonces", acme::rejected_nonces);
    book.without_operator("bed::acme_server", bed::the_acme_server_answers);
    book.without_operator("bed::ingress_controller", bed::the_ingress_controller_routes);
    book.without_operator("chart::cert_manager_is_replaced_and_comes_back", chart::cert_manager_is_replaced_and_comes_back);
    book.without_operator("chart::a_switch_that_would_fail_is_not_begun", chart::a_switch_that_would_fail_is_not_begun);
    book.without_operator("chart::the_plain_manifest_applies", chart::the_plain_manifest_applies);
    book.without_operator("chart::rights_are_what_they_should_be", chart::rights_are_what_they_should_be);
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
            "issuer::account",
            story(stage.beside(issuer::an_account_is_registered_once)),
        ),
        Trial::test(
            "issuer::external_account",
            story(stage.beside(issuer::an_external_account_is_bound_once)),
        ),
        Trial::test(
            "issuer::keys",
            story(stage.beside(issuer::account_keys_are_taken_over)),
        ),
        Trial::test(
            "issuer::server",
            story(stage.beside(issuer::the_server_is_followed)),
        ),
        Trial::test(
            "issuer::missing",
            story(stage.beside(issuer::what_is_missing_is_told)),
        ),
        Trial::test(
            "issuer::cluster_issuer",
            story(stage.beside(issuer::a_cluster_issuer_has_its_secrets_elsewhere)),
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

    book.beside("issuer::account", issuer::an_account_is_registered_once);
    book.beside("issuer::cluster_issuer", issuer::a_cluster_issuer_has_its_secrets_elsewhere);
    book.beside("issuer::external_account", issuer::an_external_account_is_bound_once);
    book.beside("issuer::keys", issuer::account_keys_are_taken_over);
    book.beside("issuer::missing", issuer::what_is_missing_is_told);
    book.beside("issuer::server", issuer::the_server_is_followed);

    book.alone("admission::certificates", admission::certificates);
    book.alone("admission::challenges", admission::challenges);
    book.alone("admission::issuers", admission::issuers);
    book.alone("admission::many_names", admission::many_names);
    book.alone("admission::orders", admission::orders);
    book.alone("admission::requests", admission::requests);
    book.alone("identity::written_down", identity::the_requester_is_written_down);
    book.alone("identity::where_it_cannot_be", identity::where_it_cannot_be_nothing_else_is_claimed);
    book.alone("leader::one_replica_leads", leader::one_replica_leads);
    book.alone("leader::a_restart_of_the_api_server_is_lived_through", leader::a_restart_of_the_api_server_is_lived_through);
    book.alone("roundtrip::every_field_is_kept", roundtrip::every_field_is_kept);
    // Takes the API server away for a moment.
    book.alone("bed::control_plane", bed::the_control_plane_works);
}
