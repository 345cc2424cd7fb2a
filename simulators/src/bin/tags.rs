//! `tags`: a simulated shop in front of any running deployment.

#![expect(clippy::print_stderr, reason = "mistakes are told to the person at the terminal")]

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use service_kit::clock::Clock;
use service_kit::config::{ApiArgs, LogArgs};
use service_kit::lifecycle::Lifecycle;
use service_kit::telemetry;
use simulators::air::{Knobs, Probability};
use simulators::shop::{Client, ShopPlan, furnish};
use simulators::tag::{Phase, Settings};
use simulators::tag_fleet::{CellConfig, FleetConfig, TagFleet};
use simulators::till::{Till, TillConfig};
use tracing::info;
use wire::DeviceId;
use wire::till::StoreId;

/// How long the service and the gateways may take to be there.
const START_TIMEOUT: Duration = Duration::from_mins(2);
const RESOLVE_POLL: Duration = Duration::from_secs(1);

const EXAMPLE: &str = "\
Example, with the token the service was started with, and access points started with --device north and --device south:
  tags --service http://127.0.0.1:8093 --api-token @data/token \\
       --gateway north=127.0.0.1:9900 --gateway south=127.0.0.1:9901 --count 60 --loss 0.05

The demo plays tags and a till of its own: beside it, use another --store and access points of your own.";

/// Simulates the e-paper tags and the till of a shop, in front of any running deployment
///
/// First the shop is set up in the price-tag service over its API: a store, its access points, products with names
/// and prices, tags with their keys, and which tag shows which product. Doing it again changes nothing.
/// Then the tags check in at their access points over UDP, fetch faces, draw them and confirm; the air between loses,
/// repeats and delays frames as told. A till follows the price feed.
///
/// The same seed makes the same shop: the same tags with the same keys. Every few seconds a line tells how it goes; it
/// runs until Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "tags", version, after_help = EXAMPLE)]
struct Args {
    /// Price-tag service
    #[arg(long, env = "PRICETAG_SERVICE", default_value = "http://127.0.0.1:8093", value_name = "URL")]
    service: String,
    #[command(flatten)]
    api: ApiArgs,
    /// Store to set up, the one the access points were started for
    #[arg(long, env = "STORE", default_value = "store-1", value_name = "ID")]
    store: StoreId,
    /// An access point: the name it was started with (`ap-gateway --device`), and where its radio listens (UDP); repeat
    /// it for more
    #[arg(
        long = "gateway",
        env = "GATEWAYS",
        value_delimiter = ',',
        required = true,
        value_name = "NAME=HOST:PORT"
    )]
    gateways: Vec<Gateway>,
    /// How many tags, at most 20000
    #[arg(long, env = "TAG_COUNT", default_value_t = 60, value_name = "N")]
    count: usize,
    /// Seed of the shop, the tags' keys and the air
    #[arg(long, env = "SEED", default_value_t = 42, value_name = "N")]
    seed: u64,
    #[command(flatten)]
    air: AirArgs,
    /// Folder where tags keep their pictures across restarts, as e-paper does; without it they begin blank, and a
    /// service that believes they show something waits for the next change
    #[arg(long, env = "TAG_MEMORY", value_name = "DIR")]
    memory: Option<PathBuf>,
    /// How long a tag sleeps when no access point answers, in milliseconds
    #[arg(long, env = "TAG_CHECK_IN_MS", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(50..=3_600_000), value_name = "MS")]
    check_in_ms: u32,
    /// How long a screen takes to redraw, in milliseconds
    #[arg(long, env = "TAG_REDRAW_MS", default_value_t = 800, value_name = "MS")]
    redraw_ms: u32,
    /// How often the till asks for new prices, in milliseconds
    #[arg(long, env = "TILL_POLL_MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..), value_name = "MS")]
    till_poll_ms: u64,
    /// Seconds between two lines of status
    #[arg(long, env = "STATUS_SECS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..), value_name = "SECS")]
    status_secs: u64,
    #[command(flatten)]
    log: LogArgs,
}

