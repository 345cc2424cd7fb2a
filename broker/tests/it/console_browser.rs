//! The console in a real browser, headless Chromium, with a real client beside it. `scripts/test` installs chromium
//! and chromedriver.

use std::process::Stdio;
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::harness::{Octets, TOKEN, TestBroker, publish};

/// How long a page may take to show something.
const PATIENCE: Duration = Duration::from_mins(1);
const PASSWORD: &str = "correct horse battery";

/// chromedriver on a free port, and a browser of it.
struct Browser {
    client: Client,
    base: String,
    _driver: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    async fn open(base: &str) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver is missing: run scripts/test");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next_line().await.unwrap().expect("chromedriver said no port");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        let profile = tempfile::tempdir().unwrap();
        let data_dir = format!("--user-data-dir={}", profile.path().display());
        let options = json!({ "args": [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--disable-background-networking", "--window-size=1280,1400", data_dir,
        ]});
        let capabilities: Capabilities = [("goog:chromeOptions".to_owned(), options)].into_iter().collect();
        let url = format!("http://127.0.0.1:{port}");
        let client =
            ClientBuilder::new(HttpConnector::new()).capabilities(capabilities).connect(&url).await.unwrap();
        Browser { client, base: base.to_owned(), _driver: driver, _profile: profile }
    }

    async fn goto(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.base)).await.unwrap();
    }

    async fn wait_for(&self, css: &str) -> Element {
        let element = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(css)).await;
        element.unwrap_or_else(|error| panic!("no `{css}`: {error}"))
    }

    async fn click(&self, css: &str) {
        self.wait_for(css).await.click().await.unwrap();
    }

    /// Clicks what leads to another page, and waits until it is there: what is found then is not of the page that goes.
    async fn follow(&self, css: &str) {
        let mark = "document.documentElement.dataset.left = 'yes'";
        self.client.execute(mark, Vec::new()).await.unwrap();
        self.click(css).await;
        self.wait_for("html:not([data-left])").await;
    }

    async fn text_of(&self, css: &str) -> String {
        self.wait_for(css).await.text().await.unwrap()
    }

    /// Fills in a form and sends it.
    async fn send(&self, form: &str, fields: &[(&str, &str)]) {
        self.wait_for(form).await;
        for (name, value) in fields {
            let field = self.wait_for(&format!("{form} [name={name}]")).await;
            field.send_keys(value).await.unwrap();
        }
        self.follow(&format!("{form} button")).await;
    }

    /// Opens the menu behind the user's name and signs out.
    async fn sign_out(&self) {
        self.click(".me summary").await;
        self.follow("form[action='/logout'] button").await;
        self.wait_for("form[action='/login']").await;
    }
}

async fn traces_everything(browser: &Browser) {
    browser.goto("/instances/mqtt-test/traces/devices").await;
    browser.send("form[action$='/traces']", &[("mode", "all")]).await;
    assert_eq!(browser.text_of(".notice.good").await, "The mode is all from here on.");
}

/// From the notice of a message to Roof that was just sent.
async fn sees_its_way_and_the_statistics(browser: &Browser, roof: &mut Octets) {
    roof.expect_silence().await;
    browser.follow(".notice.good a").await;
    assert!(browser.text_of(".origin").await.contains("sent by API or console"));
    assert_eq!(browser.text_of(".branches .who").await, "GID_TEST@@@roof\nacknowledged");
    browser.goto("/instances/mqtt-test/statistics").await;
    browser.wait_for(".live.on").await;
    browser.wait_for(".chart .l1").await;
    assert_eq!(browser.text_of("[data-statistic='p2p1_out']").await, "1");
    roof.exchange(&publish("news/x", "dry again", 1, 7), &[0x40, 2, 0, 7]).await;
    browser.wait_for("[data-statistic='sub1_in'][title='1']").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_walks_the_console_and_a_viewer_is_refused() {
    let broker = TestBroker::start();
    let mut roof = broker.persistent("roof").await;
    let browser = Browser::open(&broker.http).await;

    browser.goto("/").await;
    let first = [("token", TOKEN), ("password", PASSWORD), ("repeat", PASSWORD)];
    browser.send("form[action='/setup']", &first).await;
    browser.wait_for(".live.on").await;
    browser.wait_for(".chart .l0").await;
    browser.sign_out().await;
    browser.send("form[action='/login']", &[("name", "admin"), ("password", PASSWORD)]).await;
    browser.wait_for("[data-charts]").await;

    let at = |rest: &str| format!("/instances/mqtt-test/{rest}");
    traces_everything(&browser).await;
    browser.goto(&at("topics")).await;
    browser.send("form[action$='/topics']", &[("topic", "alarms")]).await;
    assert_eq!(browser.text_of(".notice.good").await, "Parent topic alarms exists.");
    let p2p = [("message_topic", "alarms/p2p/GID_TEST@@@roof"), ("payload", "it rains")];
    browser.send("form[action$='/messages']", &p2p).await;
    assert!(browser.text_of(".notice.good").await.contains("was sent"));
    let received = roof.receive().await;
    assert_eq!(
        (received.topic.as_str(), received.payload.as_str()),
        ("alarms/p2p/GID_TEST@@@roof", "it rains")
    );
    sees_its_way_and_the_statistics(&browser, &mut roof).await;

    browser.goto(&at("clients")).await;
    browser.follow("td a[href$='roof']").await;
    assert_eq!(browser.text_of(".title .chip.ok").await, "online");
    browser.click(".title .confirm summary").await;
    browser.follow("form[action$='/kick'] button").await;
    assert!(browser.text_of(".notice.good").await.contains("is being closed"));
    roof.expect_closed().await;
    broker.metric_becomes("broker_connections ", 0.0).await;
    browser.goto(&at("clients/GID_TEST@@@roof")).await;
    assert!(browser.text_of(".history").await.contains("closed by administrator"));

    browser.goto("/users").await;
    browser.send("form[action='/users']", &[("name", "vera"), ("password", PASSWORD)]).await;
    assert_eq!(browser.text_of(".notice.good").await, "User vera is there.");
    browser.sign_out().await;
    browser.send("form[action='/login']", &[("name", "vera"), ("password", PASSWORD)]).await;
    browser.wait_for("[data-charts]").await;
    browser.goto(&at("topics")).await;
    browser.wait_for("table").await;
    assert!(
        browser.client.find(Locator::Css("form[action$='/topics']")).await.is_err(),
        "no form for a viewer"
    );
    let post = "const form = document.querySelector(\"form[action='/logout']\");
        form.action = arguments[0]; form.requestSubmit();";
    browser.client.execute(post, vec![json!(at("topics/alarms/delete"))]).await.unwrap();
    browser.wait_for("main.card").await;
    assert!(browser.client.source().await.unwrap().contains("vera is a viewer"));
    browser.goto(&at("topics")).await;
    assert!(browser.text_of("table").await.contains("alarms"));
    browser.sign_out().await;
    browser.goto("/audit").await;
    browser.wait_for("form[action='/login']").await;
    browser.client.clone().close().await.unwrap();
    broker.stop().await;
}
