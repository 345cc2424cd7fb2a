//! The first minute: what a newcomer sees.

use std::time::Duration;

use tokio::time::sleep;

use super::acts::{self, Outcome};
use super::screen::Screen;
use super::stage::Stage;

/// Between two acts, so that people can follow.
const PAUSE: Duration = Duration::from_secs(2);

/// Tells it; whether every act went well.
pub async fn tell(stage: &Stage, screen: Screen, login_url: &str) -> bool {
    let mut well = true;
    match acts::tags_are_current(stage).await {
        Ok(evidence) => screen.line(&format!("{evidence}      open {login_url}")),
        Err(failure) => {
            screen.event("!", &failure);
            well = false;
        }
    }
    let mut event = |name: &str, outcome: Outcome| {
        well &= outcome.is_ok();
        match outcome {
            Ok(evidence) => screen.event(name, &evidence),
            Err(failure) => screen.event(name, &format!("went wrong: {failure}")),
        }
    };
    event("UP", acts::price_up(stage, "coffee").await);
    sleep(PAUSE).await;
    event("DOWN", acts::price_down(stage, "milk").await);
    sleep(PAUSE).await;
    event("CALL", stage.phones.answered_call("alice", "bob").await);
    sleep(PAUSE).await;
    event("DENY", stage.phones.duplicate_is_denied(&stage.plan.mqtt()).await);
    event("CUT", acts::cut_and_mend(stage).await);
    let audit = acts::audit_is_whole(stage).await;
    let turn = format!("your turn: change a price at {}/products/coffee", stage.plan.prices_url());
    event("AUDIT", audit.map(|evidence| format!("{evidence}      {turn}")));
    well
}
