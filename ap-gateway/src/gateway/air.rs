//! ● What tags say and hear.
//!
//! ```text
//! frame ──address──key──counter──message──▶ radio_session ──▶ tasks stored, reports stored, then frames sent
//!           └───────┴──────┴───────┴─ refused: counted, and nothing changes
//! ```

use wire::Timestamp;
use wire::radio::frame::ANY_ACCESS_POINT;
use wire::radio::payload::{ApMessage, TagMessage};
use wire::tag::TagId;

use super::{Gateway, Health, Tag};
use crate::effect::{Effect, Heard, Origin};
use crate::radio_session::{self, Pace, Ready, Turn};
use crate::tally::{Event, Refusal};

/// How long a tag waits for a face that was asked for a moment ago.
const FACE_WAIT_MS: u32 = 1000;

impl Gateway {
    pub(super) fn heard(&mut self, heard: &Heard, now: Timestamp) -> Vec<Effect> {
        let (tag, message) = match self.open(heard) {
            Ok(opened) => opened,
            Err(reason) => {
                self.tally.refuse(reason);
                return vec![];
            }
        };
        let pace = self.pace(tag, now);
        let Some(state) = self.tags.get_mut(&tag) else { return vec![] };
        state.note(&message, heard.lqi, now);
        let mut ready = Ready { tasks: &mut state.tasks, operations: &mut state.operations };
        let turn = radio_session::answer(&message, &mut ready, &self.faces, pace, now);
        let has_reserved = state.link.reserve(turn.replies.len());
        let must_save = turn.is_change || has_reserved || state.link.is_lagging();
        self.count(&message, &turn);
        if turn.is_surprise {
            self.hello_soon(now);
        }
        let mut effects = Vec::new();
        if must_save {
            effects.extend(self.save(tag));
        }
        effects.extend(self.report(turn.reports));
        effects.extend(self.transmit(tag, heard.origin, &turn.replies));
        effects
    }

    fn open(&mut self, heard: &Heard) -> Result<(TagId, TagMessage), Refusal> {
        let header = heard.frame.header;
        if header.destination != self.settings.address && header.destination != ANY_ACCESS_POINT {
            return Err(Refusal::OtherDestination);
        }
        let tag = TagId::from_address(header.source);
        let state = self.tags.get_mut(&tag).filter(|state| state.is_member);
        let payload = state.ok_or(Refusal::UnknownSource)?.link.open(&heard.frame)?;
        let message = TagMessage::decode(&payload).map_err(|_| Refusal::Payload)?;
        Ok((tag, message))
    }

    /// A face on its way is worth a short sleep; one that nobody can send now is not.
    fn pace(&self, tag: TagId, now: Timestamp) -> Pace {
        let wanted = self.tags.get(&tag).and_then(|state| state.tasks.wanted());
        let is_soon = self.schedule.is_connected
            && wanted.is_some_and(|task| self.needs.is_expected_soon(&task.face, now));
        let check_in_ms = self.settings.check_in_ms;
        Pace { check_in_ms, wait_ms: if is_soon { FACE_WAIT_MS.min(check_in_ms) } else { check_in_ms } }
    }

    fn transmit(&mut self, tag: TagId, to: Origin, replies: &[ApMessage]) -> Vec<Effect> {
        let Some(state) = self.tags.get_mut(&tag) else { return vec![] };
        let mut effects = Vec::new();
        for reply in replies {
            match state.link.seal(self.settings.address, tag, &reply.encode()) {
                Some(frame) => {
                    self.tally.count(Event::FrameSent);
                    effects.push(Effect::Transmit { to, frame });
                }
                None => self.tally.count(Event::CountersExhausted),
            }
        }
        effects
    }

    fn count(&mut self, message: &TagMessage, turn: &Turn) {
        self.tally.count(Event::FrameHeard);
        match message {
            TagMessage::CheckIn { .. } => self.tally.count(Event::CheckIn),
            TagMessage::Confirm { .. } if turn.is_unknown => {
                self.tally.count(Event::ConfirmationUnknown);
            }
            TagMessage::Confirm { .. } => self.tally.count(Event::Confirmation),
            TagMessage::Operated { .. } if turn.is_unknown => {
                self.tally.count(Event::OperationUnknown);
            }
            TagMessage::PartRequest { .. } | TagMessage::Operated { .. } => {}
        }
        for reply in &turn.replies {
            match reply {
                ApMessage::Offer { .. } => self.tally.count(Event::Offer),
                ApMessage::Part { .. } => self.tally.count(Event::PartSent),
                ApMessage::Operate(_) => self.tally.count(Event::OperationHandedOut),
                ApMessage::Idle { .. }
                | ApMessage::Wait { .. }
                | ApMessage::ConfirmAck { .. }
                | ApMessage::OperatedAck { .. } => {}
            }
        }
    }
}

impl Tag {
    /// Remembers how the tag is. Only a check-in tells its temperature, so health begins with one.
    fn note(&mut self, message: &TagMessage, lqi: u8, seen: Timestamp) {
        match *message {
            TagMessage::CheckIn { battery_mv, temperature_c, .. } => {
                self.health = Some(Health { seen, battery_mv, lqi, temperature_c });
            }
            TagMessage::Confirm { battery_mv, .. } => {
                self.health = self.health.map(|health| Health { seen, battery_mv, lqi, ..health });
            }
            TagMessage::PartRequest { .. } | TagMessage::Operated { .. } => {
                self.health = self.health.map(|health| Health { seen, lqi, ..health });
            }
        }
    }
}
