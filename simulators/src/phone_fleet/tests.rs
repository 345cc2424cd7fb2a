//! Phones on the real broker, with the real manager, all in this process.

use clap::Parser;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::phone::OnRing;

const PROVISION: &str = include_str!("../../../deploy/provision.toml");
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

struct Deployment {
    dir: TempDir,
    lifecycle: Lifecycle,
    manager: String,
}

impl Deployment {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("provision.toml"), PROVISION).unwrap();
        for key in ["AK-phone", "AK-rtc-manager", "AK-access-point", "AK-pricetag-service"] {
            std::fs::write(dir.path().join(format!("{key}.secret")), format!("secret of {key}")).unwrap();
        }
        let lifecycle = Lifecycle::new();
        let mqtt = start_broker(&dir, &lifecycle);
        let manager = start_manager(&dir, &mqtt, &lifecycle).await;
        Deployment { dir, lifecycle, manager }
    }

    /// Phones of these users, so many each.
    async fn phones(&self, users: &[(&str, u8)]) -> PhoneFleet {
        let api = ManagerApi::new(&self.manager, Secret::new("token")).unwrap();
        let clock = Clock::system();
        api.until_ready(&clock, clock.now().plus(PATIENCE)).await.unwrap();
        let mut specs = Vec::new();
        for (user, phones) in users {
            let user: UserId = user.parse().unwrap();
            let secret = api.add_user(&user).await.unwrap();
            specs.extend((0..*phones).map(|n| PhoneSpec {
                user: user.clone(),
                secret: secret.clone(),
                installation: n.to_string(),
                manner: Manner { on_ring: OnRing::LetItRing, talk: None, ..Manner::default() },
            }));
        }
        let fleet = PhoneFleet::start(&api, specs, &clock, &self.lifecycle).await.unwrap();
        wait(&fleet, |fleet| fleet.online() == fleet.phones().len()).await;
        fleet
    }

    async fn stop(self) {
        self.lifecycle.stop();
        self.lifecycle.drain().await.unwrap();
        drop(self.dir);
    }
}

fn start_broker(dir: &TempDir, lifecycle: &Lifecycle) -> String {
    let path = |name: &str| dir.path().join(name).display().to_string();
    let config = broker::Config::try_parse_from([
        "broker",
        "--mqtt=127.0.0.1:0",
        "--websocket=127.0.0.1:0",
        "--http=127.0.0.1:0",
        "--api-token=token",
        &format!("--data-dir={}", path("broker")),
        &format!("--provision={}", path("provision.toml")),
    ])
    .unwrap();
    let listeners = broker::Listeners::bind(&config).unwrap();
    let address = listeners.mqtt.local_addr().unwrap().to_string();
    lifecycle.spawn("broker", broker::run(config, listeners, Clock::system(), lifecycle.child()));
    address
}

async fn start_manager(dir: &TempDir, mqtt: &str, lifecycle: &Lifecycle) -> String {
    let path = |name: &str| dir.path().join(name).display().to_string();
    let config = rtc_manager::Config::try_parse_from([
        "rtc-manager",
        &format!("--broker={mqtt}"),
        "--access-key=AK-rtc-manager",
        &format!("--access-secret=@{}", path("AK-rtc-manager.secret")),
        "--phone-access-key=AK-phone",
        &format!("--phone-access-secret=@{}", path("AK-phone.secret")),
        &format!("--public-mqtt={mqtt}"),
        "--http=127.0.0.1:0",
        "--api-token=token",
        &format!("--database=sqlite:{}", path("manager/calls.db")),
    ])
    .unwrap();
    let listeners = rtc_manager::Listeners::bind(&config).await.unwrap();
    let url = format!("http://{}", listeners.http.local_addr().unwrap());
    lifecycle.spawn("manager", rtc_manager::run(config, listeners, Clock::system(), lifecycle.clone()));
    url
}

async fn wait(fleet: &PhoneFleet, condition: impl Fn(&PhoneFleet) -> bool) {
    let waited = tokio::time::timeout(PATIENCE, fleet.until(condition)).await;
    assert!(waited.is_ok(), "{:?} {:?}", fleet.views(), fleet.counters());
}

fn phone(name: &str) -> DeviceId {
    name.parse().unwrap()
}

fn is_talking(fleet: &PhoneFleet, name: &str) -> bool {
    matches!(fleet.views()[&phone(name)].state, State::Talking { .. })
}

#[tokio::test]
async fn a_call_through_broker_and_manager_is_answered_on_one_phone_of_two() {
    let deployment = Deployment::start().await;
    let fleet = deployment.phones(&[("alice", 1), ("bob", 2)]).await;
    let answering =
        Manner { on_ring: OnRing::AnswerAfter(Duration::from_millis(20)), talk: None, ..Manner::default() };
    fleet.behave(&phone("bob-1"), answering).await.unwrap();

    fleet.call(&phone("alice-1"), &"bob".parse().unwrap()).await.unwrap();
    wait(&fleet, |fleet| is_talking(fleet, "alice-1") && is_talking(fleet, "bob-1")).await;
    wait(&fleet, |fleet| fleet.counters().stopped.get("answered_elsewhere") == Some(&1)).await;
    assert!(matches!(
        fleet.call(&phone("alice-1"), &"bob".parse().unwrap()).await,
        Err(FleetError::NotFree(_))
    ));

    fleet.hang_up(&phone("alice-1")).await.unwrap();
    wait(&fleet, |fleet| fleet.counters().ended.get("hangup") == Some(&2)).await;
    let records: Vec<Value> =
        reqwest::get(format!("{}/api/v1/cdrs", deployment.manager)).await.unwrap().json().await.unwrap();
    assert_eq!((records.len(), records[0]["answered_by"].as_str()), (1, Some("bob-1")));
    assert_eq!((fleet.counters().dialled, fleet.counters().talked), (1, 2));
    deployment.stop().await;
}

#[tokio::test]
async fn a_phone_cannot_connect_as_another() {
    let deployment = Deployment::start().await;
    let fleet = deployment.phones(&[("alice", 1), ("bob", 1)]).await;
    let credentials = fleet.credentials(&phone("alice-1")).unwrap();
    let forged = MqttConfig {
        broker: credentials.mqtt.clone(),
        client_id: wire::channel::client_of(wire::channel::GROUP_PHONE, &phone("mallory-1")).unwrap(),
        username: credentials.username.clone(),
        password: Secret::new(credentials.password.clone()),
        clean_session: true,
        keep_alive: KEEP_ALIVE,
        subscribe: vec![],
    };
    let (_client, mut events, driver) = mqtt::mqtt(forged);
    deployment.lifecycle.spawn("forger", driver.run(deployment.lifecycle.stopping()));
    let first = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap();
    assert!(matches!(first, Some(MqttEvent::Disconnected { refused: Some(4), .. })), "{first:?}");
    deployment.stop().await;
}
