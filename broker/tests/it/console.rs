//! The console, as a browser without scripts meets it.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::Value;
use service_kit::clock::Clock;
use wire::Timestamp;

use crate::harness::{Connect, TOKEN, TestBroker};

/// Noon of 2026-01-01.
pub const NOON: Timestamp = Timestamp::from_millis(1_767_268_800_000);
pub const PASSWORD: &str = "correct horse battery";
const FORM: &str = "broker_http_refused_total";

/// A browser that keeps cookies and fills in forms.
pub struct Browser {
    client: Client,
    base: String,
    cookies: BTreeMap<String, String>,
    pub csrf: String,
}

/// What came back.
pub struct Page {
    pub status: u16,
    pub location: String,
    pub text: String,
    headers: reqwest::header::HeaderMap,
}

impl Browser {
    pub fn of(broker: &TestBroker) -> Self {
        let accept = reqwest::header::HeaderValue::from_static("text/html,*/*");
        let headers = [(reqwest::header::ACCEPT, accept)].into_iter().collect();
        let builder = Client::builder().default_headers(headers);
        let client = builder.redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Browser { client, base: broker.http.clone(), cookies: BTreeMap::new(), csrf: String::new() }
    }

    /// An answer that does not end by itself.
    pub async fn stream(&self, path: &str) -> reqwest::Response {
        let request = self.client.get(format!("{}{path}", self.base));
        self.with_cookies(request).send().await.unwrap()
    }

    fn with_cookies(&self, request: RequestBuilder) -> RequestBuilder {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        request.header("cookie", cookies.join("; "))
    }

    async fn send(&mut self, request: RequestBuilder) -> Page {
        let answer = self.with_cookies(request).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        for cookie in headers.get_all("set-cookie") {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            assert!(rest.contains("HttpOnly; SameSite=Strict"), "{rest}");
            self.cookies.insert(name.to_owned(), rest.split(';').next().unwrap().to_owned());
        }
        let location = headers.get("location").map(|path| path.to_str().unwrap().to_owned());
        let text = answer.text().await.unwrap();
        if let Some((_, rest)) = text.split_once("name=\"csrf\" value=\"") {
            rest.split('"').next().unwrap().clone_into(&mut self.csrf);
        }
        Page { status, location: location.unwrap_or_default(), text, headers }
    }

    pub async fn get(&mut self, path: &str) -> Page {
        let request = self.client.get(format!("{}{path}", self.base));
        self.send(request).await
    }

    /// The form with the token of the last page.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let csrf = self.csrf.clone();
        let all: Vec<(&str, &str)> = fields.iter().copied().chain([("csrf", csrf.as_str())]).collect();
        let request = self.client.post(format!("{}{path}", self.base)).form(&all);
        self.send(request).await
    }

    /// Looks at the sign-in page and fills it in.
    pub async fn sign_in(&mut self, name: &str, password: &str) -> Page {
        self.get("/login").await;
        self.post("/login", &[("name", name), ("password", password)]).await
    }
}

fn start(clock: Clock) -> TestBroker {
    start_with(&[], clock)
}

/// The same with more arguments.
pub fn start_with(arguments: &[&str], clock: Clock) -> TestBroker {
    let arguments: Vec<&str> = ["--console-password", PASSWORD].iter().chain(arguments).copied().collect();
    TestBroker::start_with_at(&arguments, clock)
}

/// The admin, signed in.
pub async fn admin(broker: &TestBroker) -> Browser {
    let mut browser = Browser::of(broker);
    assert_eq!(browser.sign_in("admin", PASSWORD).await.status, 303);
    browser.get("/instances").await;
    browser
}

/// A viewer called vera, signed in.
pub async fn viewer(broker: &TestBroker, admin: &mut Browser) -> Browser {
    let fields = [("name", "vera"), ("role", "viewer"), ("password", PASSWORD)];
    assert_eq!(admin.post("/users", &fields).await.status, 303);
    let mut browser = Browser::of(broker);
    assert_eq!(browser.sign_in("vera", PASSWORD).await.status, 303);
    browser.get("/instances").await;
    browser
}

