//! All programs in one process on free ports, real sockets, one seed: `SEED=42 cargo test -p simulators --test it world`
//! repeats the faults and the choices, not the interleaving.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Parser;
use serde_json::Value;
use service_kit::lifecycle::Lifecycle;
use simulators::air::Dice;
use simulators::demo::acts;
use simulators::demo::launch::start_tasks;
use simulators::demo::options::{Options, Ports};
use simulators::demo::plan::Plan;
use simulators::demo::screen::Screen;
use simulators::demo::secrets::Secrets;
use simulators::demo::stage::{Ground, Stage};
use wire::till::Price;

/// Tags of the world's shop.
const TAGS: &str = "24";
/// Random price changes, some of them while an access point is cut off.
const CHANGES: u64 = 12;

/// Every program and every device, running.
pub struct World {
    pub stage: Arc<Stage>,
    pub secrets: Secrets,
    pub seed: u64,
    lifecycle: Lifecycle,
    _dir: tempfile::TempDir,
}

impl World {
    pub async fn start() -> Self {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(42);
        println!("SEED={seed}");
        let options = Options::parse_from([
            "demo",
            "--seed",
            &seed.to_string(),
            "--tags",
            TAGS,
            "--loss-percent",
            "10",
        ]);
        let dir = tempfile::tempdir().unwrap();
        let lifecycle = Lifecycle::new();
        let mut ports = Ports::free();
        ports.settle().unwrap();
        let dir_path = dir.path().to_owned();
        let plan = Plan { dir: dir_path, ports, north_uplink: String::new(), log: "error".to_owned() };
        let ground = Ground::prepare(plan, &lifecycle).await.unwrap();
        start_tasks(&ground.plan, &lifecycle).await.unwrap();
        let secrets = ground.secrets.clone();
        let stage = Stage::set(&options, ground, Screen::begin(), &lifecycle).await.unwrap();
        World { stage: Arc::new(stage), secrets, seed, lifecycle, _dir: dir }
    }

    /// Everything stops in order.
    pub async fn stop(self) {
        self.lifecycle.stop();
        self.lifecycle.drain().await.unwrap();
    }

    /// By the records of the call manager.
    async fn longest_talk_ms(&self) -> i64 {
        let url = format!("{}/api/v1/calls?limit=10", self.stage.plan.calls_url());
        let calls: Vec<Value> = reqwest::get(url).await.unwrap().json().await.unwrap();
        let talk = |call: &Value| Some(call["ended_at"].as_i64()? - call["answered_at"].as_i64()?);
        calls.iter().filter_map(talk).max().expect("no call was answered and ended")
    }

    /// What each face costs, as the service rendered it.
    async fn prices_of_faces(&self) -> BTreeMap<String, i64> {
        let mut prices = BTreeMap::new();
        for tag in &self.stage.shop.tags {
            let view: Value = self.stage.api.tag(tag.config.tag).await.unwrap();
            for side in ["should_show", "shows"] {
                if let (Some(face), Some(price)) =
                    (view[side]["face"].as_str(), view[side]["price_minor"].as_i64())
                {
                    prices.insert(face.to_owned(), price);
                }
            }
        }
        prices
    }

    /// The invariant itself, by what tills charge and what screens show at this moment.
    fn till_is_never_above_a_tag(&self, prices: &BTreeMap<String, i64>) -> usize {
        let mut compared = 0;
        for tag in &self.stage.shop.tags {
            let before = self.stage.till.price(&tag.product);
            let shown = self.stage.fleet.shown(tag.config.tag);
            let after = self.stage.till.price(&tag.product);
            let on_screen = shown.and_then(|shown| prices.get(&shown.hash.to_string()).copied());
            // A till that changed in between had the lower price at one of the two moments.
            let (Some(before), Some(after), Some(on_screen)) = (before, after, on_screen) else { continue };
            let charged = before.min(after);
            compared += 1;
            assert!(
                charged.as_minor() <= on_screen,
                "{}: the till charges {charged}, the tag shows {on_screen}",
                tag.product
            );
        }
        compared
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_story_of_the_first_minute_is_true() {
    let world = World::start().await;
    let stage = &world.stage;
    acts::tags_are_current(stage).await.unwrap();
    acts::price_up(stage, "coffee").await.unwrap();
    acts::price_down(stage, "milk").await.unwrap();
    acts::call(stage, "alice", "bob").await.unwrap();
    assert!(world.longest_talk_ms().await >= 1500, "two people talk for a while");
    acts::damaged_frames_are_refused(stage).await.unwrap();
    acts::audit_is_whole(stage).await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_no_till_is_above_a_tag_and_every_change_arrives() {
    let world = World::start().await;
    let stage = &world.stage;
    acts::tags_are_current(stage).await.unwrap();
    let mut dice = Dice::new(world.seed);
    let mut changes = BTreeMap::new();
    let mut compared = 0;
    for round in 0..CHANGES {
        match round {
            3 => stage.cable.cut(),
            7 => stage.cable.mend(),
            _ => {}
        }
        let index = usize::try_from(dice.between(0, stage.shop.products.len() as u64 - 1)).unwrap();
        let planned = &stage.shop.products[index];
        let percent = i64::try_from(dice.between(70, 140)).unwrap();
        let price = Price::from_minor(planned.price.as_minor() * percent / 100).unwrap();
        // A newer change of the same product supersedes the older one.
        if let Ok(change) = stage.change_price(&planned.product, price, "world").await {
            changes.insert(planned.product.clone(), change);
        }
        compared += world.till_is_never_above_a_tag(&world.prices_of_faces().await);
    }
    for change in changes.values() {
        loop {
            let view = stage.api.change(change).await.unwrap();
            compared += world.till_is_never_above_a_tag(&world.prices_of_faces().await);
            match view["state"].as_str().unwrap() {
                "completed" => break,
                "running" => {}
                other => panic!("the change is {other}: {view}"),
            }
        }
    }
    assert!(compared > 100, "only {compared} comparisons");
    acts::tags_are_current(stage).await.unwrap();
    acts::audit_is_whole(stage).await.unwrap();
    world.stop().await;
}
