//! The broker as a program: configure, observe, build, serve, drain.

use std::process::ExitCode;

use broker::{Config, Listeners, check, run, warning};
use clap::Parser;
use service_kit::clock::Clock;
use service_kit::lifecycle::Lifecycle;
use service_kit::telemetry;
use tracing::{error, info, warn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let config = Config::parse();
    match serve(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            error!("{failure:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let _logs = telemetry::start("broker", &config.log)?;
    let mistakes = check(&config).err().unwrap_or_default();
    for mistake in &mistakes {
        error!("{mistake}");
    }
    anyhow::ensure!(mistakes.is_empty(), "nothing was started: {} to mend", mistakes.len());
    let clock = Clock::system();
    if let Some(warning) = warning(&config, clock.now()) {
        warn!("{warning}");
    }
    let listeners = Listeners::bind(&config)?;
    let lifecycle = Lifecycle::new();
    lifecycle.stop_on_signals();
    run(config, listeners, clock, lifecycle).await?;
    info!("stopped");
    Ok(())
}