/// The audit log, as lines of actor, action and subject.
pub fn audit(broker: &TestBroker) -> Vec<String> {
    let text = std::fs::read_to_string(broker.data_dir().join("audit/audit-2026-01-01.jsonl")).unwrap();
    let line = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        ["actor", "action", "subject"].map(|part| record[part].as_str().unwrap().to_owned()).join(" ")
    };
    text.lines().map(line).collect()
}

pub fn refused(status: u16, kind: &str) -> String {
    format!("{FORM}{{status=\"{status}\",kind=\"{kind}\"}}")
}

#[tokio::test]
async fn who_starts_the_broker_gives_an_admin_another_password_for_a_lost_one() {
    const OTHER: &str = "found again by the operator";
    let broker = start(Clock::manual(NOON));
    let mut browser = admin(&broker).await;
    viewer(&broker, &mut browser).await;
    let broker = broker.restart_with(&["--console-password", OTHER, "--console-reset", "admin"]).await;
    let mut browser = Browser::of(&broker);
    assert_eq!(browser.sign_in("admin", PASSWORD).await.status, 401);
    assert_eq!(browser.sign_in("admin", OTHER).await.status, 303);
    // A viewer becomes an admin, and whoever is not there is made.
    let broker = broker.restart_with(&["--console-password", OTHER, "--console-reset", "vera"]).await;
    let broker = broker.restart_with(&["--console-password", OTHER, "--console-reset", "zoe"]).await;
    // Without the option the password means nothing.
    let broker = broker.restart_with(&["--console-password", PASSWORD]).await;
    for name in ["vera", "zoe"] {
        let mut browser = Browser::of(&broker);
        assert_eq!(browser.sign_in(name, OTHER).await.status, 303);
        assert!(browser.get("/users").await.text.contains("action=\"/users\""), "{name} is no admin");
    }
    let resets: Vec<String> = audit(&broker).into_iter().filter(|line| line.contains("user.reset")).collect();
    assert_eq!(resets, ["admin", "vera", "zoe"].map(|name| format!("broker user.reset user/{name}")));
    broker.stop().await;
}

#[tokio::test]
async fn at_first_the_api_token_lays_down_the_password_of_admin_and_only_once() {
    let broker = TestBroker::start_at(Clock::manual(NOON));
    let mut browser = Browser::of(&broker);
    let first = browser.get("/").await;
    assert_eq!((first.status, first.location.as_str()), (303, "/setup"));
    browser.get("/setup").await;
    let fields = |token, password, repeat| [("token", token), ("password", password), ("repeat", repeat)];
    let wrong = browser.post("/setup", &fields("wrong", PASSWORD, PASSWORD)).await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.text.contains("not the API token") && !wrong.text.contains(PASSWORD));
    let short = browser.post("/setup", &fields(TOKEN, "short", "short")).await;
    assert_eq!(short.status, 422);
    assert!(short.text.contains("12 to 128 characters"));
    let other = browser.post("/setup", &fields(TOKEN, PASSWORD, "another one of them")).await;
    assert_eq!(other.status, 422);
    let right = browser.post("/setup", &fields(TOKEN, PASSWORD, PASSWORD)).await;
    assert_eq!((right.status, right.location.as_str()), (303, "/"));
    assert_eq!(browser.get("/").await.status, 200);
    assert_eq!(
        audit(&broker),
        [
            "unknown user.sign-in-failed user/?",
            "api-token user.created user/admin",
            "admin user.signed-in user/admin"
        ]
    );
    let mut late = Browser::of(&broker);
    assert_eq!(late.get("/setup").await.location, "/login");
    assert_eq!(
        late.post("/setup", &fields(TOKEN, "mine from here on", "mine from here on")).await.location,
        "/login"
    );

    let broker = broker.restart().await;
    let mut again = Browser::of(&broker);
    again.cookies.clone_from(&browser.cookies);
    assert_eq!(again.get("/").await.location, "/login", "a restart signs everybody out");
    assert_eq!(again.sign_in("admin", "mine from here on").await.status, 401);
    assert_eq!(again.sign_in("admin", PASSWORD).await.status, 303);
    let tables = std::fs::read(broker.data_dir().join("tables.redb")).unwrap();
    assert!(!tables.windows(PASSWORD.len()).any(|octets| octets == PASSWORD.as_bytes()));
    broker.stop().await;
}

