//! What do people do with certwright, and does it work on a real control plane?
//!
//! One test bed serves all stories; it starts when the first one runs. Each story lives in
//! namespaces of its own.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::process::ExitCode;

use anyhow::{Error, Result};
use libtest_mimic::{Arguments, Failed, Trial};
use testbed::{Bed, stage::Stage};

mod acme;
mod admission;
mod bed;
mod identity;
mod issue;
#[path = "../objects/mod.rs"]
mod objects;
mod roundtrip;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Stories wait more than they work.
    arguments.test_threads.get_or_insert(8);
    let binary = env!("CARGO_BIN_EXE_certwright").into();
    let mut book = Book {
        stage: Stage::new(Some(binary)).unwrap(),
        trials: Vec::new(),
    };
    tell(&mut book);
    let Book { stage, trials } = book;
    let conclusion = libtest_mimic::run(&arguments, trials);
    stage.end(conclusion.has_failed());
    conclusion.exit_code()
}

/// Those that are alone come last: the shared operator is stopped for them.
fn tell(book: &mut Book) {
    book.without_operator("acme::every_account_key", acme::every_account_key);
    book.without_operator("acme::external_account", acme::external_account);
    book.without_operator("acme::order_to_revocation", acme::order_to_revocation);
    book.without_operator("acme::refusals", acme::refusals);
    book.without_operator("acme::rejected_nonces", acme::rejected_nonces);
    book.without_operator("bed::acme_server", bed::the_acme_server_answers);
    book.without_operator(
        "bed::ingress_controller",
        bed::the_ingress_controller_routes,
    );

    book.beside("issue::by_dns01", issue::by_dns01);
    book.beside("issue::by_http01", issue::by_http01);
    book.alone(
        "issue::another_operator_goes_on",
        issue::another_operator_goes_on,
    );

    // The operator would approve and answer what these write.
    book.alone("admission::certificates", admission::certificates);
    book.alone("admission::challenges", admission::challenges);
    book.alone("admission::issuers", admission::issuers);
    book.alone("admission::many_names", admission::many_names);
    book.alone("admission::orders", admission::orders);
    book.alone("admission::requests", admission::requests);
    book.alone(
        "identity::elsewhere",
        identity::where_it_cannot_be_nothing_else_is_claimed,
    );
    book.alone(
        "identity::written_down",
        identity::the_requester_is_written_down,
    );
    book.alone("roundtrip::every_field", roundtrip::every_field_is_kept);
    // Takes the API server away for a moment.
    book.alone("bed::control_plane", bed::the_control_plane_works);
}

/// The stories, and where they are played.
struct Book {
    stage: Stage,
    trials: Vec<Trial>,
}

impl Book {
    fn without_operator<T>(&mut self, name: &str, test: T)
    where
        T: AsyncFnOnce(&Bed) -> Result<()> + Send + 'static,
    {
        let run = self.stage.without_operator(test);
        self.trials
            .push(Trial::test(name, || run().map_err(failed)));
    }

    fn beside<T>(&mut self, name: &str, test: T)
    where
        T: AsyncFnOnce(&Bed) -> Result<()> + Send + 'static,
    {
        let run = self.stage.beside(test);
        self.trials
            .push(Trial::test(name, || run().map_err(failed)));
    }

    fn alone<T>(&mut self, name: &str, test: T)
    where
        T: AsyncFnOnce(&Bed) -> Result<()> + Send + 'static,
    {
        let run = self.stage.alone(test);
        self.trials
            .push(Trial::test(name, || run().map_err(failed)));
    }
}

/// An error with all its causes.
#[expect(clippy::needless_pass_by_value, reason = "map_err gives it away")]
fn failed(error: Error) -> Failed {
    format!("{error:#}").into()
}
