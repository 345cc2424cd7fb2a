//! After the story: random price changes, until somebody stops it. Phones call each other by themselves
//! (`phone_fleet/traffic.rs`).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;
use wire::till::Price;

use super::screen::Screen;
use super::stage::Stage;
use crate::air::Dice;

/// Between two events.
const SHORTEST_PAUSE_MS: u64 = 2000;
const LONGEST_PAUSE_MS: u64 = 6000;
/// How often a line of figures is printed, in events.
const EVENTS_PER_LINE: u64 = 5;

/// Until `stop`.
pub async fn run(
    stage: Arc<Stage>,
    screen: Screen,
    seed: u64,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    let mut dice = Dice::new(seed);
    for event in 1_u64.. {
        let pause = Duration::from_millis(dice.between(SHORTEST_PAUSE_MS, LONGEST_PAUSE_MS));
        tokio::select! {
            () = stage.clock.sleep(pause) => {}
            () = stop.cancelled() => return Ok(()),
        }
        random_price(&stage, &mut dice).await;
        if event.is_multiple_of(EVENTS_PER_LINE) {
            let counters = stage.fleet.counters();
            let frames = counters.frames_sent;
            let redraws = counters.redraws;
            screen.line(&format!(
                "{event} random prices, {frames} frames, {redraws} redraws, {}",
                stage.phones.figures()
            ));
        }
    }
    Ok(())
}

async fn random_price(stage: &Stage, dice: &mut Dice) {
    let last = stage.shop.products.len().saturating_sub(1) as u64;
    let index = usize::try_from(dice.between(0, last)).unwrap_or(0);
    let Some(planned) = stage.shop.products.get(index) else { return };
    // Around its first price, so that prices stay believable.
    let base = planned.price.as_minor();
    let swing = i64::try_from(dice.between(0, 40)).unwrap_or(0) - 20;
    let Ok(price) = Price::from_minor((base + base * swing / 100).max(9)) else { return };
    if stage.till.price(&planned.product) == Some(price) {
        return;
    }
    if let Err(failure) = stage.change_price(&planned.product, price, "random traffic").await {
        warn!(product = %planned.product, failure, "a random price was not taken");
    }
}