#[tokio::test]
async fn a_form_counts_only_with_the_token_of_its_session_and_from_this_origin() {
    let broker = start(Clock::manual(NOON));
    let mut stranger = Browser::of(&broker);
    stranger.csrf = "0123456789abcdef0123456789abcdef".to_owned();
    let login = [("name", "admin"), ("password", PASSWORD)];
    assert_eq!(stranger.post("/login", &login).await.status, 403, "not the form of a page it was shown");
    let mut admin = admin(&broker).await;
    let right = std::mem::replace(&mut admin.csrf, "f".repeat(32));
    for path in ["/instances", "/signature", "/account/password", "/logout"] {
        assert_eq!(admin.post(path, &[("instance", "mqtt-evil")]).await.status, 403, "{path}");
        admin.csrf = String::new();
        assert_eq!(admin.post(path, &[("instance", "mqtt-evil")]).await.status, 403, "{path}");
    }
    admin.csrf.clone_from(&right);
    let url = format!("{}/instances", broker.http);
    let form = [("instance", "mqtt-evil"), ("csrf", right.as_str())];
    let request = admin.client.post(&url).header("origin", "http://evil.example").form(&form);
    assert_eq!(admin.send(request).await.status, 403);
    assert!(!admin.get("/instances").await.text.contains("mqtt-evil"));
    assert!((broker.metric(&refused(403, "form-stale")).await - 9.0).abs() < 0.1);
    assert!((broker.metric(&refused(403, "other-origin")).await - 1.0).abs() < 0.1);
    let request = admin.client.post(&url).header("origin", &broker.http).form(&form);
    assert_eq!(admin.send(request).await.status, 303);
    assert!(admin.get("/instances").await.text.contains("mqtt-evil"));
    broker.stop().await;
}

/// Computing a signature changes nothing, so anybody may.
async fn check_signature(vera: &mut Browser) {
    let signature = [
        ("instance", "mqtt-test"),
        ("client_id", "GID_TEST@@@a"),
        ("access_key", "AK1"),
        ("secret", "s3cret"),
    ];
    let computed = vera.post("/signature", &signature).await;
    assert!(computed.text.contains(&wire::credential::signature_password("s3cret", "GID_TEST@@@a")));
    assert!(!computed.text.contains("s3cret"));
}

#[tokio::test]
async fn a_viewer_sees_every_page_and_changes_nothing() {
    let broker = start(Clock::manual(NOON));
    let mut client = broker.client("a").await;
    let mut admin = admin(&broker).await;
    let mut vera = viewer(&broker, &mut admin).await;
    let at = |rest: &str| format!("/instances/mqtt-test/{rest}");
    for path in ["/", "/instances", "/signature", "/audit", "/users", "/account"] {
        assert_eq!(vera.get(path).await.status, 200, "{path}");
    }
    let of_instance =
        ["topics", "groups", "clients", "clients/GID_TEST@@@a", "credentials", "tokens", "devices"];
    let traced = ["traces/messages", "traces/devices", "traces/messages/0000000000000001", "statistics"];
    for rest in of_instance.into_iter().chain(traced) {
        let page = vera.get(&at(rest)).await;
        assert_eq!(page.status, 200, "{rest}");
        // Signing out is the one form she has.
        assert_eq!(page.text.matches("method=\"post\"").count(), 1, "{rest}");
    }
    let before = audit(&broker).len();
    for path in [
        "/instances",
        &at("endpoints"),
        &at("topics"),
        &at("topics/news/delete"),
        &at("messages"),
        &at("groups"),
        &at("groups/GID_OTHER/delete"),
        &at("clients/GID_TEST@@@a/kick"),
        &at("clients/GID_TEST@@@a/forget"),
        &at("credentials"),
        &at("credentials/AK1/delete"),
        &at("tokens"),
        &at("tokens/x/revoke"),
        &at("devices"),
        &at("devices/GID_TEST@@@a/refresh"),
        &at("devices/GID_TEST@@@a/unregister"),
        &at("traces"),
        "/users",
        "/users/vera/role",
        "/users/admin/password",
        "/users/admin/remove",
    ] {
        let fields = [("role", "admin"), ("password", PASSWORD), ("message_topic", "news/x")];
        let page = vera.post(path, &fields).await;
        assert_eq!(page.status, 403, "{path}");
        assert!(page.text.contains("vera is a viewer"), "{path}: {}", page.text);
    }
    assert_eq!(audit(&broker).len(), before);
    assert!((broker.metric(&refused(403, "role-viewer")).await - 21.0).abs() < 0.1);
    client.expect_silence().await;
    check_signature(&mut vera).await;

    admin.post("/users/vera/role", &[("role", "admin")]).await;
    assert_eq!(vera.post(&at("topics"), &[("topic", "veras")]).await.status, 303, "it counts at once");
    admin.post("/users/vera/role", &[("role", "viewer")]).await;
    assert_eq!(vera.post(&at("topics"), &[("topic", "more")]).await.status, 403);
    broker.stop().await;
}

