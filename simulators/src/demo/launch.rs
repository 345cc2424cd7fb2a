//! Programs as tasks of this process, or as processes of their own.

use std::fmt::Display;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use service_kit::clock::Clock;
use service_kit::lifecycle::Lifecycle;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::plan::{Plan, ProgramName};

/// How long a program may take until it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
const READY_POLL: Duration = Duration::from_millis(20);

/// Runs a program with its command line until the lifecycle stops.
pub async fn run_program(
    program: ProgramName,
    arguments: Vec<String>,
    lifecycle: Lifecycle,
) -> anyhow::Result<()> {
    let clock = Clock::system();
    match program {
        ProgramName::Broker => {
            let config = broker::Config::try_parse_from(arguments)?;
            let listeners = broker::Listeners::bind(&config)?;
            broker::run(config, listeners, clock, lifecycle).await?;
        }
        ProgramName::RtcManager => {
            let config = rtc_manager::Config::try_parse_from(arguments)?;
            let listeners = rtc_manager::Listeners::bind(&config).await?;
            rtc_manager::run(config, listeners, clock, lifecycle).await?;
        }
        ProgramName::PricetagService => {
            let config = pricetag_service::Config::try_parse_from(arguments)?;
            let http = tokio::net::TcpListener::bind(config.http).await?;
            let listeners = pricetag_service::Listeners { http };
            pricetag_service::run(config, listeners, clock, lifecycle).await?;
        }
        ProgramName::North | ProgramName::South => {
            let config = ap_gateway::config::Config::try_parse_from(arguments)?;
            let listeners = ap_gateway::Listeners::bind(&config).await?;
            ap_gateway::run(config, listeners, clock, lifecycle).await?;
        }
    }
    Ok(())
}

/// Starts every program as tasks of this process and waits until each is ready.
pub async fn start_tasks(plan: &Plan, lifecycle: &Lifecycle) -> anyhow::Result<()> {
    for program in ProgramName::ALL {
        let inner = lifecycle.child();
        let arguments = plan.command_line(program);
        lifecycle.spawn(program.as_str(), async move {
            let ran = run_program(program, arguments, inner.clone()).await.map_err(|error| chain(&error));
            inner.stop();
            let drained = inner.drain().await.map_err(|error| error.to_string());
            ran.and(drained)
        });
        until_ready(plan, program, lifecycle).await?;
    }
    Ok(())
}

fn chain(error: &anyhow::Error) -> String {
    format!("{error:#}")
}

/// Returns once a program answers that it is ready.
pub async fn until_ready(plan: &Plan, program: ProgramName, lifecycle: &Lifecycle) -> anyhow::Result<()> {
    let url = plan.ready_url(program);
    let asking = async {
        loop {
            if reqwest::get(&url).await.is_ok_and(|response| response.status().is_success()) {
                return;
            }
            tokio::time::sleep(READY_POLL).await;
        }
    };
    let stopping = lifecycle.stopping();
    tokio::select! {
        ready = timeout(READY_TIMEOUT, asking) => {
            ready.with_context(|| format!("{} is not ready at {url}", program.as_str()))
        }
        () = stopping.cancelled() => bail!("stopped while {} was starting", program.as_str()),
    }
}

/// A program as a process of its own; killed when dropped.
#[derive(Debug)]
pub struct Process {
    program: ProgramName,
    child: Child,
}

impl Process {
    /// Executes this binary again, with the hidden subcommand.
    pub async fn start(plan: &Plan, program: ProgramName, lifecycle: &Lifecycle) -> anyhow::Result<Self> {
        let arguments = plan.command_line(program);
        let child = Command::new(std::env::current_exe()?)
            .args(["--log", &plan.log, "run", program.as_str()])
            .args(&arguments[1..])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.as_str()))?;
        until_ready(plan, program, lifecycle).await?;
        Ok(Process { program, child })
    }

    /// SIGKILL, and waits until it is gone.
    pub async fn kill(mut self) -> Result<(), impl Display> {
        self.child
            .kill()
            .await
            .map_err(|error| format!("{} cannot be killed: {error}", self.program.as_str()))
    }
}
