//! The console in a real browser, headless Chromium, with a real client beside it. `scripts/test` installs chromium
//! and chromedriver.

use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::harness::{Octets, TOKEN, TestBroker, publish};
use crate::signing::{sign_in_as, signed};

/// How long a page may take to show something.
const PATIENCE: Duration = Duration::from_mins(1);
const PASSWORD: &str = "correct horse battery";

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
    base: String,
    _driver: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    async fn open(base: &str) -> Self {
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

    /// Opens what asks whether it is meant, and says yes.
    async fn confirm(&self, path_end: &str) {
        let form = format!("form[action$='{path_end}']");
        self.click(&format!("details.confirm:has({form}) summary")).await;
        self.follow(&format!("{form} button")).await;
    }

    /// The texts of everything that is so.
    async fn texts(&self, css: &str) -> Vec<String> {
        self.wait_for(css).await;
        let mut texts = Vec::new();
        for element in self.client.find_all(Locator::Css(css)).await.unwrap() {
            texts.push(element.text().await.unwrap());
        }
        texts
    }

    async fn signs_up(&self) {
        self.goto("/").await;
        let first = [("token", TOKEN), ("password", PASSWORD), ("repeat", PASSWORD)];
        self.send("form[action='/setup']", &first).await;
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
    browser.wait_for("[data-charts] .l1").await;
    browser.wait_for("[data-trends] .l1").await;
    assert_eq!(browser.text_of("[data-statistic='p2p1_out']").await, "1");
    roof.exchange(&publish("news/x", "dry again", 1, 7), &[0x40, 2, 0, 7]).await;
    browser.wait_for("[data-statistic='sub1_in'][title='1']").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_walks_the_console_and_a_viewer_is_refused() {
    let broker = TestBroker::start();
    let mut roof = broker.persistent("roof").await;
    let browser = Browser::open(&broker.http).await;

    browser.signs_up().await;
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

const NOTICE: &str = ".notice.good";
const LOCAL: &str = "/instances/mqtt-shop";

/// An instance with a group, a parent topic and an access key, whose secret is returned.
async fn lays_down_an_instance(browser: &Browser) -> String {
    browser.goto("/instances").await;
    browser.send("form[action='/instances']", &[("instance", "mqtt shop")]).await;
    browser.wait_for("#error-instance").await;
    browser.wait_for("[name=instance]").await.clear().await.unwrap();
    browser.send("form[action='/instances']", &[("instance", "mqtt-shop")]).await;
    assert_eq!(browser.text_of(NOTICE).await, "Instance mqtt-shop exists.");

    browser.goto("/instances?names=mqtt-shop").await;
    browser.send("form#names", &[("internet_host", "mqtt.example.com")]).await;
    assert!(browser.texts("tr.urls code").await.iter().any(|url| url.contains("mqtt.example.com")));

    browser.goto(&format!("{LOCAL}/groups")).await;
    browser.send("form[action$='/groups']", &[("group", "GID_SHOP")]).await;
    assert_eq!(browser.text_of(NOTICE).await, "Group GID_SHOP exists.");
    browser.goto(&format!("{LOCAL}/topics")).await;
    browser.send("form[action$='/topics']", &[("topic", "prices")]).await;

    browser.goto(&format!("{LOCAL}/credentials")).await;
    let key = [("access_key", "till"), ("groups", "GID_SHOP"), ("allow", "RW prices/#")];
    browser.send("form#edit", &key).await;
    let told = browser.texts(".stacked .mono").await;
    assert!(told.iter().any(|text| text == "Signature|till|mqtt-shop"), "{told:?}");
    browser.text_of(".secret .mono").await
}

/// What the pages tell is what the broker takes.
async fn signs_in_as_the_calculator_says(browser: &Browser, broker: &TestBroker, secret: &str) {
    browser.goto("/signature").await;
    let asked = [
        ("instance", "mqtt-shop"),
        ("client_id", "GID_SHOP@@@till-1"),
        ("access_key", "till"),
        ("secret", secret),
    ];
    browser.send("form[action='/signature']", &asked).await;
    let [user, password] = [browser.text_of("#username").await, browser.text_of("#password").await];
    let mut till = sign_in_as(broker, "GID_SHOP@@@till-1", &user, &password).await;
    till.subscribe(&[("prices/#", 1)], &[1]).await;
}

async fn a_token_lives_until_it_is_revoked(browser: &Browser, broker: &TestBroker) {
    browser.goto(&format!("{LOCAL}/tokens")).await;
    browser.send("form[action$='/tokens'][method=post]", &[("topics", "prices/#")]).await;
    let told = browser.texts(".stacked .mono").await;
    let user = told.iter().find(|text| text.starts_with("Token|")).unwrap();
    let password = told.iter().find(|text| text.starts_with("R|")).unwrap();
    let mut phone = sign_in_as(broker, "GID_SHOP@@@phone", user, password).await;
    phone.subscribe(&[("prices/#", 1)], &[1]).await;
    browser.goto(&format!("{LOCAL}/tokens")).await;
    assert_eq!(browser.text_of("td .chip").await, "valid");
    browser.confirm("/revoke").await;
    assert!(browser.text_of(NOTICE).await.ends_with("is revoked."));
    assert_eq!(browser.text_of("td .chip").await, "revoked");
    phone.receive().await;
    phone.expect_closed().await;
}

async fn a_device_gets_another_secret_and_is_unregistered(browser: &Browser, broker: &TestBroker) {
    let id = "GID_SHOP@@@scale";
    browser.goto(&format!("{LOCAL}/devices")).await;
    browser.send("form[action$='/devices']", &[("client_id", id)]).await;
    let user = browser.texts(".stacked .mono").await.into_iter().find(|text| text.contains('|')).unwrap();
    let password = signed(&browser.text_of(".secret .mono").await, id);
    let mut scale = sign_in_as(broker, id, &user, &password).await;
    browser.goto(&format!("{LOCAL}/devices")).await;
    browser.confirm("/refresh").await;
    scale.expect_closed().await;
    let password = signed(&browser.text_of(".secret .mono").await, id);
    let mut scale = sign_in_as(broker, id, &user, &password).await;
    browser.goto(&format!("{LOCAL}/devices")).await;
    browser.confirm("/unregister").await;
    assert_eq!(browser.text_of(NOTICE).await, format!("The credential of {id} is gone."));
    scale.expect_closed().await;
}

async fn everything_is_on_record(browser: &Browser) {
    browser.goto("/audit").await;
    let deeds = browser.texts("td[data-name=What]").await;
    for deed in ["instance.created", "group.created", "topic.created", "token.revoked", "group.deleted"] {
        assert!(deeds.iter().any(|said| said == deed), "no {deed} in {deeds:?}");
    }
    browser.follow("a[href='/audit?verify=1']").await;
    assert_eq!(browser.text_of(".title .chip.ok").await, "chain verified");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_lays_down_an_instance_and_clients_sign_in_with_what_the_pages_say() {
    let broker = TestBroker::start();
    let browser = Browser::open(&broker.http).await;
    browser.signs_up().await;
    let secret = lays_down_an_instance(&browser).await;
    signs_in_as_the_calculator_says(&browser, &broker, &secret).await;
    a_token_lives_until_it_is_revoked(&browser, &broker).await;
    a_device_gets_another_secret_and_is_unregistered(&browser, &broker).await;

    browser.goto(&format!("{LOCAL}/credentials")).await;
    browser.confirm("/delete").await;
    assert_eq!(browser.text_of(NOTICE).await, "Access key till is deleted.");
    browser.goto(&format!("{LOCAL}/groups")).await;
    browser.confirm("/delete").await;
    assert_eq!(browser.text_of(NOTICE).await, "Group GID_SHOP is deleted.");
    everything_is_on_record(&browser).await;
    browser.client.clone().close().await.unwrap();
    broker.stop().await;
}