#[tokio::test]
async fn sessions_end_with_time_with_signing_out_with_another_password_and_with_the_user() {
    let clock = Clock::manual(NOON);
    let broker = start(clock.clone());
    let mut admin = admin(&broker).await;
    let mut vera = viewer(&broker, &mut admin).await;
    let mut elsewhere = Browser::of(&broker);
    elsewhere.sign_in("vera", PASSWORD).await;
    assert_eq!(elsewhere.get("/account").await.status, 200);

    let change = [("current", PASSWORD), ("password", "another long one"), ("repeat", "another long one")];
    assert_eq!(vera.post("/account/password", &change).await.status, 303);
    assert_eq!(elsewhere.get("/account").await.location, "/login?next=/account");
    assert!(vera.get("/account").await.text.contains("Your password is changed"));
    assert_eq!(vera.post("/account/password", &change).await.status, 422, "not the password any more");

    admin.post("/users/vera/password", &[("password", "a third long one")]).await;
    assert_eq!(vera.get("/account").await.status, 303);
    assert_eq!(vera.sign_in("vera", "a third long one").await.status, 303);
    vera.get("/account").await;
    let kept = vera.cookies.clone();
    assert_eq!(vera.post("/logout", &[]).await.location, "/login");
    vera.cookies = kept;
    assert_eq!(vera.get("/account").await.status, 303, "the session itself has ended");
    vera.sign_in("vera", "a third long one").await;
    assert_eq!(vera.get("/account").await.status, 200);
    admin.post("/users/vera/remove", &[]).await;
    assert_eq!(vera.get("/account").await.status, 303);
    let last = admin.post("/users/admin/remove", &[]).await;
    assert_eq!(last.status, 409);
    assert!(last.text.contains("the last admin cannot be removed"));

    clock.advance(Duration::from_secs(7199));
    assert_eq!(admin.get("/").await.status, 200);
    clock.advance(Duration::from_hours(2));
    assert_eq!(admin.get("/").await.location, "/login", "nobody used it for two hours");
    let actions: Vec<String> = audit(&broker).into_iter().filter(|line| line.contains("user/vera")).collect();
    assert_eq!(
        actions,
        [
            "admin user.created user/vera",
            "vera user.signed-in user/vera",
            "vera user.signed-in user/vera",
            "vera user.password-changed user/vera",
            "unknown user.sign-in-failed user/vera",
            "admin user.password-changed user/vera",
            "vera user.signed-in user/vera",
            "vera user.signed-out user/vera",
            "vera user.signed-in user/vera",
            "admin user.removed user/vera"
        ]
    );
    broker.stop().await;
}

