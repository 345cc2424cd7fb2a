//! Parent topics, and sending a test message.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use service_kit::http::extract::{Params, Queried};
use service_kit::problem::Problem;

use super::Visitor;
use super::forms::{Change, Complaint, Sent};
use super::frame::{Frame, Section, page_telling};
use super::trace_rows::way_path;
use crate::sending::Order;
use crate::web::App;
use crate::web::operations::messages::qos_of;

/// Names on one page.
pub const ROWS: usize = 100;

/// Which page of names.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paged {
    /// The last one of the page before.
    pub after: Option<String>,
    /// What a form begins with.
    pub to: Option<String>,
}

/// A page of names, and where the next begins.
pub fn page_of<'a>(
    names: impl Iterator<Item = &'a str>,
    after: Option<&str>,
    rows: usize,
) -> (Vec<String>, Option<String>) {
    let left = names.filter(|name| after.is_none_or(|after| *name > after));
    let mut shown: Vec<String> = left.take(rows + 1).map(str::to_owned).collect();
    let has_more = shown.len() > rows;
    shown.truncate(rows);
    let next = shown.last().filter(|_| has_more).cloned();
    (shown, next)
}

#[derive(Template)]
#[template(path = "topics.html")]
struct TopicsPage<'a> {
    frame: Frame,
    topics: Vec<String>,
    next: Option<String>,
    complaint: &'a Complaint,
    to: String,
}

fn answer(
    app: &App,
    visitor: Visitor,
    (instance, paged): (&str, Paged),
    complaint: &Complaint,
) -> Result<Response, Problem> {
    let rules = app.instance(instance)?.rules();
    let names = rules.topics.iter().map(crate::rules::ParentTopic::as_str);
    let (topics, next) = page_of(names, paged.after.as_deref(), ROWS);
    let frame = Frame::new(app, visitor, Section::Topics, Some(instance));
    let typed = complaint.typed("message_topic");
    let to = if typed.is_empty() { paged.to.unwrap_or_default() } else { typed.to_owned() };
    Ok(page_telling(&TopicsPage { frame, topics, next, complaint, to }, complaint))
}

/// `GET /instances/{instance}/topics`
pub async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Params(instance): Params<String>,
    Queried(paged): Queried<Paged>,
) -> Result<Response, Problem> {
    answer(&app, visitor, (&instance, paged), &Complaint::default())
}

fn back(app: &App, visitor: &Visitor, instance: &str, notice: &str) -> Response {
    visitor.notice(app, notice);
    Redirect::to(&Section::Topics.path(Some(instance))).into_response()
}

/// `POST /instances/{instance}/topics`
pub async fn create(
    State(app): State<Arc<App>>,
    Params(instance): Params<String>,
    Change(sent): Change,
) -> Result<Response, Problem> {
    let topic = sent.fields.text("topic").to_owned();
    match app.create_topic(&sent.visitor.actor(), &instance, &topic).await {
        Ok(()) => Ok(back(&app, &sent.visitor, &instance, &format!("Parent topic {topic} exists."))),
        Err(problem) => {
            let field = |kind: &str| matches!(kind, "topic-invalid" | "topic-quota").then_some("topic");
            let complaint = Complaint::from(problem, sent.fields, field)?;
            answer(&app, sent.visitor, (&instance, Paged::default()), &complaint)
        }
    }
}

/// `POST /instances/{instance}/topics/{topic}/delete`
pub async fn delete(
    State(app): State<Arc<App>>,
    Params((instance, topic)): Params<(String, String)>,
    Change(sent): Change,
) -> Result<Response, Problem> {
    app.delete_topic(&sent.visitor.actor(), &instance, &topic).await?;
    Ok(back(&app, &sent.visitor, &instance, &format!("Parent topic {topic} is deleted.")))
}

async fn sent_message(app: &App, sent: &Sent, instance: &str) -> Result<String, Problem> {
    let fields = &sent.fields;
    let order = Order {
        topic: fields.text("message_topic").to_owned(),
        payload: fields.raw("payload").as_bytes().to_vec(),
        // What is no number is no QoS.
        qos: qos_of(fields.text("qos").parse().unwrap_or(u8::MAX))?,
        retain: fields.is_ticked("retain"),
        clean_session: !fields.is_ticked("keep"),
    };
    app.send_message(&sent.visitor.actor(), instance, order).await
}

/// `POST /instances/{instance}/messages`
pub async fn send(
    State(app): State<Arc<App>>,
    Params(instance): Params<String>,
    Change(sent): Change,
) -> Result<Response, Problem> {
    let topic = sent.fields.text("message_topic").to_owned();
    match sent_message(&app, &sent, &instance).await {
        Ok(id) => {
            let notice = format!("The message to {topic} was sent. Its ID is {id}.");
            sent.visitor.notice_with(&app, &notice, (way_path(&instance, &id), "See its way"));
            Ok(Redirect::to(&Section::Topics.path(Some(&instance))).into_response())
        }
        Err(problem) => {
            let field = |kind: &str| match kind {
                "topic-refused" => Some("message_topic"),
                "payload-too-large" => Some("payload"),
                "qos-invalid" => Some("qos"),
                _ => None,
            };
            let complaint = Complaint::from(problem, sent.fields, field)?;
            answer(&app, sent.visitor, (&instance, Paged::default()), &complaint)
        }
    }
}
