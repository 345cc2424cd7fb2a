//! A broker inside another program, with rules of its own in place of the built-in ones.
//!
//! Anna and Ben sign in by name and password, keep what is theirs below `home/<name>/`, and share `board/`:
//!
//! ```sh
//! cargo run -p broker --example embedded -- --api-token secret --data-dir /tmp/household
//! mosquitto_sub -i tablet -u anna -P apple -t 'board/#' -v          # and, elsewhere:
//! mosquitto_pub -i phone -u ben -P pear -q 1 -t board/shopping -m milk
//! mosquitto_pub -i phone -u ben -P pear -q 1 -t home/anna/diary -m x   # refused: the connection is lost
//! mosquitto_pub -i phone -u ben -P wrong -q 1 -t board/shopping -m x   # refused: not authorised
//! ```
//! The program itself says hello on `board/house`, without a connection; whoever subscribes gets it.
//! Everything else is the broker's: sessions, QoS, the store, lock-out after wrong passwords, metrics, the API.

use std::sync::Arc;

use broker::admission::STANDARD_INSTANCE;
use broker::message::Qos;
use broker::rules::Profile;
use broker::sending::Order;
use broker::{Config, Listeners, Program};
use clap::Parser;
use service_kit::clock::Clock;
use service_kit::lifecycle::Lifecycle;
use service_kit::telemetry;

mod household;

use household::Household;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    // Free topics and client IDs; what may be done with them is up to the household.
    let config = Config { profile: Profile::Standard, ..Config::parse() };
    let _logs = telemetry::start("household", &config.log)?;
    let listeners = Listeners::bind(&config)?;
    let lifecycle = Lifecycle::new();
    lifecycle.stop_on_signals();
    let household = Arc::new(Household::of(&[("anna", "apple"), ("ben", "pear")]));
    tracing::info!("anna and ben may sign in; home/<name>/ is for one of them, board/ for both");
    let program = Program::open(config, Clock::system(), household)?;
    let hello = Order {
        topic: "board/house".to_owned(),
        payload: b"dinner is at seven".to_vec(),
        qos: Qos::AtLeastOnce,
        retain: true,
        clean_session: true,
    };
    program.broker().send(STANDARD_INSTANCE, hello).await?;
    program.run(listeners, lifecycle).await?;
    Ok(())
}