#[tokio::test]
async fn ten_wrong_passwords_lock_a_name_out_and_the_page_says_until_when() {
    let clock = Clock::manual(NOON);
    let broker = start(clock.clone());
    let mut guesser = Browser::of(&broker);
    for _ in 0..10 {
        assert_eq!(guesser.sign_in("admin", "wrong wrong wrong").await.status, 401);
    }
    let locked = guesser.sign_in("admin", PASSWORD).await;
    assert_eq!((locked.status, locked.headers["retry-after"].as_bytes()), (429, &b"600"[..]));
    assert!(locked.text.contains("Try again in 10 minutes."), "{}", locked.text);
    for _ in 0..10 {
        assert_eq!(guesser.sign_in("my secret passphrase", "wrong wrong wrong").await.status, 401);
    }
    assert_eq!(
        guesser.sign_in("my secret passphrase", "x").await.status,
        429,
        "a name nobody has is no different"
    );
    assert!((broker.metric(&refused(429, "locked-out")).await - 2.0).abs() < 0.1);
    assert!((broker.metric(&refused(401, "password-wrong")).await - 20.0).abs() < 0.1);
    clock.advance(Duration::from_mins(10));
    assert_eq!(guesser.sign_in("admin", PASSWORD).await.status, 303);
    let failed = audit(&broker);
    let count = |line: &str| failed.iter().filter(|other| *other == line).count();
    assert_eq!(count("unknown user.sign-in-failed user/admin"), 10, "what is not judged is not on record");
    assert_eq!(count("unknown user.sign-in-failed user/?"), 10, "what was typed may be a password");
    broker.stop().await;
}

#[tokio::test]
async fn what_cannot_be_put_on_record_is_not_done_in_the_console_either() {
    let clock = Clock::manual(NOON);
    let broker = start(clock.clone());
    let mut admin = admin(&broker).await;
    // Eleven hours and a half pass, and the session is used.
    for _ in 0..6 {
        clock.advance(Duration::from_mins(115));
        assert_eq!(admin.get("/users").await.status, 200);
    }
    let midnight = Timestamp::from_millis(NOON.as_millis() + 12 * 3_600_000);
    clock.set(midnight.minus(Duration::from_secs(1)));
    let mut late = self::admin(&broker).await;
    let in_the_way = broker.data_dir().join("audit/audit-2026-01-02.jsonl");
    std::fs::create_dir(&in_the_way).unwrap();
    clock.set(midnight);
    late.get("/users").await;
    let vera = [("name", "vera"), ("role", "viewer"), ("password", PASSWORD)];
    assert_eq!(late.post("/users", &vera).await.status, 503);
    assert_eq!(late.post("/users/admin/password", &[("password", "something else")]).await.status, 503);
    assert_eq!(late.post("/instances/mqtt-test/topics", &[("topic", "fresh")]).await.status, 503);
    let mut stranger = Browser::of(&broker);
    assert_eq!(stranger.sign_in("admin", PASSWORD).await.status, 503);
    assert_eq!(stranger.get("/users").await.status, 303, "nobody is signed in");
    assert_eq!(late.post("/logout", &[]).await.status, 503);
    assert!(!late.get("/users").await.text.contains("vera"), "and nobody is signed out");
    assert!(!late.get("/instances/mqtt-test/topics").await.text.contains("fresh"));
    std::fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(stranger.sign_in("admin", PASSWORD).await.status, 303, "the password is what it was");
    assert_eq!(late.post("/users", &vera).await.status, 303);
    broker.stop().await;
}

#[tokio::test]
async fn pages_bring_no_script_of_their_own_and_are_kept_by_nobody() {
    let broker = start(Clock::manual(NOON));
    broker.client("a").await;
    let mut admin = admin(&broker).await;
    let of_instance = ["topics", "clients", "traces/messages", "traces/devices", "statistics"];
    let of_instance = of_instance.map(|rest| format!("/instances/mqtt-test/{rest}"));
    for path in
        ["/", "/instances", "/audit", "/users"].into_iter().chain(of_instance.iter().map(String::as_str))
    {
        let page = admin.get(path).await;
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert_eq!(page.headers["cache-control"], "no-store");
        assert_eq!(page.headers["x-frame-options"], "DENY");
        assert_eq!(page.headers["x-content-type-options"], "nosniff");
        for inline in ["<script>", "<style", " style=", " onclick=", "javascript:", "https://"] {
            assert!(!page.text.contains(inline), "{path}: {inline}");
        }
    }
    broker.stop().await;
}

