//! Questions about traces as people ask them, and events as rows of a page.

use serde::Deserialize;
use service_kit::http::urlencode;
use service_kit::problem::Problem;

use super::forms::{Complaint, Fields};
use super::frame::segment;
use super::texts::{Moment, grouped, parse_time};
use crate::message::Qos;
use crate::message_id::MessageId;
use crate::trace::event::Action;
use crate::trace::query::{Found, Order};
use crate::trace::{Of, TraceMode};
use crate::web::operations::traces::{Question, actions, no_action};

/// What a form asks for, as it was typed; what is empty excludes nothing.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asked {
    /// Only of this client.
    pub client_id: String,
    /// Only of this message.
    pub message_id: String,
    /// Only of messages with exactly this topic.
    pub topic: String,
    /// Only this.
    pub action: String,
    /// `true`: only errors.
    pub errors: String,
    /// Not before, in UTC.
    pub begin: String,
    /// Not after, in UTC.
    pub end: String,
    /// `false`: the oldest first.
    pub reverse: String,
    /// How many at most.
    pub limit: String,
    /// Only behind the event with this number.
    pub after: Option<u64>,
}

impl Asked {
    /// As the API asks it, or what is wrong with which field.
    pub fn question(&self, of: Of) -> Result<Question, Complaint> {
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Ok(Question {
            client: given(&self.client_id),
            message: given(&self.message_id),
            topic: given(&self.topic),
            action: given(&self.action).map(|word| parse_action(of, &word)).transpose()?,
            errors_only: flag(&self.errors, "errors")?.unwrap_or(false),
            begin: given(&self.begin).map(|text| parse("begin", parse_time(&text))).transpose()?,
            end: given(&self.end).map(|text| parse("end", parse_time(&text))).transpose()?,
            after: self.after,
            order: match flag(&self.reverse, "reverse")? {
                Some(false) => Order::OldestFirst,
                Some(true) | None => Order::NewestFirst,
            },
            limit: given(&self.limit).map(|text| parse("limit", text.parse().ok())).transpose()?,
        })
    }

    /// For templates: whether the oldest come first.
    pub fn is_oldest_first(&self) -> bool {
        self.reverse == "false"
    }

    /// The same of the other kind of events, as far as it means something there.
    pub fn shared(&self) -> String {
        Asked {
            message_id: String::new(),
            topic: String::new(),
            action: String::new(),
            after: None,
            ..self.clone()
        }
        .query()
    }

    /// The next page.
    pub fn next(&self, after: u64) -> String {
        Asked { after: Some(after), ..self.clone() }.query()
    }

    fn query(&self) -> String {
        let after = self.after.map(|after| after.to_string()).unwrap_or_default();
        let parts = [
            ("client_id", &self.client_id),
            ("message_id", &self.message_id),
            ("topic", &self.topic),
            ("action", &self.action),
            ("errors", &self.errors),
            ("begin", &self.begin),
            ("end", &self.end),
            ("reverse", &self.reverse),
            ("limit", &self.limit),
            ("after", &after),
        ];
        let given = parts.iter().filter(|(_, value)| !value.is_empty());
        given.map(|(name, value)| format!("{name}={}", urlencode(value))).collect::<Vec<_>>().join("&")
    }
}

fn complaint(field: &'static str, kind: &str, text: impl Into<String>) -> Complaint {
    Complaint::new(field, kind, text, Fields::default())
}

fn parse<T>(field: &'static str, parsed: Option<T>) -> Result<T, Complaint> {
    let (kind, text) = match field {
        "limit" => ("bad-limit", "a limit is a whole number, 1 to 1000"),
        _ => ("time-invalid", "a time is a date and a time of day in UTC: 2026-01-01T12:00:00"),
    };
    parsed.ok_or_else(|| complaint(field, kind, text))
}

fn flag(text: &str, field: &'static str) -> Result<Option<bool>, Complaint> {
    match text {
        "" => Ok(None),
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        _ => Err(complaint(field, "bad-query", "this is `true`, `false` or empty")),
    }
}

