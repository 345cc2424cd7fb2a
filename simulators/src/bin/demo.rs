//! The one command: `cargo run --release`.

#![expect(clippy::print_stderr, reason = "mistakes are told to the person at the terminal")]

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use service_kit::clock::Clock;
use service_kit::config::LogArgs;
use service_kit::lifecycle::Lifecycle;
use service_kit::telemetry;
use simulators::demo::cable::Cable;
use simulators::demo::check::{self, Deployment};
use simulators::demo::launch::{run_program, start_tasks};
use simulators::demo::options::{Options, Ports, Program};
use simulators::demo::plan::Plan;
use simulators::demo::screen::Screen;
use simulators::demo::secrets::Secrets;
use simulators::demo::stage::Stage;
use simulators::demo::{story, traffic};
use simulators::phone_fleet::{self, traffic::Traffic};

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let log = LogArgs { directives: options.log.clone(), ..LogArgs::default() };
    let outcome = match telemetry::start("demo", &log) {
        Ok(_guard) => serve(options).await,
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("demo: {failure:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options) -> anyhow::Result<bool> {
    let lifecycle = Lifecycle::new();
    lifecycle.stop_on_signals();
    if let Some(Program::Run { program, arguments }) = options.program.clone() {
        let line = std::iter::once(program.as_str().to_owned()).chain(arguments).collect();
        run_program(program, line, lifecycle.clone()).await?;
        lifecycle.stop();
        lifecycle.drain().await?;
        return Ok(true);
    }
    if options.check { run_check(options, lifecycle).await } else { run_story(options, lifecycle).await }
}

async fn run_story(options: Options, lifecycle: Lifecycle) -> anyhow::Result<bool> {
    let screen = Screen::begin();
    let mut ports = options.ports;
    ports.settle().map_err(anyhow::Error::msg)?;
    let (plan, secrets, cable) = prepare(&options, ports, options.data_dir.clone(), &lifecycle).await?;
    start_tasks(&plan, &lifecycle).await?;
    let login = format!("{}/login?token={}", plan.prices_url(), secrets.api_token().reveal());
    let stage = Arc::new(Stage::set(&options, plan, &secrets, cable, &lifecycle).await?);
    let stopping = lifecycle.stopping();
    let Some(well) = stopping.run_until_cancelled(story::tell(&stage, screen, &login)).await else {
        lifecycle.drain().await?;
        return Ok(true);
    };
    if options.once {
        lifecycle.stop();
    } else {
        screen.plain(&format!(
            "calls: {}   prices: {}   Ctrl-C stops",
            stage.plan.calls_url(),
            stage.plan.prices_url()
        ));
        let calls = Traffic { seed: options.seed, ..Traffic::default() };
        let calling =
            phone_fleet::traffic::run(stage.phones.fleet().clone(), calls, Clock::system(), stopping.clone());
        lifecycle.spawn("calls", calling);
        lifecycle.spawn("prices", traffic::run(stage, screen, options.seed, stopping));
    }
    lifecycle.drain().await?;
    Ok(well)
}

async fn run_check(options: Options, lifecycle: Lifecycle) -> anyhow::Result<bool> {
    let screen = Screen::begin();
    let dir = std::env::temp_dir().join(format!("demo-check-{}", service_kit::random::new_id()));
    let mut ports = Ports::free();
    ports.settle().map_err(anyhow::Error::msg)?;
    let (plan, secrets, cable) = prepare(&options, ports, dir.clone(), &lifecycle).await?;
    let mut deployment = Deployment::start(&plan, &lifecycle).await?;
    let stage = Stage::set(&options, plan, &secrets, cable, &lifecycle).await?;
    let stopping = lifecycle.stopping();
    let token = secrets.api_token();
    let checking = check::run(&stage, &mut deployment, token.reveal(), screen);
    let well = stopping.run_until_cancelled(checking).await.unwrap_or(false);
    lifecycle.stop();
    lifecycle.drain().await?;
    drop(deployment);
    if well {
        std::fs::remove_dir_all(&dir)?;
    } else {
        screen.plain(&format!("what the programs kept is in {}", dir.display()));
    }
    Ok(well)
}

async fn prepare(
    options: &Options,
    ports: Ports,
    dir: std::path::PathBuf,
    lifecycle: &Lifecycle,
) -> anyhow::Result<(Plan, Secrets, Cable)> {
    let secrets = Secrets::load_or_make(&dir)?;
    secrets.write_files(&dir)?;
    let mut plan = Plan { dir, ports, north_uplink: String::new(), log: options.log.clone() };
    let cable = Cable::lay(plan.mqtt(), lifecycle).await?;
    plan.north_uplink = cable.address().to_string();
    Ok((plan, secrets, cable))
}