#[tokio::test]
async fn a_wrong_field_is_told_beside_it_and_what_was_typed_stays() {
    let broker = start(Clock::manual(NOON));
    let mut admin = admin(&broker).await;
    let at = |rest: &str| format!("/instances/mqtt-test/{rest}");
    let (topics, tokens, credentials, devices) =
        (at("topics"), at("tokens"), at("credentials"), at("devices"));
    let (groups, messages) = (at("groups"), at("messages"));
    let token = [("access_key", "AK1"), ("actions", "R"), ("topics", "nowhere/#"), ("minutes", "60")];
    let grants = [("access_key", "AK7"), ("allow", "X news/#")];
    let device = [("client_id", "roof"), ("access_key", "AK1")];
    let message = [("message_topic", "nowhere/x"), ("payload", "kept text"), ("qos", "1")];
    let user = [("name", "Not A Name"), ("role", "viewer"), ("password", PASSWORD)];
    for (path, fields, status, field, typed) in [
        ("/instances", &[("instance", "a b")][..], 400, "instance", "a b"),
        (&at("endpoints"), &[("internet_host", "a:1883")], 422, "internet_host", "a:1883"),
        (&topics, &[("topic", "a/b")], 400, "topic", "a/b"),
        (&groups, &[("group", "SENSOR")], 400, "group", "SENSOR"),
        (&tokens, &token, 422, "topics", "nowhere/#"),
        (&credentials, &grants, 422, "allow", "X news/#"),
        (&devices, &device, 422, "client_id", "roof"),
        (&messages, &message, 422, "message_topic", "kept text"),
        ("/users", &user, 422, "name", "Not A Name"),
    ] {
        let page = admin.post(path, fields).await;
        assert_eq!(page.status, status, "{path}: {}", page.text);
        assert!(page.text.contains(&format!("id=\"error-{field}\"")), "{path}: {}", page.text);
        assert!(page.text.contains(typed), "{path}");
        assert!(!page.text.contains(PASSWORD));
    }
    assert_eq!(admin.get("/instances/mqtt-nowhere/topics").await.status, 404);
    assert_eq!(admin.get(&at("clients?state=dead")).await.status, 422);
    assert_eq!(admin.get(&at("clients?sate=online")).await.status, 400);
    broker.stop().await;
}

#[tokio::test]
async fn clients_are_found_looked_at_written_to_and_kicked() {
    let broker = start(Clock::manual(NOON));
    let mut roof = broker.persistent("roof").await;
    roof.subscribe(&[("news/#", 1)], &[1]).await;
    broker.client("cellar").await.disconnect().await;
    let mut admin = admin(&broker).await;
    let clients = "/instances/mqtt-test/clients";
    let listed = async |browser: &mut Browser, query: &str| {
        let page = browser.get(&format!("{clients}{query}")).await;
        ["roof", "cellar"].map(|name| page.text.contains(&format!("GID_TEST@@@{name}</a>")))
    };
    assert_eq!(listed(&mut admin, "").await, [true, true]);
    assert_eq!(listed(&mut admin, "?state=online").await, [true, false]);
    assert_eq!(listed(&mut admin, "?device=ce").await, [false, true]);
    assert_eq!(listed(&mut admin, "?group=GID_OTHER").await, [false, false]);
    let messages = "/instances/mqtt-test/messages";
    let p2p = [("message_topic", "down/p2p/GID_TEST@@@roof"), ("payload", "hello"), ("qos", "1")];
    assert_eq!(admin.post(messages, &p2p).await.status, 303);
    assert!(admin.get("/instances/mqtt-test/topics").await.text.contains("was sent. Its ID is"));
    assert_eq!(roof.receive().await.payload, "hello");
    let kept =
        [("message_topic", "down/p2p/GID_TEST@@@cellar"), ("payload", "later"), ("qos", "1"), ("keep", "1")];
    assert_eq!(admin.post(messages, &kept).await.status, 303);
    let page = admin.get(&format!("{clients}/GID_TEST@@@cellar")).await.text;
    assert!(page.contains("disconnected by client") && page.contains("connected with MQTT 3.1.1"), "{page}");
    assert!(page.contains("<dt>Offline messages</dt><dd>1</dd>"));
    let page = admin.get(&format!("{clients}/GID_TEST@@@roof")).await.text;
    assert!(page.contains("news/#") && page.contains("access key AK1"));
    assert_eq!(admin.post(&format!("{clients}/GID_TEST@@@roof/kick"), &[]).await.status, 303);
    roof.expect_closed().await;
    broker.metric_becomes("broker_connections ", 0.0).await;
    let page = admin.get(&format!("{clients}/GID_TEST@@@roof")).await.text;
    assert!(page.contains("closed by administrator") && !page.contains("/kick"), "{page}");
    assert_eq!(admin.post(&format!("{clients}/GID_TEST@@@roof/kick"), &[]).await.status, 409);
    assert!(audit(&broker).contains(&"admin client.kicked mqtt-test/GID_TEST@@@roof".to_owned()));
    let forget = format!("{clients}/GID_TEST@@@roof/forget");
    assert!(page.contains("/forget\""), "{page}");
    assert_eq!(admin.post(&forget, &[]).await.status, 303);
    assert_eq!(listed(&mut admin, "").await, [false, true]);
    assert_eq!(admin.post(&forget, &[]).await.status, 404);
    assert!(audit(&broker).contains(&"admin client.forgotten mqtt-test/GID_TEST@@@roof".to_owned()));
    broker.stop().await;
}

