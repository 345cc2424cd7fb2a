//! How many instances, groups, parent topics and access keys there may be: by the API, at the console, at start.

use reqwest::Method;
use serde_json::{Value, json};
use service_kit::clock::Clock;

use crate::console::{admin, start_with};
use crate::harness::{PROVISION, TestBroker};
use crate::signing::api_at;

/// One more of each than the provisioning file has.
const ONE_MORE: [&str; 8] =
    ["--instances-max", "3", "--groups-max", "3", "--parent-topics-max", "4", "--access-keys-max", "4"];

/// Status, kind and detail of an operation below `/api/v1/instances`.
async fn told(broker: &TestBroker, method: Method, path: &str, body: Option<Value>) -> String {
    let (status, problem) = api_at(broker, method, path, body).await;
    match problem["type"].as_str() {
        Some(kind) => format!("{status} {}: {}", kind.trim_start_matches("urn:problem:"), problem["detail"]),
        None => status.to_string(),
    }
}

/// Why it does not start.
async fn why(broker: TestBroker) -> String {
    let error = broker.refused().await;
    std::error::Error::source(&error).unwrap().to_string()
}

fn credential() -> Value {
    json!({ "allow": [] })
}

#[tokio::test]
async fn the_api_lays_down_no_more_than_there_may_be() {
    let broker = TestBroker::start_with(&ONE_MORE);
    let put = |path: &'static str, body| told(&broker, Method::PUT, path, body);
    let cases = [
        (
            "/mqtt-new",
            "/mqtt-other",
            "instance-quota",
            None,
            r#""4 instances are more than the 3 that the broker may have (--instances-max)""#,
        ),
        (
            "/mqtt-test/groups/GID_NEW",
            "/mqtt-test/groups/GID_MORE",
            "group-quota",
            None,
            r#""4 groups are more than the 3 that the instance may have (--groups-max)""#,
        ),
        (
            "/mqtt-test/topics/new",
            "/mqtt-test/topics/more",
            "topic-quota",
            None,
            r#""5 parent topics are more than the 4 that the instance may have (--parent-topics-max)""#,
        ),
        (
            "/mqtt-elsewhere/credentials/AKN",
            "/mqtt-test/credentials/AK5",
            "access-key-quota",
            Some(credential()),
            r#""5 access keys are more than the 4 that the instance may have (--access-keys-max)""#,
        ),
    ];
    for key in ["AK3", "AK4"] {
        let path = format!("/mqtt-test/credentials/{key}");
        assert_eq!(told(&broker, Method::PUT, &path, Some(credential())).await, "200");
    }
    for (last, beyond, kind, body, why) in cases {
        let made = put(last, body.clone()).await;
        assert!(made == "204" || made == "200", "{made}");
        assert_eq!(put(beyond, body.clone()).await, format!("409 {kind}: {why}"));
        assert_eq!(put(last, body).await, made, "what exists may be laid down again");
        let refused = format!("broker_registry_refused_total{{reason=\"{kind}\"}}");
        assert_eq!(broker.metric(&refused).await.to_string(), "1");
    }
    assert_eq!(told(&broker, Method::DELETE, "/mqtt-test/groups/GID_NEW", None).await, "204");
    assert_eq!(put("/mqtt-test/groups/GID_MORE", None).await, "204", "there is room again");
    // Each instance has bounds of its own.
    assert_eq!(put("/mqtt-new/topics/more", None).await, "204");
}

#[tokio::test]
async fn the_console_says_beside_the_field_that_there_is_no_room() {
    let arguments =
        ["--instances-max", "2", "--groups-max", "2", "--parent-topics-max", "3", "--access-keys-max", "2"];
    let broker = start_with(&arguments, Clock::system());
    let mut admin = admin(&broker).await;
    let cases = [
        ("/instances", &[("instance", "mqtt-new")][..], "3 instances are more than the 2"),
        ("/instances/mqtt-test/groups", &[("group", "GID_NEW")][..], "3 groups are more than the 2"),
        ("/instances/mqtt-test/topics", &[("topic", "new")][..], "4 parent topics are more than the 3"),
        (
            "/instances/mqtt-test/credentials",
            &[("access_key", "AK7"), ("allow", "")][..],
            "3 access keys are more than the 2",
        ),
    ];
    for (path, fields, why) in cases {
        let page = admin.post(path, fields).await;
        assert_eq!(page.status, 409, "{path}");
        assert!(page.text.contains(why), "{path}: {}", page.text);
    }
}

