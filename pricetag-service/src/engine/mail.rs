//! Messages as octets: what access points say, and what they are told.

use bytes::Bytes;
use service_kit::mqtt::QoS;
use service_kit::random;
use tokio::sync::mpsc;
use wire::channel::{GROUP_ACCESS_POINT, TAG_ACK, TAG_CMD, TAG_FACE, TAG_STATUS, downward, sender_of};
use wire::envelope::Envelope;
use wire::face::FacePart;
use wire::tag::{ApReports, ApStatus, ServiceMessage};
use wire::{DeviceId, Timestamp};

use crate::link::Outgoing;
use crate::metrics::{Lost, ShopMetrics};
use crate::shop::words::{FromAccessPoint, Input};

/// Who says what, or why it cannot be read.
pub(super) fn read(topic: &str, payload: &Bytes) -> Result<Input, &'static str> {
    if let Some(device) = sender_of(TAG_ACK, topic) {
        let envelope = Envelope::<ApReports>::decode(payload).map_err(|_| "bad_reports")?;
        return Ok(Input::Message { device, message: FromAccessPoint::Reports(envelope.message) });
    }
    if let Some(device) = sender_of(TAG_STATUS, topic) {
        let envelope = Envelope::<ApStatus>::decode(payload).map_err(|_| "bad_status")?;
        return Ok(Input::Message { device, message: FromAccessPoint::Status(envelope.message) });
    }
    Err("bad_topic")
}

/// The way out.
pub(super) struct Outbox<'a> {
    pub(super) queue: &'a mpsc::Sender<Outgoing>,
    pub(super) metrics: &'a ShopMetrics,
}

impl Outbox<'_> {
    pub(super) fn send_message(&self, device: &DeviceId, message: &ServiceMessage, now: Timestamp) {
        let envelope = Envelope::new(random::new_id(), now, message.clone());
        self.send(TAG_CMD, device, envelope.encode().into());
    }

    pub(super) fn send_face(&self, device: &DeviceId, file: &Bytes) {
        for part in FacePart::split(file) {
            self.send(TAG_FACE, device, part.encode());
        }
    }

    /// What does not fit the queue is lost, as if the access point were away; the task is driven again.
    fn send(&self, parent: &str, device: &DeviceId, payload: Bytes) {
        let Ok(topic) = downward(parent, GROUP_ACCESS_POINT, device) else { return };
        let message = Outgoing { topic, qos: QoS::AtLeastOnce, payload };
        if self.queue.try_send(message).is_err() {
            self.metrics.was_lost(Lost::OutgoingFull);
        }
    }
}