/// What the air does.
#[derive(Debug, clap::Args)]
struct AirArgs {
    /// Share of radio frames that are lost: 0 none, 1 all
    #[arg(long, env = "AIR_LOSS", default_value = "0.02", value_name = "0..1")]
    loss: Probability,
    /// Share of radio frames that arrive twice
    #[arg(long, env = "AIR_DUPLICATION", default_value = "0.01", value_name = "0..1")]
    duplication: Probability,
    /// Share of radio frames that are held back for 20 ms
    #[arg(long, env = "AIR_REORDERING", default_value = "0.01", value_name = "0..1")]
    reordering: Probability,
    /// Share of radio frames that arrive with a flipped bit
    #[arg(long, env = "AIR_DAMAGE", default_value = "0", value_name = "0..1")]
    damage: Probability,
    /// Shortest time in the air, in milliseconds
    #[arg(long, env = "AIR_DELAY_MIN_MS", default_value_t = 2, value_name = "MS")]
    delay_min_ms: u32,
    /// Longest time in the air, in milliseconds
    #[arg(long, env = "AIR_DELAY_MAX_MS", default_value_t = 8, value_name = "MS")]
    delay_max_ms: u32,
}

/// `north=127.0.0.1:9900`
#[derive(Clone, Debug)]
struct Gateway {
    access_point: DeviceId,
    address: String,
}

impl FromStr for Gateway {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, address) =
            text.split_once('=').ok_or_else(|| format!("`{text}` is not NAME=HOST:PORT"))?;
        if address.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            return Err(format!("`{address}` is not HOST:PORT"));
        }
        let access_point = name.parse().map_err(|error: wire::name::ParseNameError| error.to_string())?;
        Ok(Gateway { access_point, address: address.to_owned() })
    }
}