#[tokio::test]
async fn a_provisioning_file_with_too_much_of_anything_is_refused_at_start() {
    let arguments =
        ["--instances-max", "1", "--groups-max", "1", "--parent-topics-max", "2", "--access-keys-max", "1"];
    let error = why(TestBroker::start_with(&arguments)).await;
    insta::assert_snapshot!(error.replace("; ", "\n"), @r"
    --provision: 2 instances are more than the 1 that the broker may have (--instances-max)
    --provision, instance `mqtt-test`: 2 groups are more than the 1 that the instance may have (--groups-max)
    --provision, instance `mqtt-test`: 3 parent topics are more than the 2 that the instance may have (--parent-topics-max)
    --provision, instance `mqtt-test`: 2 access keys are more than the 1 that the instance may have (--access-keys-max)
    ");
}

#[tokio::test]
async fn a_provisioning_file_that_would_be_too_much_with_what_there_is_is_refused_at_start() {
    let broker = TestBroker::start_with(&ONE_MORE);
    assert_eq!(told(&broker, Method::PUT, "/mqtt-test/groups/GID_NEW", None).await, "204");
    let provision = broker.data_dir().with_file_name("provision.toml");
    let fourth = "id = \"GID_OTHER\"\n[[instance.group]]\nid = \"GID_FOURTH\"";
    let more = PROVISION.replace("id = \"GID_OTHER\"", fourth);
    let broker = broker.restart_after(|| std::fs::write(provision, more).unwrap()).await;
    insta::assert_snapshot!(why(broker).await, @"instance `mqtt-test`: --provision merged with what there is: 4 groups are more than the 3 that the instance may have (--groups-max)");
}

#[tokio::test]
async fn what_there_is_stays_when_a_bound_is_lowered() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start_in(dir.path(), &[]);
    for group in ["GID_NEW", "GID_MORE"] {
        assert_eq!(told(&broker, Method::PUT, &format!("/mqtt-test/groups/{group}"), None).await, "204");
    }
    broker.stop().await;
    let broker = TestBroker::start_in(dir.path(), &["--groups-max", "2"]);
    let refused = told(&broker, Method::PUT, "/mqtt-test/groups/GID_LAST", None).await;
    let why = r#"409 group-quota: "5 groups are more than the 2 that the instance may have (--groups-max)""#;
    assert_eq!(refused, why);
    assert_eq!(told(&broker, Method::DELETE, "/mqtt-test/groups/GID_NEW", None).await, "204");
    assert_eq!(told(&broker, Method::PUT, "/mqtt-test/topics/new", None).await, "204");
}

#[tokio::test]
async fn an_instance_that_would_not_fit_a_record_of_the_log_is_refused_at_start() {
    let broker = TestBroker::start();
    let provision = broker.data_dir().with_file_name("provision.toml");
    let broker = broker.restart_after(|| std::fs::write(provision, large_provision()).unwrap()).await;
    let why = why(broker).await;
    assert!(why.starts_with("instance `mqtt-test`: --provision merged with what there is: "), "{why}");
    assert!(why.ends_with(" that the instance may have (no option)"), "{why}");
}

/// 100,000 grants of one access key.
fn large_provision() -> String {
    let grant = |number: usize| format!("{{ topic = \"news/{number:0>59}\", actions = \"R\" }}");
    let grants: Vec<String> = (0..100_000).map(grant).collect();
    PROVISION.replace("{ topic = \"news/#\", actions = \"RW\" },\n]", &format!("{}]", grants.join(",")))
}
