//! The test bed as a program.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use testbed::{
    Bed, BedOptions,
    bench::{self, Load},
    demo,
    home::Home,
    progress::Progress,
    simulate::{self, Fleet},
    tools::Tools,
};

/// A real cluster in a folder: API server, ACME server, DNS server and ingress controller.
#[derive(Parser)]
#[command(name = "testbed")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Issue the certificates of docs/examples/quickstart.yaml and check them.
    Demo {
        /// Leave everything running until Ctrl-C.
        #[arg(long)]
        keep: bool,
    },
    /// Measure the operator and print one line of JSON.
    Bench(Load),
    /// Count the orders of many certificates over a year, by clock and plans alone.
    Simulate(Fleet),
    /// Start a test bed without the operator and leave it running until Ctrl-C.
    Up,
    /// Find, build or fetch the programs that the test bed runs.
    Tools,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    let home = Home::from_env();
    match command {
        Command::Demo { keep } => demo::run(home, keep).await,
        Command::Bench(load) => bench::run(home, &load).await,
        Command::Simulate(fleet) => {
            simulate::run(&fleet);
            Ok(())
        }
        Command::Up => up(home).await,
        Command::Tools => Tools::ready(&home, Progress::shown()).await.map(drop),
    }
}

async fn up(home: Home) -> Result<()> {
    let progress = Progress::shown();
    let bed = Bed::start(BedOptions {
        home,
        progress,
        binary: None,
        audit: false,
    })
    .await?;
    progress.step("ready; Ctrl-C ends it");
    println!("export KUBECONFIG={}", bed.kubeconfig().display());
    tokio::signal::ctrl_c().await?;
    Ok(())
}