fn parse_action(of: Of, word: &str) -> Result<Action, Complaint> {
    let known = actions(of).find(|action| action.as_str() == word);
    known.ok_or_else(|| complaint("action", "action-invalid", no_action(of, word).detail.unwrap_or_default()))
}

/// What the question itself is refused for, told beside its field; other problems go on.
pub fn told(mut problem: Problem) -> Result<Complaint, Problem> {
    // The API speaks of milliseconds.
    if problem.kind == "urn:problem:time-invalid" {
        problem.detail = Some("the end is before the begin".to_owned());
    }
    Complaint::from(problem, Fields::default(), |kind| match kind {
        "message-id-invalid" => Some("message_id"),
        "action-invalid" => Some("action"),
        "time-invalid" | "time-too-long" => Some("end"),
        "bad-limit" => Some("limit"),
        _ => None,
    })
}

/// Where the way of a message is shown.
pub fn way_path(instance: &str, message_id: &str) -> String {
    format!("/instances/{}/traces/messages/{}", segment(instance), segment(message_id))
}

/// A client, and its page if it has one.
pub struct ClientLink {
    /// Empty: the API.
    pub id: String,
    pub path: Option<String>,
}

/// What more there is to an event.
pub struct Piece {
    pub text: String,
    pub title: String,
}

/// An event, for people.
pub struct EventRow {
    pub at: Moment,
    pub client: ClientLink,
    pub action: &'static str,
    pub meaning: &'static str,
    pub is_error: bool,
    pub qos: Option<u8>,
    pub topic: String,
    /// Of messages: its ID, and where its way is shown.
    pub message: Option<(String, String)>,
    /// Of devices: the connection.
    pub channel: Option<u64>,
    pub pieces: Vec<Piece>,
}

impl EventRow {
    /// Of this instance; `path_of` knows the pages of clients.
    pub fn new(found: Found, instance: &str, path_of: &impl Fn(&str) -> Option<String>) -> Self {
        let pieces = pieces(&found);
        let number = Some(found.number).filter(|number| *number != 0);
        let is_of_device = found.action.is_of_device();
        let id = number.filter(|_| !is_of_device).map(|number| MessageId::from_number(number).to_string());
        EventRow {
            at: Moment::precise(found.time),
            action: found.action.as_str(),
            meaning: meaning(found.action),
            is_error: found.is_error,
            qos: found.qos.map(Qos::number),
            message: id.map(|id| (id.clone(), way_path(instance, &id))),
            channel: number.filter(|_| is_of_device),
            client: ClientLink { path: path_of(&found.client), id: found.client },
            topic: found.topic,
            pieces,
        }
    }
}

/// Receivers, code, reason and note, as far as there are any.
fn pieces(found: &Found) -> Vec<Piece> {
    let plain = |text: String| Piece { text, title: String::new() };
    let receivers = found.action.is_publish().then(|| match found.count {
        1 => plain("1 receiver".to_owned()),
        more => plain(format!("{} receivers", grouped(more.into()))),
    });
    let texts = [&found.reason, &found.note].into_iter().filter(|text| !text.is_empty());
    receivers.into_iter().chain(found.code.map(code)).chain(texts.cloned().map(plain)).collect()
}

/// A code as specifications have it.
pub fn code(code: u8) -> Piece {
    Piece { text: format!("code {code}"), title: format!("0x{code:02X}") }
}

/// What an action means.
fn meaning(action: Action) -> &'static str {
    match action {
        Action::Connect => "CONNECT was accepted or refused",
        Action::Disconnect => "DISCONNECT came",
        Action::Close => "the connection is over",
        Action::Subscribe => "a filter of SUBSCRIBE was granted or refused",
        Action::Unsubscribe => "a filter of UNSUBSCRIBE",
        Action::PubMqtt => "a client published it",
        Action::PubApi => "the API or the console sent it",
        Action::PubWill => "it was published as a will",
        Action::PubRefused => "a publish was refused",
        Action::Push => "it went out to this client",
        Action::PushOffline => "it went out to this client, who was away when it was published",
        Action::Ack => "this client has it",
        Action::StoreOffline => "it is kept for this client, who is away",
        Action::Drop => "it was dropped",
        Action::Expire => "it was kept for too long",
    }
}

