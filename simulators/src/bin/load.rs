//! `load`: how much a broker carries, and what it costs it.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]
#![expect(clippy::print_stderr, reason = "mistakes are told to the person at the terminal")]

use std::io::{Read, stdin};
use std::process::ExitCode;

use clap::Parser;
use simulators::load::fault::{ConnectError, LoadError};
use simulators::load::options::{Command, Options, Scenario, TableOptions};
use simulators::load::scenario::Runs;
use simulators::load::table;
use simulators::load::target::Via;

/// What to do about it.
fn advice(error: &LoadError, scenario: &Scenario) -> &'static str {
    let target = scenario.target().target();
    let is_p2p = target.via == Via::P2p && !matches!(scenario, Scenario::FanOut(_));
    match error {
        LoadError::Connect(error) => connect_advice(error, target.key.is_some()),
        LoadError::Subscribe { .. } => "it must allow `<parent>/#` to be read and written",
        LoadError::Ended(_) | LoadError::Nothing | LoadError::Broken(_) if is_p2p => {
            "check that the parent topic is there and that the access key may write `<parent>/p2p/+`"
        }
        LoadError::Ended(_) | LoadError::Nothing | LoadError::Broken(_) => "the broker's log says why",
        LoadError::OpenFiles { .. } => "raise its limit (`ulimit -n`), or give fewer --clients",
        LoadError::Restart(_) => "check --kill and --restart; the broker's log says more",
        LoadError::Disk { .. } => "give another --disk",
    }
}

fn connect_advice(error: &ConnectError, has_key: bool) -> &'static str {
    match error {
        ConnectError::Unreachable { .. } => "start one, or say where it is with --broker",
        ConnectError::NoAnswer { .. } => "--broker wants the port of MQTT over TCP, without TLS",
        ConnectError::Refused { code: 3, .. } => "it is full: try fewer clients",
        ConnectError::Refused { .. } if !has_key => {
            "it wants a credential: give --access-key and --access-secret"
        }
        ConnectError::Refused { code: 4, .. } => "check --access-key, --access-secret and --instance",
        ConnectError::Refused { code: 2, .. } => "check --group, and that no other load is running",
        ConnectError::Refused { .. } => {
            "check that the access key signs for --group; wrong passwords lock out for 5 minutes"
        }
    }
}

async fn measure(scenario: &Scenario) -> Result<(), String> {
    let mut runs = Runs::new(scenario);
    for run in 0..scenario.run().runs {
        let line = runs.next(run).await;
        println!("{}", line.map_err(|error| format!("{error}; {}", advice(&error, scenario)))?);
    }
    Ok(())
}

fn tabulate(options: &TableOptions) -> Result<(), String> {
    let mut lines = String::new();
    for file in &options.files {
        let name = file.display();
        let text = if file.as_os_str() == "-" {
            let mut text = String::new();
            stdin().read_to_string(&mut text).map(|_| text)
        } else {
            std::fs::read_to_string(file)
        };
        lines.push_str(&text.map_err(|error| format!("`{name}` cannot be read: {error}"))?);
        lines.push('\n');
    }
    print!("{}", table::markdown(&lines).map_err(|error| error.to_string())?);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match Options::parse().command {
        Command::Mqtt(scenario) => measure(&scenario).await,
        Command::Table(options) => tabulate(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            eprintln!("load: {complaint}");
            ExitCode::FAILURE
        }
    }
}
