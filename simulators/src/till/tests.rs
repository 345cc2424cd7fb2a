//! A till in front of a feed that can fail.

use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use service_kit::config::Secret;
use service_kit::http::serve;
use service_kit::metrics::Metrics;
use service_kit::problem::Problem;
use wire::Timestamp;
use wire::till::{TillEntry, TillFeed};

use super::*;

/// Entries in one answer: few, so that a till has to turn pages.
const PAGE: usize = 3;

#[derive(Clone, Default)]
struct Feed(Arc<Mutex<FeedState>>);

#[derive(Default)]
struct FeedState {
    entries: Vec<TillEntry>,
    acks: Vec<u64>,
    snapshots: u32,
    is_down: bool,
}

#[derive(Deserialize)]
struct After {
    after: u64,
}

impl Feed {
    fn publish(&self, product: &str, minor: i64) {
        let entries = &mut self.0.lock().unwrap().entries;
        let seq = entries.len() as u64 + 1;
        let (product, price) = (product.parse().unwrap(), Price::from_minor(minor).unwrap());
        entries.push(TillEntry { seq, product, price, at: Timestamp::EPOCH });
    }

    fn change(&self, change: impl FnOnce(&mut FeedState)) {
        change(&mut self.0.lock().unwrap());
    }

    fn up(&self) -> Result<std::sync::MutexGuard<'_, FeedState>, Problem> {
        let state = self.0.lock().unwrap();
        if state.is_down { Err(Problem::unavailable("closed", "not now")) } else { Ok(state) }
    }
}

async fn entries(
    State(feed): State<Feed>,
    Query(After { after }): Query<After>,
) -> Result<Json<TillFeed>, Problem> {
    let state = feed.up()?;
    let entries = state.entries.iter().filter(|entry| entry.seq > after).take(PAGE).cloned().collect();
    Ok(Json(TillFeed { entries, head: state.entries.len() as u64 }))
}

async fn snapshot(State(feed): State<Feed>) -> Result<Json<TillFeed>, Problem> {
    let mut state = feed.up()?;
    state.snapshots += 1;
    let newest: BTreeMap<ProductId, TillEntry> =
        state.entries.iter().map(|entry| (entry.product.clone(), entry.clone())).collect();
    Ok(Json(TillFeed { entries: newest.into_values().collect(), head: state.entries.len() as u64 }))
}

async fn ack(
    State(feed): State<Feed>,
    Path((_, till)): Path<(String, String)>,
    Json(ack): Json<TillAck>,
) -> Result<(), Problem> {
    assert_eq!(till, "till-1");
    feed.up()?.acks.push(ack.upto);
    Ok(())
}

struct Shop {
    feed: Feed,
    api: Client,
    lifecycle: Lifecycle,
}

impl Shop {
    async fn open() -> Shop {
        let feed = Feed::default();
        let router = Router::new()
            .route("/api/v1/stores/{store}/till-feed", get(entries))
            .route("/api/v1/stores/{store}/till-feed/snapshot", get(snapshot))
            .route("/api/v1/stores/{store}/tills/{till}/ack", post(ack))
            .with_state(feed.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let lifecycle = Lifecycle::new();
        lifecycle.spawn("feed", serve(listener, router, Metrics::new("feed"), lifecycle.stopping()));
        Shop { feed, api: Client::new(&url, Secret::new("t")).unwrap(), lifecycle }
    }

    fn till(&self) -> Till {
        let config = TillConfig {
            store: "store-1".parse().unwrap(),
            till: "till-1".parse().unwrap(),
            poll_interval: Duration::from_millis(5),
        };
        Till::start(self.api.clone(), config, &Clock::system(), &self.lifecycle)
    }

    async fn close(self) {
        self.lifecycle.stop();
        self.lifecycle.drain().await.unwrap();
    }
}

async fn until(till: &Till, acknowledged: u64) {
    let reached = till.until(|till| till.acknowledged() >= acknowledged);
    tokio::time::timeout(Duration::from_secs(20), reached).await.unwrap();
}

fn minor(till: &Till, product: &str) -> Option<i64> {
    till.price(&product.parse().unwrap()).map(Price::as_minor)
}

#[tokio::test]
async fn it_charges_what_is_published_and_acknowledges_it_page_by_page() {
    let shop = Shop::open().await;
    shop.feed.publish("milk", 129);
    let till = shop.till();
    until(&till, 1).await;
    for price in 1..=10 {
        shop.feed.publish("milk", price);
        shop.feed.publish("coffee", 500 + price);
    }
    until(&till, 21).await;
    assert_eq!((minor(&till, "milk"), minor(&till, "coffee")), (Some(10), Some(510)));
    assert_eq!((till.cursor(), till.prices().len()), (21, 2));
    let acks = shop.feed.0.lock().unwrap().acks.clone();
    assert!(acks.is_sorted(), "{acks:?}");
    assert_eq!(acks.last(), Some(&21));
    shop.close().await;
}

#[tokio::test]
async fn after_a_restart_a_snapshot_brings_every_price() {
    let shop = Shop::open().await;
    for price in [129, 119, 109] {
        shop.feed.publish("milk", price);
    }
    shop.feed.publish("coffee", 499);
    let till = shop.till();
    until(&till, 4).await;
    assert_eq!((minor(&till, "milk"), minor(&till, "coffee")), (Some(109), Some(499)));
    assert_eq!(shop.feed.0.lock().unwrap().snapshots, 1);
    shop.close().await;
}

#[tokio::test]
async fn an_outage_stops_nothing_for_good() {
    let shop = Shop::open().await;
    shop.feed.change(|feed| feed.is_down = true);
    let till = shop.till();
    shop.feed.publish("milk", 129);
    shop.feed.change(|feed| feed.is_down = false);
    until(&till, 1).await;
    shop.feed.change(|feed| feed.is_down = true);
    shop.feed.publish("milk", 109);
    assert_eq!(minor(&till, "milk"), Some(129));
    shop.feed.change(|feed| feed.is_down = false);
    until(&till, 2).await;
    assert_eq!(minor(&till, "milk"), Some(109));
    shop.close().await;
}

#[tokio::test]
async fn another_feed_is_begun_with_a_snapshot() {
    let shop = Shop::open().await;
    for _ in 0..5 {
        shop.feed.publish("milk", 129);
    }
    let till = shop.till();
    until(&till, 5).await;
    // The service lost its database.
    shop.feed.change(|feed| feed.entries.clear());
    shop.feed.publish("milk", 99);
    let begun = till.until(|till| till.cursor() == 1);
    tokio::time::timeout(Duration::from_secs(20), begun).await.unwrap();
    assert_eq!(minor(&till, "milk"), Some(99));
    shop.close().await;
}

#[tokio::test]
async fn a_till_that_is_off_charges_what_it_knows() {
    let shop = Shop::open().await;
    shop.feed.publish("milk", 129);
    let till = shop.till();
    until(&till, 1).await;
    till.switch_off();
    shop.feed.publish("milk", 109);
    till.switch_on();
    until(&till, 2).await;
    assert_eq!(minor(&till, "milk"), Some(109));
    shop.close().await;
}
