//! The first minute: what a newcomer sees.

use std::time::Duration;

use tokio::time::sleep;

use super::acts::{self, Outcome};
use super::stage::Stage;

/// Between two acts, so that people can follow.
const PAUSE: Duration = Duration::from_secs(2);

/// Tells it; whether every act went well.
pub async fn tell(stage: &Stage, sign_in: &str) -> bool {
    let mut well = true;
    match acts::tags_are_current(stage).await {
        Ok(evidence) => stage.screen.line(&format!("{evidence}      open {sign_in}")),
        Err(failure) => {
            stage.screen.event("✗", &format!("TAGS  {failure}      open {sign_in}"));
            well = false;
        }
    }
    let mut event = |name: &str, outcome: Outcome| {
        well &= outcome.is_ok();
        match outcome {
            Ok(evidence) => stage.screen.event(name, &evidence),
            Err(failure) => stage.screen.event("✗", &format!("{name:<5} {failure}")),
        }
    };
    event("UP", acts::price_up(stage, "coffee").await);
    sleep(PAUSE).await;
    event("DOWN", acts::price_down(stage, "milk").await);
    sleep(PAUSE).await;
    event("CALL", acts::call(stage, "alice", "bob").await);
    sleep(PAUSE).await;
    event("DENY", stage.phones.duplicate_is_denied(&stage.plan.mqtt()).await);
    event("CUT", acts::cut_and_mend(stage).await);
    event("AUDIT", acts::audit_is_whole(stage).await);
    well
}
