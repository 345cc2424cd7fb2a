//! A real browser: headless Chromium signs in, changes a price through the form, and watches it become displayed.
//! `scripts/test` installs chromium and chromedriver.

use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use simulators::demo::acts;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::world::World;

/// How long the page may take to show something.
const PATIENCE: Duration = Duration::from_mins(1);

/// chromedriver listens at the same number on two addresses, and what it finds free on one may be in use on the other:
/// a number below those that the system hands out by itself.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap_or(0);
    let is_free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let from = first + NEXT.fetch_add(1, Ordering::Relaxed);
    (from..32_000).step_by(8).find(is_free).expect("no port is free")
}

/// chromedriver on a free port, and a browser of it.
struct Browser {
    client: Client,
    _driver: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    async fn open() -> Self {
        let port = free_port();
        let mut driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver is missing: run scripts/test");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let mut said = String::new();
        while !said.contains("started successfully") {
            let line = lines.next_line().await.unwrap();
            said += &line.unwrap_or_else(|| panic!("chromedriver does not start on port {port}: {said}"));
        }
        let profile = tempfile::tempdir().unwrap();
        let data_dir = format!("--user-data-dir={}", profile.path().display());
        let options = json!({ "args": [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--disable-background-networking", "--window-size=1280,1000", data_dir,
        ]});
        let capabilities: Capabilities = [("goog:chromeOptions".to_owned(), options)].into_iter().collect();
        let url = format!("http://127.0.0.1:{port}");
        let client =
            ClientBuilder::new(HttpConnector::new()).capabilities(capabilities).connect(&url).await.unwrap();
        Browser { client, _driver: driver, _profile: profile }
    }

    async fn wait_for(&self, css: &str) -> Element {
        let element = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(css)).await;
        element.unwrap_or_else(|error| panic!("no `{css}`: {error}"))
    }

    async fn text_of(&self, css: &str) -> String {
        self.wait_for(css).await.text().await.unwrap()
    }

    /// Clicks what leads to another page, and waits until it is there: what is found then is not of the page that goes.
    async fn follow(&self, css: &str) {
        let mark = "document.documentElement.dataset.left = 'yes'";
        self.client.execute(mark, Vec::new()).await.unwrap();
        self.wait_for(css).await.click().await.unwrap();
        self.wait_for("html:not([data-left])").await;
    }

    async fn type_price(&self, price: &str) {
        let field = self.client.find(Locator::Css(".price-form input[name=price]")).await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(price).await.unwrap();
        self.follow(".price-form button").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_price_changed_in_the_browser_becomes_displayed() {
    let world = World::start().await;
    acts::tags_are_current(&world.stage).await.unwrap();
    let browser = Browser::open().await;
    let base = world.stage.plan.prices_url();

    browser.client.goto(&base).await.unwrap();
    let tiles = browser.client.find_all(Locator::Css(".wall .tile")).await.unwrap();
    assert_eq!(tiles.len(), world.stage.shop.tags.len(), "the dashboard shows every tag");

    let token = world.secrets.api_token();
    browser
        .client
        .goto(&format!("{base}/login#token={}&next=/products/coffee", token.reveal()))
        .await
        .unwrap();
    browser.wait_for(".price-form input[name=price]").await;
    browser.type_price("5,999").await;
    assert!(browser.text_of(".price-form .error").await.contains("at most two decimals"));

    browser.type_price("6,66").await;
    browser.wait_for(".chip.completed").await;
    for tag in world.stage.shop.tags_of(&"coffee".parse().unwrap()) {
        let view = world.stage.api.tag(tag).await.unwrap();
        assert_eq!(view["shows"]["price_minor"], 666, "{view}");
    }

    browser.follow("form[action='/logout'] button").await;
    browser.client.goto(&format!("{base}/products/coffee")).await.unwrap();
    browser.wait_for("a[href^='/login']").await;
    browser.type_price("7,77").await;
    browser.wait_for("form[action='/login'] input[name=token]").await;
    let coffee = "coffee".parse().unwrap();
    assert_eq!(world.stage.till.price(&coffee).unwrap().as_minor(), 666, "nobody was signed in");

    let field = browser.wait_for("form[action='/login'] input[name=token]").await;
    field.send_keys(token.reveal()).await.unwrap();
    browser.follow("form[action='/login'] button").await;
    browser.wait_for("form[action='/logout']").await;
    let typed = browser.wait_for(".price-form input[name=price]").await;
    assert_eq!(typed.prop("value").await.unwrap().as_deref(), Some("7,77"), "what was typed is there again");
    browser.client.clone().close().await.unwrap();
    world.stop().await;
}
