//! The one command: `cargo run --release`.

#![expect(clippy::print_stderr, reason = "mistakes are told to the person at the terminal")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use service_kit::clock::Clock;
use service_kit::config::LogArgs;
use service_kit::lifecycle::Lifecycle;
use service_kit::telemetry;
use simulators::demo::check::{self, Deployment};
use simulators::demo::folder::FolderLock;
use simulators::demo::launch::{run_program, start_tasks};
use simulators::demo::options::{Options, Ports, Program};
use simulators::demo::plan::Plan;
use simulators::demo::screen::Screen;
use simulators::demo::stage::{Ground, Stage};
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

const STOPPING: &str = "stopping: every program finishes what it has begun (a few seconds)";

async fn run_story(options: Options, lifecycle: Lifecycle) -> anyhow::Result<bool> {
    let screen = Screen::begin();
    let _folder = FolderLock::take(&options.data_dir)?;
    let mut ports = options.ports;
    ports.settle().map_err(anyhow::Error::msg)?;
    let kept = options.data_dir.display().to_string();
    screen.line(&format!("the programs start; what they keep is in {kept}"));
    let ground = prepare(&options, ports, options.data_dir.clone(), &lifecycle).await?;
    start_tasks(&ground.plan, &lifecycle).await?;
    let token = ground.secrets.api_token();
    let sign_in = format!("{}/login#token={}&next=/", ground.plan.prices_url(), token.reveal());
    let stage = Arc::new(Stage::set(&options, ground, screen, &lifecycle).await?);
    let stopping = lifecycle.stopping();
    let Some(well) = stopping.run_until_cancelled(story::tell(&stage, &sign_in)).await else {
        screen.line(STOPPING);
        lifecycle.drain().await?;
        return Ok(true);
    };
    if !well {
        screen.plain(&format!(
            "what waits is at {}/changes; a new --data-dir begins anew",
            stage.plan.prices_url()
        ));
    }
    if options.once {
        lifecycle.stop();
        lifecycle.drain().await?;
        let outcome = if well { "every act went well" } else { "not every act went well" };
        screen.line(&format!("done: {outcome}; the programs have stopped, what they kept is in {kept}"));
        return Ok(well);
    }
    go_on(stage, &options, &lifecycle);
    stopping.cancelled().await;
    screen.line(STOPPING);
    lifecycle.drain().await?;
    Ok(well)
}

/// Random traffic until somebody stops it.
fn go_on(stage: Arc<Stage>, options: &Options, lifecycle: &Lifecycle) {
    let (screen, stopping) = (stage.screen, lifecycle.stopping());
    let prices = stage.plan.prices_url();
    screen.line(&format!("your turn: change a price at {prices}/products/coffee"));
    screen.plain(&format!(
        "calls: {}   prices: {prices}   broker: {}   Ctrl-C stops",
        stage.plan.calls_url(),
        stage.plan.broker_url()
    ));
    let calls = Traffic { seed: options.seed, ..Traffic::default() };
    let calling =
        phone_fleet::traffic::run(stage.phones.fleet().clone(), calls, Clock::system(), stopping.clone());
    lifecycle.spawn("calls", calling);
    lifecycle.spawn("prices", traffic::run(stage, screen, options.seed, stopping));
}

async fn run_check(options: Options, lifecycle: Lifecycle) -> anyhow::Result<bool> {
    let screen = Screen::begin();
    let dir = std::env::temp_dir().join(format!("demo-check-{}", service_kit::random::new_id()));
    let mut ports = Ports::free();
    ports.settle().map_err(anyhow::Error::msg)?;
    let ground = prepare(&options, ports, dir.clone(), &lifecycle).await?;
    let mut deployment = Deployment::start(&ground.plan, &lifecycle).await?;
    let token = ground.secrets.api_token();
    let stage = Stage::set(&options, ground, screen, &lifecycle).await?;
    let stopping = lifecycle.stopping();
    let checking = check::run(&stage, &mut deployment, token.reveal());
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
    dir: PathBuf,
    lifecycle: &Lifecycle,
) -> anyhow::Result<Ground> {
    let plan = Plan { dir, ports, north_uplink: String::new(), log: options.log.clone() };
    Ground::prepare(plan, lifecycle).await
}
