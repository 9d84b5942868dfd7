//! The certwright binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The only crypto provider in the program; an error says that it is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    certwright::cli::run()
}
