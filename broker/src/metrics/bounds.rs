//! What full tables forgot, counted.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::ReasonLabel;
use crate::trends::LeftOut;

/// What full tables forgot.
#[derive(Debug, Default)]
pub struct BoundMetrics {
    lockouts_forgotten: Counter,
    history_forgotten: Counter,
    sessions_ended: Counter,
    samples_missed: Counter,
    trends_left_out: Family<ReasonLabel, Counter>,
}

impl BoundMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Pairs of address and client ID that a full table of failures forgot";
        registry.register("lockouts_forgotten", help, self.lockouts_forgotten.clone());
        let help = "Connects and disconnects that the history of clients had no room for";
        registry.register("history_forgotten", help, self.history_forgotten.clone());
        let help = "Sessions of the console that ended because there were too many";
        registry.register("console_sessions_ended", help, self.sessions_ended.clone());
        let help = "Samples of charts that slow listeners missed";
        registry.register("console_samples_missed", help, self.samples_missed.clone());
        let help =
            "Messages of parent topics, and clients online of groups, that are beyond the bounds of trends";
        registry.register("trends_left_out", help, self.trends_left_out.clone());
    }

    /// A full table of failures forgot the pair that was quiet for longest.
    pub fn lockout_forgotten(&self) {
        self.lockouts_forgotten.inc();
    }

    /// A session ended because there were too many.
    pub fn session_ended(&self) {
        self.sessions_ended.inc();
    }

    /// A listener of charts was too slow.
    pub fn samples_missed(&self, count: u64) {
        self.samples_missed.inc_by(count);
    }

    /// Trends of parent topics and groups had no room.
    pub fn trends_left_out(&self, left_out: LeftOut) {
        for (reason, count) in [("parent_topics_max", left_out.messages), ("groups_max", left_out.online)] {
            if count > 0 {
                self.trends_left_out.get_or_create(&ReasonLabel { reason }).inc_by(count);
            }
        }
    }

    /// The history of clients forgot its oldest event.
    pub fn history_forgotten(&self) {
        self.history_forgotten.inc();
    }
}
