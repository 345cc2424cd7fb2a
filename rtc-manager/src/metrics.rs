//! What is counted. Functions are named as past events, so that nobody else spells a metric's name.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use service_kit::metrics::Metrics;
use wire::call::{ErrorCode, Reason};

use crate::call::change::CallDetailRecord;
use crate::retention::Deleted;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    kind: &'static str,
}

/// The metrics of this program. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Meters {
    calls_ended: Family<Label, Counter>,
    call_setup_seconds: Histogram,
    calls_live: Gauge,
    refused: Family<Label, Counter>,
    duplicates: Counter,
    strays: Counter,
    unsent: Counter,
    registrations: Family<Label, Counter>,
    lockouts_forgotten: Counter,
    calls_deleted: Counter,
    records_deleted: Counter,
}

/// What became of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// A phone has a name and a password.
    Accepted,
    /// The secret is wrong, or there is no such user.
    WrongSecret,
    /// Too many wrong secrets came before; nothing was judged.
    LockedOut,
    /// Anything else.
    Refused,
}

impl Meters {
    /// Registers the metrics.
    pub fn new(metrics: &Metrics) -> Self {
        let setup_buckets = [0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0, 55.0];
        let meters = Meters {
            calls_ended: Family::default(),
            call_setup_seconds: Histogram::new(setup_buckets),
            calls_live: Gauge::default(),
            refused: Family::default(),
            duplicates: Counter::default(),
            strays: Counter::default(),
            unsent: Counter::default(),
            registrations: Family::default(),
            lockouts_forgotten: Counter::default(),
            calls_deleted: Counter::default(),
            records_deleted: Counter::default(),
        };
        metrics.register(|registry| meters.register(registry));
        meters
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("calls_ended", "Calls that ended, by reason", self.calls_ended.clone());
        let help = "From invite to answer, of answered calls";
        registry.register("call_setup_seconds", help, self.call_setup_seconds.clone());
        registry.register("calls_live", "Calls that are not over", self.calls_live.clone());
        let help = "Messages of phones that were refused, by error code; `expired` came too late";
        registry.register("messages_refused", help, self.refused.clone());
        let help = "Messages of phones that came twice and were handled once";
        registry.register("messages_duplicate", help, self.duplicates.clone());
        let help = "Messages on topics that name no phone";
        registry.register("messages_stray", help, self.strays.clone());
        let help = "Messages to phones that were dropped because the broker was away; told again after";
        registry.register("messages_unsent", help, self.unsent.clone());
        registry.register("registrations", "Registrations of phones, by outcome", self.registrations.clone());
        let help = "Pairs of address and user whose wrong secrets were forgotten because the table was full";
        registry.register("lockouts_forgotten", help, self.lockouts_forgotten.clone());
        let help = "Calls that were deleted because they ended more than --keep-calls-days ago";
        registry.register("calls_deleted", help, self.calls_deleted.clone());
        let help = "Call detail records that were deleted because of --keep-records-days";
        registry.register("records_deleted", help, self.records_deleted.clone());
    }

    /// A call ended.
    pub fn call_ended(&self, record: &CallDetailRecord) {
        self.calls_ended.get_or_create(&Label { kind: record.reason.as_str() }).inc();
        if let Some(answered_at) = record.answered_at {
            let setup: Duration = answered_at.since(record.created_at);
            self.call_setup_seconds.observe(setup.as_secs_f64());
        }
    }

    /// How many calls ended for a reason.
    pub fn calls_ended(&self, reason: Reason) -> u64 {
        self.calls_ended.get_or_create(&Label { kind: reason.as_str() }).get()
    }

    /// So many calls are alive.
    pub fn calls_live(&self, calls: usize) {
        self.calls_live.set(i64::try_from(calls).unwrap_or(i64::MAX));
    }

    /// A message was refused.
    pub fn message_refused(&self, code: ErrorCode) {
        let kind = match code {
            ErrorCode::Malformed => "malformed",
            ErrorCode::Expired => "expired",
            ErrorCode::UnknownDevice => "unknown_device",
            ErrorCode::UnknownUser => "unknown_user",
            ErrorCode::UnknownCall => "unknown_call",
            ErrorCode::BadCallees => "bad_callees",
            ErrorCode::Overloaded => "overloaded",
        };
        self.refused.get_or_create(&Label { kind }).inc();
    }

    /// A message came twice.
    pub fn message_repeated(&self) {
        self.duplicates.inc();
    }

    /// A message came on a topic that names no phone.
    pub fn message_strayed(&self) {
        self.strays.inc();
    }

    /// A message to a phone was dropped.
    pub fn message_unsent(&self) {
        self.unsent.inc();
    }

    /// Old calls and records were deleted.
    pub fn deleted(&self, batch: Deleted) {
        self.calls_deleted.inc_by(batch.calls);
        self.records_deleted.inc_by(batch.records);
    }

    /// A pair was forgotten to make room.
    pub fn lockout_forgotten(&self) {
        self.lockouts_forgotten.inc();
    }

    /// A phone asked to be registered.
    pub fn registered(&self, outcome: Registration) {
        let kind = match outcome {
            Registration::Accepted => "accepted",
            Registration::WrongSecret => "wrong_secret",
            Registration::LockedOut => "locked_out",
            Registration::Refused => "refused",
        };
        self.registrations.get_or_create(&Label { kind }).inc();
    }
}
