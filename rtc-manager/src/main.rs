//! `rtc-manager`: configure, observe, build, serve, drain.

use clap::Parser;
use rtc_manager::{Config, Listeners};
use service_kit::clock::Clock;
use service_kit::lifecycle::Lifecycle;
use service_kit::telemetry;
use tracing::info;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let _logs = telemetry::start("rtc-manager", &config.log)?;
    let listeners = Listeners::bind(&config).await?;
    let lifecycle = Lifecycle::new();
    lifecycle.stop_on_signals();
    info!(http = %format!("http://{}", config.http), broker = config.broker.address, "serving");
    rtc_manager::run(config, listeners, Clock::system(), lifecycle.clone()).await?;
    lifecycle.drain().await?;
    Ok(())
}
