//! The status as metrics: what the page shows and what Prometheus sees are the same numbers.

use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use service_kit::metrics::Metrics;
use tokio::sync::watch;

use crate::status::Status;
use crate::tally::Event;

/// The metrics of the program whose status is this.
pub fn metrics(status: watch::Receiver<Arc<Status>>) -> Metrics {
    let metrics = Metrics::new("ap_gateway");
    metrics.register(|registry| registry.register_collector(Box::new(StatusCollector(status))));
    metrics
}

#[derive(Debug)]
struct StatusCollector(watch::Receiver<Arc<Status>>);

impl Collector for StatusCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let status = self.0.borrow().clone();
        for (name, help, value) in gauges(&status) {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        for event in Event::ALL {
            let (name, help) = event.describe();
            counter(&mut encoder, name, help, status.events.get(name).copied().unwrap_or(0))?;
        }
        let dropped = status.uplink.dropped;
        counter(&mut encoder, "uplink_dropped", "Messages dropped because they could not leave", dropped)?;
        let send_errors = status.send_errors;
        counter(&mut encoder, "send_errors", "Frames the socket would not send", send_errors)?;
        for (name, help, reasons) in [
            ("frames_refused", "Frames refused, by reason", &status.frames_refused),
            ("messages_ignored", "Messages of the service ignored, by reason", &status.messages_ignored),
        ] {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (reason, value) in reasons {
                let labels = [("reason", *reason)];
                ConstCounter::new(*value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn counter(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: u64) -> Result<(), Error> {
    let counter = ConstCounter::new(value);
    counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

fn gauges(status: &Status) -> [(&'static str, &'static str, usize); 10] {
    [
        ("uplink_connected", "Whether the uplink is there", usize::from(status.uplink.connected)),
        ("tags", "Tags of the roster", status.tags),
        ("tags_heard", "Tags heard since the start", status.tags_heard),
        ("tasks_open", "Tasks that have not ended", status.tasks_open),
        ("operations_open", "Operations that have not ended", status.operations_open),
        ("reports_waiting", "Reports waiting for their receipt", status.reports_waiting),
        ("faces_cached", "Cached faces", status.faces_cached),
        ("face_bytes", "Octets of cached faces", status.face_bytes),
        ("faces_missing", "Faces asked for and not here yet", status.faces_missing),
        ("roster_rev", "Revision of the roster", usize::try_from(status.roster_rev).unwrap_or(usize::MAX)),
    ]
}
