//! Shop, tags, till and phones, ready to play.

use std::time::Duration;

use anyhow::Context;
use service_kit::clock::Clock;
use service_kit::lifecycle::Lifecycle;
use wire::DeviceId;
use wire::till::{Price, ProductId};

use super::act::Act;
use super::cable::Cable;
use super::options::{Options, local};
use super::phones::Phones;
use super::plan::{NORTH, Plan, SOUTH, STORE};
use super::screen::Screen;
use super::secrets::Secrets;
use crate::air::{Knobs, Probability};
use crate::shop::{Client, ShopPlan, furnish};
use crate::tag::Settings;
use crate::tag_fleet::{CellConfig, FleetConfig, TagFleet};
use crate::till::{Till, TillConfig};

/// How often the till asks for new prices.
const TILL_POLL: Duration = Duration::from_millis(300);
/// How long a simulated screen takes to redraw.
const REDRAW_MS: u32 = 400;

/// What must be there before a program starts.
#[derive(Debug)]
pub struct Ground {
    /// Where the programs will be.
    pub plan: Plan,
    /// Every secret.
    pub secrets: Secrets,
    /// The uplink of access point north.
    pub cable: Cable,
}

impl Ground {
    /// Makes secrets and provisioning in the plan's folder, and lays the cable.
    pub async fn prepare(mut plan: Plan, lifecycle: &Lifecycle) -> anyhow::Result<Self> {
        let secrets = Secrets::load_or_make(&plan.dir)?;
        secrets.write_files(&plan.dir)?;
        let cable = Cable::lay(plan.mqtt(), lifecycle).await?;
        plan.north_uplink = cable.address().to_string();
        Ok(Ground { plan, secrets, cable })
    }
}

/// Everything the acts need.
#[derive(Debug)]
pub struct Stage {
    /// Where the programs are.
    pub plan: Plan,
    /// What is in the shop.
    pub shop: ShopPlan,
    /// The price-tag service.
    pub api: Client,
    /// The tags.
    pub fleet: TagFleet,
    /// The till.
    pub till: Till,
    /// The phones.
    pub phones: Phones,
    /// The uplink of access point north.
    pub cable: Cable,
    /// Tells the time.
    pub clock: Clock,
    /// Where acts say what they wait for.
    pub screen: Screen,
}

impl Stage {
    /// Furnishes the shop, switches tags and till on, and connects the phones. The programs run already.
    pub async fn set(
        options: &Options,
        Ground { plan, secrets, cable }: Ground,
        screen: Screen,
        lifecycle: &Lifecycle,
    ) -> anyhow::Result<Self> {
        let clock = Clock::system();
        let access_points: Vec<DeviceId> = vec![NORTH.parse()?, SOUTH.parse()?];
        let shop = ShopPlan::new(options.seed, STORE.parse()?, &access_points, usize::from(options.tags))?;
        let api = Client::new(&plan.prices_url(), secrets.api_token())?;
        furnish(&api, &shop).await.context("the shop could not be set up")?;
        let memory = plan.dir.join("tags");
        let fleet = fleet(options, &plan, &shop);
        let fleet = TagFleet::start_with_memory(fleet, &memory, &clock, lifecycle).await?;
        let till = shop.tills.first().context("a shop has a till")?.clone();
        let till = TillConfig { store: shop.store.clone(), till, poll_interval: TILL_POLL };
        let till = Till::start(api.clone(), till, &clock, lifecycle);
        let phones = Phones::start(&plan, &secrets, &clock, lifecycle).await?;
        phones.welcome(Act::begin("START", screen)).await.map_err(anyhow::Error::msg)?;
        Ok(Stage { plan, shop, api, fleet, till, phones, cable, clock, screen })
    }

    /// An act begins.
    pub fn act(&self, name: &'static str) -> Act {
        Act::begin(name, self.screen)
    }

    /// A product of the shop and what people call it.
    pub fn product(&self, name: &str) -> Result<(ProductId, String), String> {
        let product = self.shop.products.iter().find(|product| product.product.as_str() == name);
        let product = product.ok_or_else(|| format!("the shop sells no `{name}`"))?;
        Ok((product.product.clone(), product.name.clone()))
    }

    /// Changes a price; the change's name.
    pub async fn change_price(
        &self,
        product: &ProductId,
        price: Price,
        reason: &str,
    ) -> Result<String, String> {
        let changed = self.api.change_price(&self.shop.store, product, price, reason).await;
        changed.map_err(|error| error.to_string())
    }

    /// Frames both access points refused, by their own metrics.
    pub async fn frames_refused(&self) -> Result<u64, String> {
        let mut refused = 0;
        for port in [self.plan.ports.north, self.plan.ports.south] {
            let text = metrics(&format!("http://{}/metrics", local(port)))
                .await
                .map_err(|error| error.to_string())?;
            refused += sum_of(&text, "ap_gateway_frames_refused_total");
        }
        Ok(refused)
    }
}

fn fleet(options: &Options, plan: &Plan, shop: &ShopPlan) -> FleetConfig {
    let cells = shop.tags_by_access_point().into_iter().map(|(access_point, tags)| {
        let port =
            if access_point.as_str() == NORTH { plan.ports.radio_north } else { plan.ports.radio_south };
        CellConfig { access_point, gateway: local(port), tags }
    });
    let loss = Probability::percent(options.loss_percent);
    FleetConfig {
        cells: cells.collect(),
        settings: Settings {
            check_in_ms: super::plan::CHECK_IN_MS,
            redraw_ms: REDRAW_MS,
            ..Settings::default()
        },
        air: Knobs { loss, ..Knobs::default() },
        seed: options.seed,
    }
}

async fn metrics(url: &str) -> Result<String, reqwest::Error> {
    reqwest::get(url).await?.error_for_status()?.text().await
}

/// The value of a metric, summed over its labels.
pub fn sum_of(text: &str, name: &str) -> u64 {
    text.lines()
        .filter(|line| line.starts_with(name))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}
