//! How this process logs: how much, and in which form.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logging {
    /// cert-manager's `--v`: 0 to 2 what happens, 3 and 4 details, 5 and up everything.
    pub verbosity: u8,
    /// The form of a line.
    pub format: Format,
}

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An object per line, for machines.
    Json,
    /// For people.
    Text,
}

impl Logging {
    /// Log to standard error from now on. Does nothing where a subscriber is installed already.
    pub fn start(self) {
        let filter = self.filter();
        let registry = tracing_subscriber::registry();
        let started = match self.format {
            Format::Json => {
                let json = fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(io::stderr);
                registry.with(json.with_filter(filter)).try_init()
            }
            Format::Text => {
                let colours = io::stderr().is_terminal();
                let text = fmt::layer().with_ansi(colours).with_writer(io::stderr);
                registry.with(text.with_filter(filter)).try_init()
            }
        };
        if started.is_err() {
            tracing::debug!("logging was started before");
        }
    }

    /// What is logged: much of our own, little of the libraries'.
    fn filter(self) -> Targets {
        let (own, libraries) = match self.verbosity {
            0..=2 => (LevelFilter::INFO, LevelFilter::WARN),
            3 | 4 => (LevelFilter::DEBUG, LevelFilter::WARN),
            5..=7 => (LevelFilter::TRACE, LevelFilter::INFO),
            _ => (LevelFilter::TRACE, LevelFilter::DEBUG),
        };
        // Logs each refused request as an error, also those that are tried again or expected; we
        // log what becomes of them.
        let requests = if self.verbosity < 5 {
            LevelFilter::OFF
        } else {
            libraries
        };
        Targets::new()
            .with_default(libraries)
            // Logs the whole of an answer that it cannot read, and some are Secrets.
            .with_target("kube_client::client", LevelFilter::OFF)
            .with_target("kube_client::client::builder", requests)
            .with_target("certwright", own)
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn libraries_are_quieter_than_we_are() {
        for (verbosity, target, level, want) in [
            (0, "certwright::cluster", Level::INFO, true),
            (2, "certwright::cluster", Level::DEBUG, false),
            (2, "kube_runtime", Level::INFO, false),
            (2, "kube_runtime", Level::WARN, true),
            (2, "kube_client::client::builder", Level::ERROR, false),
            (5, "kube_client::client::builder", Level::ERROR, true),
            (2, "kube_client::client", Level::WARN, false),
            (5, "kube_client::client", Level::WARN, false),
            (9, "kube_client::client", Level::ERROR, false),
            (4, "certwright", Level::DEBUG, true),
            (4, "hyper", Level::DEBUG, false),
            (6, "certwright", Level::TRACE, true),
            (9, "hyper", Level::DEBUG, true),
        ] {
            let format = Format::Text;
            let filter = Logging { verbosity, format }.filter();
            assert_eq!(
                filter.would_enable(target, &level),
                want,
                "--v={verbosity} {target} {level}"
            );
        }
    }
}
