//! `phones`: simulated phones that call each other, in front of any running deployment.

#![expect(clippy::print_stderr, reason = "mistakes are told to the person at the terminal")]

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use service_kit::clock::Clock;
use service_kit::config::{ApiArgs, LogArgs};
use service_kit::lifecycle::Lifecycle;
use service_kit::telemetry;
use simulators::phone::{Manner, State};
use simulators::phone_fleet::api::ManagerApi;
use simulators::phone_fleet::traffic::{self, Traffic};
use simulators::phone_fleet::{PhoneFleet, PhoneSpec};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tracing::info;
use wire::call::UserId;

/// How long the manager may take to be there.
const START_TIMEOUT: Duration = Duration::from_mins(2);
/// Users with names; the others are numbered.
const NAMES: [&str; 12] =
    ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "mallory", "niaj"];

const EXAMPLE: &str = "\
Example, with the token the call manager was started with:
  phones --manager http://127.0.0.1:8091 --api-token @token --users 6 --devices-per-user 2 --calls-per-minute 20

Beside a running demo:
  phones --api-token @data/demo/api-token.secret --users 4 --events";

/// Simulates phones that call each other, in front of any running deployment
///
/// First users are added over the call manager's API, which answers with the secret each user's phones register with;
/// a known user gets a new secret. Then each phone registers over HTTP, connects to the broker with what it was given,
/// and says hello. From then on phones call at random: they answer, decline or let it ring, talk for a while and hang
/// up. With several phones per user, the first to answer stops the others.
///
/// A line of status comes every few seconds; `--events` prints every ring as it happens. The pages of the call manager
/// show the same from its side.
#[derive(Debug, Parser)]
#[command(name = "phones", version, after_help = EXAMPLE)]
struct Args {
    /// Call manager
    #[arg(long, env = "RTC_MANAGER", default_value = "http://127.0.0.1:8091", value_name = "URL")]
    manager: String,
    #[command(flatten)]
    api: ApiArgs,
    /// Users, at most 10000; the first twelve are alice, bob, carol, …, the others user-13 and so on
    #[arg(long, env = "PHONE_USERS", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "N")]
    users: u32,
    /// Phones of each user, at most 10
    #[arg(long, env = "PHONE_DEVICES_PER_USER", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=10), value_name = "N")]
    devices_per_user: u32,
    /// Calls of all phones together; 0 for phones that only wait
    #[arg(long, env = "PHONE_CALLS_PER_MINUTE", default_value_t = 10, value_name = "N")]
    calls_per_minute: u32,
    /// Longest talk, in seconds
    #[arg(long, env = "PHONE_TALK_SECS_MAX", default_value_t = 25, value_parser = clap::value_parser!(u64).range(3..=3600), value_name = "SECS")]
    talk_secs_max: u64,
    /// Seed of the dice: who calls whom, and how they behave
    #[arg(long, env = "SEED", default_value_t = 42, value_name = "N")]
    seed: u64,
    /// Name of this set of phones: the same name gets the same phones again, another one further phones of the users
    #[arg(long, env = "PHONE_INSTALLATION", default_value = "simulated", value_name = "TEXT")]
    installation: String,
    /// Print every event of every phone
    #[arg(long, env = "PHONE_EVENTS")]
    events: bool,
    /// Seconds between two lines of status
    #[arg(long, env = "STATUS_SECS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..), value_name = "SECS")]
    status_secs: u64,
    #[command(flatten)]
    log: LogArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("phones: {failure:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let _log = telemetry::start("phones", &args.log)?;
    let (clock, lifecycle) = (Clock::system(), Lifecycle::new());
    lifecycle.stop_on_signals();
    let stopping = lifecycle.stopping();
    let Some(started) = stopping.run_until_cancelled(start(&args, &clock, &lifecycle)).await else {
        return Ok(());
    };
    let fleet = started?;
    if args.events {
        lifecycle.spawn("events", print_events(fleet.clone(), stopping.clone()));
    }
    let traffic = Traffic {
        calls_per_minute: args.calls_per_minute,
        talk_secs_max: args.talk_secs_max,
        seed: args.seed,
    };
    lifecycle.spawn("traffic", traffic::run(fleet.clone(), traffic, clock.clone(), stopping.clone()));
    lifecycle.spawn("status", report(fleet, clock, Duration::from_secs(args.status_secs), stopping));
    lifecycle.drain().await?;
    Ok(())
}

async fn start(args: &Args, clock: &Clock, lifecycle: &Lifecycle) -> anyhow::Result<PhoneFleet> {
    let api = ManagerApi::new(&args.manager, args.api.token.clone())?;
    info!(manager = %args.manager, patience_secs = START_TIMEOUT.as_secs(), "waiting for the call manager");
    api.until_ready(clock, clock.now().plus(START_TIMEOUT)).await.context("check --manager")?;
    let mut specs = Vec::new();
    for n in 0..args.users {
        let user = user(n)?;
        let secret = api
            .add_user(&user)
            .await
            .with_context(|| format!("`{user}` could not be added; check --api-token"))?;
        specs.extend((1..=args.devices_per_user).map(|phone| PhoneSpec {
            user: user.clone(),
            secret: secret.clone(),
            installation: format!("{}-{phone}", args.installation),
            manner: Manner::default(),
        }));
    }
    let fleet = PhoneFleet::start(&api, specs, clock, lifecycle).await?;
    info!(phones = fleet.phones().len(), users = args.users, "the phones are registered");
    Ok(fleet)
}

fn user(n: u32) -> anyhow::Result<UserId> {
    let index = usize::try_from(n)?;
    let name = NAMES.get(index).map_or_else(|| format!("user-{}", n + 1), |name| (*name).to_owned());
    Ok(name.parse()?)
}

async fn print_events(fleet: PhoneFleet, stopping: CancellationToken) -> std::io::Result<()> {
    let mut events = fleet.listen();
    while let Some(event) = stopping.run_until_cancelled(events.recv()).await {
        match event {
            Ok(event) => writeln!(std::io::stdout(), "{event}")?,
            Err(RecvError::Lagged(missed)) => writeln!(std::io::stdout(), "… {missed} events not shown")?,
            Err(RecvError::Closed) => break,
        }
    }
    stopping.cancelled().await;
    Ok(())
}

/// Prints a line now and then.
async fn report(
    fleet: PhoneFleet,
    clock: Clock,
    every: Duration,
    stopping: CancellationToken,
) -> std::io::Result<()> {
    while stopping.run_until_cancelled(clock.sleep(every)).await.is_some() {
        writeln!(std::io::stdout(), "{}", status(&fleet))?;
    }
    writeln!(std::io::stdout(), "{}", status(&fleet))
}

fn status(fleet: &PhoneFleet) -> String {
    let views = fleet.views();
    let ringing = views.values().filter(|view| matches!(view.state, State::Ringing { .. })).count();
    let talking = views.values().filter(|view| matches!(view.state, State::Talking { .. })).count();
    let counters = fleet.counters();
    let ended: Vec<String> =
        counters.ended.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let ignored: u64 = counters.ignored.values().sum();
    format!(
        "{}/{} phones online, {ringing} ring, {talking} talk | {} calls, {} rings, {} answered | ended: {} | {} refused, {ignored} ignored",
        fleet.online(),
        views.len(),
        counters.dialled,
        counters.rang,
        counters.talked / 2,
        if ended.is_empty() { "none".to_owned() } else { ended.join(", ") },
        counters.refused,
    )
}