impl AirArgs {
    fn knobs(&self) -> Knobs {
        Knobs {
            delay_min_ms: self.delay_min_ms,
            delay_max_ms: self.delay_max_ms,
            loss: self.loss,
            duplication: self.duplication,
            reordering: self.reordering,
            damage: self.damage,
            ..Knobs::default()
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tags: {failure:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let _log = telemetry::start("tags", &args.log)?;
    let (clock, lifecycle) = (Clock::system(), Lifecycle::new());
    lifecycle.stop_on_signals();
    let stopping = lifecycle.stopping();
    let Some(started) = stopping.run_until_cancelled(start(&args, &clock, &lifecycle)).await else {
        return Ok(());
    };
    let shop = started?;
    lifecycle.spawn("status", report(shop, clock, Duration::from_secs(args.status_secs), stopping));
    lifecycle.drain().await?;
    Ok(())
}

struct Shop {
    plan: ShopPlan,
    fleet: TagFleet,
    till: Till,
}

async fn start(args: &Args, clock: &Clock, lifecycle: &Lifecycle) -> anyhow::Result<Shop> {
    let access_points: Vec<DeviceId> =
        args.gateways.iter().map(|gateway| gateway.access_point.clone()).collect();
    let plan = ShopPlan::new(args.seed, args.store.clone(), &access_points, args.count)?;
    let gateways = resolve(&args.gateways, clock).await?;
    let api = Client::new(&args.service, args.api.token.clone())?;
    info!(service = %args.service, patience_secs = START_TIMEOUT.as_secs(), "waiting for the price-tag service");
    api.until_ready(clock, clock.now().plus(START_TIMEOUT)).await.context("check --service")?;
    furnish(&api, &plan).await.context("the shop could not be set up; check --service and --api-token")?;
    info!(store = %plan.store, tags = plan.tags.len(), products = plan.products.len(), "the shop is set up");
    let cells = plan.tags_by_access_point().into_iter().filter_map(|(access_point, tags)| {
        let gateway = *gateways.get(&access_point)?;
        Some(CellConfig { access_point, gateway, tags })
    });
    let fleet = FleetConfig {
        cells: cells.collect(),
        settings: Settings {
            check_in_ms: args.check_in_ms,
            redraw_ms: args.redraw_ms,
            ..Settings::default()
        },
        air: args.air.knobs(),
        seed: args.seed,
    };
    let fleet = match &args.memory {
        Some(dir) => TagFleet::start_with_memory(fleet, dir, clock, lifecycle).await?,
        None => TagFleet::start(fleet, clock, lifecycle).await?,
    };
    let till = plan.tills.first().context("a shop has a till")?.clone();
    let poll_interval = Duration::from_millis(args.till_poll_ms);
    let till =
        Till::start(api, TillConfig { store: plan.store.clone(), till, poll_interval }, clock, lifecycle);
    Ok(Shop { plan, fleet, till })
}

/// Names of containers can be looked up once these are there.
async fn resolve(gateways: &[Gateway], clock: &Clock) -> anyhow::Result<BTreeMap<DeviceId, SocketAddr>> {
    let deadline = clock.now().plus(START_TIMEOUT);
    let mut addresses = BTreeMap::new();
    for Gateway { access_point, address } in gateways {
        let found = loop {
            let outcome = tokio::net::lookup_host(address).await;
            match outcome.map(|mut found| found.next()) {
                Ok(Some(found)) => break found,
                Ok(None) if clock.now() >= deadline => anyhow::bail!("`{address}` has no address"),
                Err(error) if clock.now() >= deadline => {
                    return Err(error).with_context(|| format!("`{address}` cannot be looked up"));
                }
                Ok(None) | Err(_) => clock.sleep(RESOLVE_POLL).await,
            }
        };
        addresses.insert(access_point.clone(), found);
    }
    Ok(addresses)
}

/// Prints a line now and then.
async fn report(
    shop: Shop,
    clock: Clock,
    every: Duration,
    stopping: tokio_util::sync::CancellationToken,
) -> std::io::Result<()> {
    while stopping.run_until_cancelled(clock.sleep(every)).await.is_some() {
        writeln!(std::io::stdout(), "{}", status(&shop))?;
    }
    writeln!(std::io::stdout(), "{}", status(&shop))
}

fn status(Shop { plan, fleet, till }: &Shop) -> String {
    let views = fleet.views();
    let showing = views.values().filter(|view| view.shown.is_some()).count();
    let awake = views.values().filter(|view| !matches!(view.phase, Phase::Asleep | Phase::Off)).count();
    let besides = views.values().filter(|view| view.led.is_some() || view.page.is_some()).count();
    let counters = fleet.counters();
    format!(
        "{}: {showing}/{} tags show a face, {awake} awake, {besides} lit or flipped | {} frames sent, {} lost, {} refused, {} redraws, {} operations, {} gave up | till at {}, {} prices",
        plan.store,
        plan.tags.len(),
        counters.frames_sent,
        counters.air.lost,
        counters.frames_refused,
        counters.redraws,
        counters.operations,
        counters.gave_up,
        till.cursor(),
        till.prices().len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_a_name_and_an_address() {
        let read = |text: &str| text.parse::<Gateway>();
        let gateway = read("north=gateway-1:9900").unwrap();
        assert_eq!((gateway.access_point.as_str(), gateway.address.as_str()), ("north", "gateway-1:9900"));
        assert_eq!(read("north").unwrap_err(), "`north` is not NAME=HOST:PORT");
        assert_eq!(read("north=host").unwrap_err(), "`host` is not HOST:PORT");
        assert_eq!(read("=host:1").unwrap_err(), "device ID is empty");
    }

    #[test]
    fn the_command_line_is_checked_as_a_whole() {
        use clap::CommandFactory;
        Args::command().debug_assert();
        let parsed =
            Args::try_parse_from(["tags", "--api-token", "t", "--gateway", "north=h:1", "--loss", "2"]);
        assert!(parsed.unwrap_err().to_string().contains("`2` is not a number from 0 to 1"));
    }
}
