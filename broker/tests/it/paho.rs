//! A client we did not write, in both versions: Eclipse Paho for Python (Debian's python3-paho-mqtt, which scripts/test
//! installs), driven by `paho_clients.py`.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::harness::{TestBroker, USER};

/// Debian's, which sees Debian's packages; another one may come first in PATH.
const PYTHON: &str = "/usr/bin/python3";

#[tokio::test]
async fn paho_clients_of_both_versions_publish_subscribe_and_come_back() {
    let broker = TestBroker::start();
    let mut script = Command::new(PYTHON);
    script.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/paho_clients.py"));
    script.args([&broker.mqtt.port().to_string(), USER, "s3cret"]);
    script.kill_on_drop(true).stdin(Stdio::null());
    let output = tokio::time::timeout(Duration::from_mins(2), script.output())
        .await
        .expect("it did not end")
        .expect("python3 is missing");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().count(), 9, "{said}");
}
