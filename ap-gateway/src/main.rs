//! The access point as a program: configure, observe, build, serve, drain.

use std::process::ExitCode;

use ap_gateway::Listeners;
use ap_gateway::config::Config;
use clap::Parser;
use service_kit::clock::Clock;
use service_kit::config::LogArgs;
use service_kit::lifecycle::Lifecycle;
use service_kit::telemetry;

#[derive(Debug, Parser)]
#[command(name = "ap-gateway", version, about = "The access point between the broker and the shelves")]
struct Arguments {
    #[command(flatten)]
    config: Config,
    #[command(flatten)]
    log: LogArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(cause = format!("{error:#}"), "the access point ends");
            ExitCode::FAILURE
        }
    }
}

async fn start(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { config, log } = arguments;
    let _logs = telemetry::start("ap-gateway", &log)?;
    config.identity()?;
    let listeners = Listeners::bind(&config).await?;
    let lifecycle = Lifecycle::new();
    lifecycle.stop_on_signals();
    ap_gateway::run(config, listeners, Clock::system(), lifecycle.clone()).await?;
    lifecycle.drain().await?;
    Ok(())
}
