//! Configure, observe, build, serve, drain.

use anyhow::Context;
use clap::Parser;
use pricetag_service::{Config, Listeners, run};
use service_kit::clock::Clock;
use service_kit::lifecycle::Lifecycle;
use service_kit::telemetry;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let _logs = telemetry::start("pricetag-service", &config.log)?;
    let http = TcpListener::bind(config.http)
        .await
        .with_context(|| format!("cannot listen on {}; choose another address with --http", config.http))?;
    tracing::info!(address = %http.local_addr()?, "pages and API");
    let lifecycle = Lifecycle::new();
    lifecycle.stop_on_signals();
    run(config, Listeners { http }, Clock::system(), lifecycle).await?;
    Ok(())
}
