//! A client we did not write, in both versions of MQTT: Eclipse Paho for Python, driven by `paho_clients.py`. Debian's
//! python3-paho-mqtt, and those of `PyPI` that `scripts/test` puts into the folders of `PAHO_PYPI`.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::harness::{TestBroker, USER};

/// Debian's, which sees Debian's packages; another one may come first in PATH.
const PYTHON: &str = "/usr/bin/python3";

/// What the script says, with the packages of a folder if there is one.
async fn paho(folder: Option<&str>) -> Vec<String> {
    let broker = TestBroker::start();
    let mut script = Command::new(PYTHON);
    script.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/paho_clients.py"));
    script.args([&broker.mqtt.port().to_string(), USER, "s3cret"]);
    script.env_remove("PYTHONPATH").envs(folder.map(|folder| ("PYTHONPATH", folder)));
    script.kill_on_drop(true).stdin(Stdio::null());
    let output = tokio::time::timeout(Duration::from_mins(2), script.output())
        .await
        .expect("it did not end")
        .expect("python3 is missing");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    broker.stop().await;
    said.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn paho_clients_of_both_versions_publish_subscribe_and_come_back() {
    let said = paho(None).await;
    assert_eq!(said.len(), 10, "{said:?}");
}

/// The name of a folder is the version in it.
#[tokio::test]
async fn paho_clients_from_pypi_do_the_same() {
    let folders = std::env::var("PAHO_PYPI").unwrap_or_default();
    for folder in folders.split(':').filter(|folder| !folder.is_empty()) {
        let said = paho(Some(folder)).await;
        let version = folder.rsplit('/').next().unwrap_or_default();
        assert_eq!((said.len(), said[9].as_str()), (10, format!("paho-mqtt {version}").as_str()), "{said:?}");
    }
}