#[tokio::test]
async fn a_secret_is_told_once_and_signs_in() {
    let broker = start(Clock::manual(NOON));
    let mut admin = admin(&broker).await;
    let at = |rest: &str| format!("/instances/mqtt-test/{rest}");
    let wish = [("access_key", "AK1"), ("actions", "R"), ("topics", "news/#\n"), ("minutes", "60")];
    let told = admin.post(&at("tokens"), &wish).await;
    assert_eq!(told.status, 201);
    let secrets: Vec<&str> = told.text.split("class=\"secret\"").skip(1).collect();
    let token = secrets[0].split("mono\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let id = token.split('.').next().unwrap();
    let listed = admin.get(&at(&format!("tokens?id={token}"))).await.text;
    assert!(listed.contains(id) && !listed.contains(&token), "the ID is shown, the token is not");
    assert_eq!(admin.post(&at(&format!("tokens/{id}/revoke")), &[]).await.status, 303);
    assert!(admin.get(&at("tokens")).await.text.contains("revoked"));

    let made = admin.post(&at("credentials"), &[("access_key", "AK7"), ("allow", "RW news/#")]).await;
    assert_eq!(made.status, 201);
    let secret = made.text.split("class=\"secret\"").nth(1).unwrap();
    let secret = secret.split("mono\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    broker.connect(&Connect::with_key("x", "AK7", &secret, "mqtt-test")).await;
    let edited = admin.get(&at("credentials?to=AK7")).await.text;
    assert!(edited.contains("Change AK7") && edited.contains("RW news/#") && !edited.contains(&secret));
    let device = [("client_id", "GID_TEST@@@d"), ("access_key", "AK1")];
    assert_eq!(admin.post(&at("devices"), &device).await.status, 201);
    assert_eq!(admin.post(&at("devices/GID_TEST@@@d/refresh"), &[]).await.status, 201);
    assert_eq!(admin.post(&at("devices/GID_TEST@@@d/unregister"), &[]).await.status, 303);
    broker.stop().await;
}

#[tokio::test]
async fn charts_are_told_each_second_to_whoever_is_signed_in() {
    let clock = Clock::manual(NOON);
    let broker = start(clock.clone());
    let url = format!("{}/live/figures", broker.http);
    assert_eq!(Client::new().get(&url).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let mut admin = admin(&broker).await;
    broker.client("a").await;
    let mut stream = admin.with_cookies(admin.client.get(&url)).send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let first = stream.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"event: figures\ndata: ["), "{first:?}");
    clock.advance(Duration::from_secs(1));
    let second = String::from_utf8(stream.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(second.contains("\"connections\":") && second.contains("\"p2p_in\":"), "{second}");
    let mut others = Vec::new();
    for _ in 1..100 {
        others.push(admin.with_cookies(admin.client.get(&url)).send().await.unwrap());
        assert_eq!(others.last().unwrap().status(), 200);
    }
    let busy = admin.with_cookies(admin.client.get(&url)).send().await.unwrap();
    assert_eq!(busy.status(), 503, "a hundred pages show charts already");
    drop(others);
    admin.post("/logout", &[]).await;
    clock.advance(Duration::from_secs(1));
    assert!(stream.chunk().await.unwrap().is_none(), "the stream ends with the session");
    broker.stop().await;
}
