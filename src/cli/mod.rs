//! The command line, one file per subcommand.

mod ca_requests;
pub mod connect;
pub mod controller;
pub mod crds;
pub mod flags;
pub mod logging;
mod reconcilers;
pub mod revoke;
mod starter;
mod wanted;

use std::{
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use self::{crds::CrdsError, flags::Flags};

/// Certificates in Kubernetes: issued, renewed and revoked.
#[derive(Debug, Parser)]
#[command(name = "certwright", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the operator.
    ///
    /// Every flag is also an environment variable: --leader-elect is CERTWRIGHT_LEADER_ELECT.
    Controller(Flags),
    /// Have a certificate revoked.
    ///
    /// Sets the annotation certwright.io/revoke on the Certificate: the operator then has another
    /// certificate with a new key issued, and the one before revoked at its CA. With
    /// --reason=keyCompromise it is revoked first.
    ///
    /// Needs the rights to get and patch the Certificate. Who may list Issuances too is told at once if
    /// the certificate cannot be revoked; others learn that from events on the Certificate.
    ///
    /// Ends with 0 when it was asked for, or need not be; with --wait when the certificate is revoked, or
    /// has expired. Else it ends with 1 and says why.
    Revoke(revoke::Args),
    /// Print the definitions of the resources.
    Crds(crds::Args),
    /// Print the version.
    Version,
}

/// Do what the command line says.
pub fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Controller(flags) => controller(&flags),
        Command::Revoke(args) => {
            let done = revoke::run(args, &mut io::stdout().lock());
            printed(done)
        }
        Command::Crds(args) => {
            let done = crds::run(&args, &mut io::stdout().lock());
            printed(done.or_else(|error| match error {
                // Whoever read has read enough.
                CrdsError::Print(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                error => Err(error),
            }))
        }
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            printed(writeln!(io::stdout(), "certwright {version}"))
        }
    }
}

fn controller(flags: &Flags) -> ExitCode {
    let settings = match flags.settings() {
        Ok(settings) => settings,
        Err(error) => return failed(&error),
    };
    settings.logging.start();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let ended = runtime.block_on(controller::run(settings));
    // A look-up of a name on a blocking thread must not hold the end up.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "ended");
            ExitCode::FAILURE
        }
    }
}

fn printed<E: Display>(done: Result<(), E>) -> ExitCode {
    done.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
}

fn failed(error: &impl Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "certwright: {error}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn subcommands_are_told_apart() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).map(|cli| cli.command);
        assert!(matches!(parse("certwright version"), Ok(Command::Version)));
        let controller = parse("certwright controller --v=2 --leader-elect=false");
        let Ok(Command::Controller(flags)) = controller else {
            panic!("{controller:?}");
        };
        assert_eq!(flags.settings().unwrap().leader_election, None);
        assert!(parse("certwright").is_err());
        assert!(parse("certwright controller crds").is_err());
    }
}
