//! The command line of the load generator.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use orgcast_load::compare::{self, figures};
use orgcast_load::error::LoadError;
use orgcast_load::options::Common;
use orgcast_load::report::write_json;
use orgcast_load::scenario::{
    acks, churn, fanout, hierarchy, hostile, idle, ping, rooms, stalled, storm,
};

/// Loads orgcast, or what one would use instead of it, and checks every delivery.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// Resident memory of idle connections
    Idle(idle::Options),
    /// Clients that emit in the moment in which they are connected; every one is answered
    Acks(acks::Options),
    /// One room, as fast as it goes or paced
    Fanout(fanout::Options),
    /// Connect, authenticate and subscribe, everybody at once
    Storm(storm::Options),
    /// Many rooms with few members
    Rooms(rooms::Options),
    /// Departments and queues with overlapping subscriptions
    Hierarchy(hierarchy::Options),
    /// Connections that come and go under a broadcast
    Churn(churn::Options),
    /// One reader that stops reading among many
    Stalled(stalled::Options),
    /// Attacks, one after the other and all at once, beside many who listen
    Hostile(hostile::Options),
    /// Requests with an acknowledgement, in a closed loop
    Ping(ping::Options),
    /// Churn for long, with the slope of the memory
    Soak(churn::SoakOptions),
    /// orgcast beside its peers: interleaved runs, medians, ratios
    Compare(compare::Options),
    /// Write what a comparison found into documents
    Figures(figures::Options),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(LoadError::Thread);
    match runtime.and_then(|runtime| runtime.block_on(run(&cli))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("orgcast-load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether nothing failed.
async fn run(cli: &Cli) -> Result<bool, LoadError> {
    let run = cli.common.run();
    let report = match &cli.scenario {
        Scenario::Idle(options) => idle::run(&run, options).await,
        Scenario::Acks(options) => acks::run(&run, options).await,
        Scenario::Fanout(options) => fanout::run(&run, options).await,
        Scenario::Storm(options) => storm::run(&run, options).await,
        Scenario::Rooms(options) => rooms::run(&run, options).await,
        Scenario::Hierarchy(options) => hierarchy::run(&run, options).await,
        Scenario::Churn(options) => churn::run(&run, options).await,
        Scenario::Stalled(options) => stalled::run(&run, options).await,
        Scenario::Hostile(options) => hostile::run(&run, options).await,
        Scenario::Ping(options) => ping::run(&run, options).await,
        Scenario::Soak(options) => churn::soak(&run, options).await,
        Scenario::Figures(options) => return figures::run(options).map(|()| true),
        Scenario::Compare(options) => {
            let outcome = compare::run(&cli.common, options).await?;
            if let Some(path) = &cli.common.json {
                write_json(path, &outcome)?;
            }
            return Ok(!outcome.orgcast_failed);
        }
    }?;
    print!("{report}");
    if let Some(path) = &cli.common.json {
        write_json(path, &report)?;
    }
    Ok(!report.is_failed())
}
