//! Instances with their endpoints, and where the broker listens.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use service_kit::http::extract::{Params, Queried};
use service_kit::problem::Problem;

use super::Visitor;
use super::endpoints::{self, NamesForm, UrlsRow};
use super::forms::{Change, Complaint};
use super::frame::{Frame, Section, page_telling, segment};
use crate::sync::read_locked;
use crate::web::{App, Endpoint};

/// An instance and how much there is of everything.
pub struct InstanceRow {
    pub id: String,
    pub connections: usize,
    pub clients: usize,
    pub subscriptions: usize,
    pub retained: usize,
    pub groups: usize,
    pub topics: usize,
    pub credentials: usize,
    pub endpoints: [UrlsRow; 2],
}

impl InstanceRow {
    /// For templates: whether it can be deleted, as far as this row tells.
    pub fn is_empty(&self) -> bool {
        self.groups + self.topics + self.credentials + self.clients + self.retained == 0
    }

    /// For templates.
    pub fn path(&self, rest: &str) -> String {
        format!("/instances/{}/{rest}", segment(&self.id))
    }
}

/// All of them.
pub fn rows(app: &App) -> Vec<InstanceRow> {
    let row = |instance: Arc<crate::instance::Instance>| {
        let rules = instance.rules();
        InstanceRow {
            id: instance.id.clone(),
            connections: instance.connections.load(Ordering::Relaxed),
            clients: instance.clients.count(),
            subscriptions: read_locked(&instance.subscriptions).count(),
            retained: read_locked(&instance.retained).count(),
            groups: rules.groups.len(),
            topics: rules.topics.len(),
            credentials: rules.credentials.len(),
            endpoints: endpoints::rows(app, &instance.id, &rules.hosts),
        }
    };
    app.broker.instances().into_iter().map(row).collect()
}

#[derive(Template)]
#[template(path = "instances.html")]
struct InstancesPage<'a> {
    frame: Frame,
    instances: Vec<InstanceRow>,
    listeners: &'a [Endpoint],
    names: Option<NamesForm>,
    complaint: &'a Complaint,
}

/// Which instance gets names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    names: Option<String>,
}

/// The page, with the form that names an instance if one is told.
pub fn answer(
    app: &App,
    visitor: Visitor,
    named: Option<&str>,
    complaint: &Complaint,
) -> Result<Response, Problem> {
    let names = named.map(|instance| NamesForm::of(app, instance, complaint)).transpose()?;
    let frame = Frame::new(app, visitor, Section::Instances, None);
    let page = InstancesPage { frame, instances: rows(app), listeners: &app.endpoints, names, complaint };
    Ok(page_telling(&page, complaint))
}

/// `GET /instances`
pub async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Queried(asked): Queried<Asked>,
) -> Result<Response, Problem> {
    answer(&app, visitor, asked.names.as_deref(), &Complaint::default())
}

/// `POST /instances/{instance}/delete`
pub async fn delete(
    State(app): State<Arc<App>>,
    Params(instance): Params<String>,
    Change(sent): Change,
) -> Result<Response, Problem> {
    app.delete_instance(&sent.visitor.actor(), &instance).await?;
    sent.visitor.notice(&app, &format!("Instance {instance} is deleted."));
    Ok(Redirect::to("/instances").into_response())
}

/// `POST /instances`
pub async fn create(State(app): State<Arc<App>>, Change(sent): Change) -> Result<Response, Problem> {
    let id = sent.fields.text("instance").to_owned();
    match app.create_instance(&sent.visitor.actor(), &id).await {
        Ok(()) => {
            sent.visitor.notice(&app, &format!("Instance {id} exists."));
            Ok(Redirect::to("/instances").into_response())
        }
        Err(problem) => {
            let field =
                |kind: &str| matches!(kind, "instance-invalid" | "instance-quota").then_some("instance");
            let complaint = Complaint::from(problem, sent.fields, field)?;
            answer(&app, sent.visitor, None, &complaint)
        }
    }
}
