//! Which stories are told, and with which company?

use anyhow::{Error, Result};
use libtest_mimic::{Failed, Trial};
use testbed::{Bed, stage::Stage};

/// The stories, and where they are played.
pub(crate) struct Book {
    pub(crate) stage: Stage,
    pub(crate) trials: Vec<Trial>,
}

impl Book {
    /// A story that needs the test bed but no operator.
    pub(crate) fn without_operator<T>(&mut self, name: &str, test: T)
    where
        T: AsyncFnOnce(&Bed) -> Result<()> + Send + 'static,
    {
        let run = self.stage.without_operator(test);
        self.trials
            .push(Trial::test(name, || run().map_err(failed)));
    }

    /// A story that shares the operator with others.
    pub(crate) fn beside<T>(&mut self, name: &str, test: T)
    where
        T: AsyncFnOnce(&Bed) -> Result<()> + Send + 'static,
    {
        let run = self.stage.beside(test);
        self.trials
            .push(Trial::test(name, || run().map_err(failed)));
    }

    /// A story that starts operators of its own.
    pub(crate) fn alone<T>(&mut self, name: &str, test: T)
    where
        T: AsyncFnOnce(&Bed) -> Result<()> + Send + 'static,
    {
        let run = self.stage.alone(test);
        self.trials
            .push(Trial::test(name, || run().map_err(failed)));
    }
}

/// An error with all its causes.
fn failed(error: Error) -> Failed {
    format!("{error:#}").into()
}
