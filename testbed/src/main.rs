//! The test bed as a program.

use anyhow::Result;
use clap::{Parser, Subcommand};
use testbed::{Bed, BedOptions, home::Home, progress::Progress, tools::Tools};

/// A real cluster in a folder.
#[derive(Parser)]
#[command(name = "testbed")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Find, build or fetch the programs that the test bed runs.
    Tools,
    /// Start a test bed and leave it running until Ctrl-C.
    Up,
}

#[tokio::main]
async fn main() -> Result<()> {
    let home = Home::from_env();
    let progress = Progress::shown();
    match Arguments::parse().command {
        Command::Tools => drop(Tools::ready(&home, progress).await?),
        Command::Up => {
            let bed = Bed::start(BedOptions {
                home,
                progress,
                binary: None,
                audit: false,
            })
            .await?;
            println!("export KUBECONFIG={}", bed.kubeconfig().display());
            tokio::signal::ctrl_c().await?;
        }
    }
    Ok(())
}
