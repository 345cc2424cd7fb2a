//! What an input comes to, sorted by when it is done.

use wire::DeviceId;
use wire::face::FaceHash;
use wire::tag::{ServiceMessage, TagId};

use crate::names::Actor;
use crate::shop::rows::Write;
use crate::shop::words::{Effect, News, Note, Refusal, Reply};

/// The effects of one input.
pub(super) struct Plan {
    pub(super) actor: Actor,
    pub(super) notes: Vec<Note>,
    pub(super) writes: Vec<Write>,
    pub(super) messages: Vec<(DeviceId, ServiceMessage)>,
    pub(super) faces: Vec<(DeviceId, FaceHash)>,
    pub(super) news: Vec<News>,
    pub(super) unpaintable: Vec<TagId>,
    pub(super) outcome: Option<Result<Reply, Refusal>>,
}

impl Plan {
    pub(super) fn new(effects: Vec<Effect>, actor: Actor) -> Plan {
        let mut plan = Plan {
            actor,
            notes: Vec::new(),
            writes: Vec::new(),
            messages: Vec::new(),
            faces: Vec::new(),
            news: Vec::new(),
            unpaintable: Vec::new(),
            outcome: None,
        };
        for effect in effects {
            match effect {
                Effect::Write(write) => plan.writes.push(*write),
                Effect::Audit(note) => plan.notes.push(note),
                Effect::Send { device, message } => plan.messages.push((device, message)),
                Effect::SendFace { device, face } => plan.faces.push((device, face)),
                Effect::Tell(news) => plan.news.push(news),
                Effect::Unpaintable(tag) => plan.unpaintable.push(tag),
                Effect::Reply(reply) => plan.outcome = Some(Ok(reply)),
                Effect::Refuse(refusal) => plan.outcome = Some(Err(refusal)),
            }
        }
        plan
    }
}
