//! What each instance holds, read at each scrape.

use std::sync::Weak;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use crate::broker::Broker;
use crate::instance::Instance;
use crate::sync::read_locked;

/// Reads instances of a broker, as long as there is one.
#[derive(Debug)]
pub struct InstanceCollector(pub Weak<Broker>);

type Read = fn(&Instance) -> u64;

/// Name, help, figure.
const GAUGES: [(&str, &str, Read); 5] = [
    ("instance_connections", "Open connections of an instance", |instance| {
        u64::try_from(instance.connections.load(Ordering::Relaxed)).unwrap_or(u64::MAX)
    }),
    (
        "offline_messages",
        "Messages in the store that some receiver has not acknowledged, by instance",
        |instance| u64::try_from(instance.quota.counts().0).unwrap_or(u64::MAX),
    ),
    ("offline_message_bytes", "Octets of their topics, properties and payloads, by instance", |instance| {
        instance.quota.counts().1
    }),
    ("retained_messages", "Topics with a retained message, by instance", |instance| {
        u64::try_from(read_locked(&instance.retained).count()).unwrap_or(u64::MAX)
    }),
    (
        "retained_message_bytes",
        "Octets of topics, properties and payloads of retained messages, by instance",
        |instance| read_locked(&instance.retained).bytes(),
    ),
];

impl Collector for InstanceCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(broker) = self.0.upgrade() else { return Ok(()) };
        let instances = broker.instances();
        for (name, help, read) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for instance in &instances {
                let figure = i64::try_from(read(instance)).unwrap_or(i64::MAX);
                family.encode_family(&[("instance", instance.id.as_str())])?.encode_gauge(&figure)?;
            }
        }
        Ok(())
    }
}
