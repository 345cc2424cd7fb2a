//! kill -9 of the broker under measurement, and its start.

use std::process::Stdio;
use std::time::Duration;

use service_kit::clock::Stopwatch;
use tokio::process::Command;

use super::fault::LoadError;
use super::octets::Session;
use super::process::is_running;
use super::target::Target;
use super::wire_client::connect;

/// How long a killed process may take to be gone, with its ports.
const GONE_MAX: Duration = Duration::from_secs(10);
/// How long the new process may take until it answers CONNECT.
const BACK_MAX: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(5);

/// Whom to kill, and how it comes back.
#[derive(Clone, Debug)]
pub struct Restart {
    /// The process.
    pub pid: u32,
    /// A command line for `sh`, which becomes the broker.
    pub command: String,
}

/// The broker that came back.
#[derive(Clone, Copy, Debug)]
pub struct Restarted {
    /// Its process.
    pub pid: u32,
    /// From its start to its first CONNACK.
    pub took: Duration,
}

/// SIGKILL, then the command, until it answers CONNECT. The new process outlives this one.
pub async fn kill_and_restart(
    restart: &Restart,
    target: &Target,
    name: &str,
) -> Result<Restarted, LoadError> {
    let fault = |text: String| LoadError::Restart(text);
    let killed = Command::new("kill").args(["-KILL", &restart.pid.to_string()]).status().await;
    if !killed.is_ok_and(|status| status.success()) {
        return Err(fault(format!("process {} cannot be killed", restart.pid)));
    }
    let watch = Stopwatch::start();
    while is_running(restart.pid) {
        if watch.elapsed() > GONE_MAX {
            return Err(fault(format!("process {} does not end", restart.pid)));
        }
        tokio::time::sleep(POLL).await;
    }
    let watch = Stopwatch::start();
    let mut child = Command::new("sh")
        .args(["-c", &format!("exec {}", restart.command)])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| fault(error.to_string()))?;
    let pid = child.id().ok_or_else(|| fault("it ended at once".to_owned()))?;
    let login = target.login(&format!("{name}-back"), Session::Clean);
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(fault(format!("`{}` ended: {status}", restart.command)));
        }
        if let Ok(client) = connect(&target.broker, &login).await {
            let took = watch.elapsed();
            client.disconnect().await?;
            return Ok(Restarted { pid, took });
        }
        if watch.elapsed() > BACK_MAX {
            // Nobody would know its process.
            let _ = child.start_kill();
            return Err(fault(format!("`{}` does not answer CONNECT", restart.command)));
        }
        tokio::time::sleep(POLL).await;
    }
}
