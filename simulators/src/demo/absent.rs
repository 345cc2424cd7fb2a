//! A message to a client that is away, across a kill of the broker.

use serde_json::json;
use service_kit::lifecycle::Lifecycle;
use service_kit::mqtt::{MqttConfig, MqttEvent, QoS, mqtt};
use std::time::Duration;
use wire::channel::{GROUP_PHONE, RTC_DOWN, client_of, downward};

use super::act::{Act, Failure};
use super::acts::Outcome;
use super::check::Deployment;
use super::plan::ProgramName;
use super::secrets::{INSTANCE, KEY_PHONE};
use super::stage::Stage;

const TEXT: &str = "kept while you were away";

/// The client connects once and goes; the message is sent by the API; the broker is killed; the client returns.
pub async fn message_across_a_kill(stage: &Stage, deployment: &mut Deployment, api_token: &str) -> Outcome {
    let device = "absent-1".parse().map_err(|_| "no device ID".to_owned())?;
    let client_id = client_of(GROUP_PHONE, &device).map_err(|error| error.to_string())?;
    let topic = downward(RTC_DOWN, GROUP_PHONE, &device).map_err(|error| error.to_string())?;
    let config = MqttConfig {
        broker: stage.plan.mqtt(),
        client_id: client_id.clone(),
        username: service_kit::config::signature_username(
            KEY_PHONE,
            &INSTANCE.parse().map_err(|_| "instance")?,
        ),
        password: stage.phones.password_of(&client_id),
        clean_session: false,
        keep_alive: Duration::from_secs(30),
        subscribe: Vec::new(),
    };
    visit(&mut stage.act("ABSENT"), &config, None).await?;
    let body = json!({ "topic": topic, "payload": TEXT, "qos": 1, "clean_session": false });
    let url = format!("{}/api/v1/instances/{INSTANCE}/messages", stage.plan.broker_url());
    let sent = reqwest::Client::new().post(url).bearer_auth(api_token).json(&body).send().await;
    let status = sent.map_err(|error| error.to_string())?.status();
    if status != reqwest::StatusCode::ACCEPTED {
        return Err(format!("the broker's API answered {status}"));
    }
    deployment.kill_and_restart(ProgramName::Broker).await?;
    visit(&mut stage.act("ABSENT"), &config, Some(TEXT)).await?;
    Ok(format!("`{TEXT}` arrived"))
}

/// Connects, waits for the message when there is to be one, and leaves with DISCONNECT.
async fn visit(act: &mut Act, config: &MqttConfig, expected: Option<&str>) -> Result<(), String> {
    let lifecycle = Lifecycle::new();
    let (client, mut events, driver) = mqtt(config.clone());
    lifecycle.spawn("visitor", driver.run(lifecycle.stopping()));
    let visited = async {
        loop {
            match events.recv().await {
                Some(MqttEvent::Connected { .. }) if expected.is_none() => return Ok(()),
                Some(MqttEvent::Message(message)) => {
                    let is_it = expected.is_some_and(|expected| message.payload() == expected.as_bytes());
                    if message.qos() != QoS::AtMostOnce {
                        client.ack(&message).await?;
                    }
                    if is_it {
                        return Ok(());
                    }
                }
                Some(MqttEvent::Connected { .. } | MqttEvent::Disconnected { .. }) => {}
                None => return Err(Failure("the visitor's connection ended".to_owned())),
            }
        }
    };
    let seen = act.wait_for("the visitor's message", visited).await;
    lifecycle.stop();
    lifecycle.drain().await.map_err(|error| error.to_string())?;
    seen
}