/// What is traced in a mode, and what to do when nothing is found.
pub fn advice(mode: TraceMode) -> &'static str {
    match mode {
        TraceMode::Off => {
            "Nothing is traced: the mode is off. Switch to all, and what happens from then on is here."
        }
        TraceMode::Errors => {
            "The mode is errors: only what was refused, dropped or broken off is traced. Switch to all, and all \
             that happens from then on is here."
        }
        TraceMode::All => "Everything is traced. What is old, or for which there is no room, falls out.",
    }
}

#[cfg(test)]
mod tests {
    use wire::Timestamp;

    use super::*;

    #[test]
    fn a_form_becomes_a_question() {
        let asked = Asked {
            client_id: " GID_TEST@@@a ".to_owned(),
            action: "sub".to_owned(),
            errors: "true".to_owned(),
            begin: "1970-01-01T00:00:01".to_owned(),
            limit: "7".to_owned(),
            ..Asked::default()
        };
        let question =
            asked.question(Of::Messages).unwrap_or_else(|wrong| panic!("{}", wrong.about("begin")));
        assert_eq!(question.client.as_deref(), Some("GID_TEST@@@a"));
        assert_eq!((question.action, question.errors_only), (Some(Action::Push), true));
        assert_eq!((question.begin, question.end, question.limit), (Some(1000), None, Some(7)));
        assert_eq!((question.order, question.message), (Order::NewestFirst, None));
        assert_eq!(
            asked.next(12),
            "client_id=%20GID_TEST%40%40%40a%20&action=sub&errors=true&begin=1970-01-01T00%3A00%3A01&limit=7&after=12"
        );
        assert_eq!(
            asked.shared(),
            "client_id=%20GID_TEST%40%40%40a%20&errors=true&begin=1970-01-01T00%3A00%3A01&limit=7"
        );
    }

    #[test]
    fn what_is_no_question_is_told_at_its_field() {
        let none = Asked::default;
        for (asked, field) in [
            (Asked { action: "connect".to_owned(), ..none() }, "action"),
            (Asked { errors: "yes".to_owned(), ..none() }, "errors"),
            (Asked { begin: "yesterday".to_owned(), ..none() }, "begin"),
            (Asked { end: "12:00".to_owned(), ..none() }, "end"),
            (Asked { reverse: "1".to_owned(), ..none() }, "reverse"),
            (Asked { limit: "many".to_owned(), ..none() }, "limit"),
        ] {
            let wrong = asked.question(Of::Messages).err().unwrap_or_default();
            assert_ne!(wrong.about(field), "", "{field}");
        }
    }

    #[test]
    fn an_event_reads_well() {
        let found = Found {
            at: 1,
            time: Timestamp::from_millis(1_767_268_800_007),
            action: Action::PubMqtt,
            is_error: false,
            qos: Some(Qos::AtLeastOnce),
            code: Some(0x87),
            count: 1204,
            number: 0xa1,
            client: "GID_TEST@@@a".to_owned(),
            topic: "news/x".to_owned(),
            reason: "quota".to_owned(),
            note: String::new(),
        };
        let row = EventRow::new(found, "mqtt/test", &|client| Some(format!("/{client}")));
        let pieces: Vec<_> =
            row.pieces.iter().map(|piece| format!("{}[{}]", piece.text, piece.title)).collect();
        assert_eq!(pieces, ["1,204 receivers[]", "code 135[0x87]", "quota[]"]);
        assert_eq!(row.at.text, "2026-01-01 12:00:00.007");
        let (id, path) = row.message.unwrap_or_default();
        assert_eq!(id, "00000000000000a1");
        assert_eq!(path, "/instances/mqtt%2Ftest/traces/messages/00000000000000a1");
        assert_eq!((row.channel, row.client.path.as_deref()), (None, Some("/GID_TEST@@@a")));
    }
}
