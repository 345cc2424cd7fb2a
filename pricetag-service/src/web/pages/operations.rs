//! Operations: buttons on a tag's page, what became of them, and the history of one.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::Redirect;
use serde::Deserialize;
use service_kit::http::extract::{Params, Queried};
use service_kit::problem::Problem;
use sqlx::AnyConnection;
use wire::operation::Colour;
use wire::tag::TagId;

use super::{Page, Visitor};
use crate::engine::desk::CommandError;
use crate::shop::words::{Command, Refusal};
use crate::store::operations::{self, OperationFilter, OperationView};
use crate::store::tasks::TransitionView;
use crate::web::Shared;
use crate::web::operations::{
    KINDS, Kind, NewOperation, OperationQuery, STATES, operation_id, operation_view,
};
use crate::web::tags::read_tag;
use crate::web::texts::time;

/// Operations on a tag's page.
const OF_TAG_MAX: u32 = 8;

#[derive(Template)]
#[template(path = "operations.html")]
pub(in crate::web) struct OperationList {
    visitor: Visitor,
    state: String,
    tag: String,
    kind: String,
    states: [&'static str; 8],
    kinds: [&'static str; 3],
    operations: Vec<OperationView>,
    next: Option<String>,
}

pub(in crate::web) async fn list(
    State(app): Shared,
    visitor: Visitor,
    Queried(query): Queried<OperationQuery>,
) -> Result<Page<OperationList>, Problem> {
    let mut db = app.database.snapshot().await?;
    let (filter, limit) = query.split(&mut db).await?;
    let operations = operations::list(&mut db, &filter, limit).await?;
    let is_full = operations.len() == usize::try_from(limit).unwrap_or(usize::MAX);
    let next = operations.last().filter(|_| is_full).map(|last| last.operation.clone());
    let OperationFilter { state, tag, kind, .. } = filter;
    Ok(Page(OperationList {
        visitor,
        state: state.unwrap_or_default(),
        tag: tag.unwrap_or_default(),
        kind: kind.unwrap_or_default(),
        states: STATES,
        kinds: KINDS,
        operations,
        next,
    }))
}

#[derive(Template)]
#[template(path = "operation.html")]
pub(in crate::web) struct OperationPage {
    visitor: Visitor,
    operation: OperationView,
    transitions: Vec<TransitionView>,
}

pub(in crate::web) async fn page(
    State(app): Shared,
    visitor: Visitor,
    Params(operation): Params<String>,
) -> Result<Page<OperationPage>, Problem> {
    let id = operation_id(&operation)?;
    let operation = operation_view(&app, &id).await?;
    let mut db = app.database.reader().await?;
    let transitions = operations::transitions(&mut db, &id).await?;
    Ok(Page(OperationPage { visitor, operation, transitions }))
}

/// What a tag was asked to do lately.
#[derive(Template)]
#[template(path = "fragments/operations_of_tag.html")]
pub(in crate::web) struct OperationsOfTag {
    operations: Vec<OperationView>,
}

pub(in crate::web) async fn of_tag(
    db: &mut AnyConnection,
    tag: TagId,
) -> Result<Vec<OperationView>, Problem> {
    let filter = OperationFilter { tag: Some(tag.to_string()), ..OperationFilter::default() };
    Ok(operations::list(db, &filter, OF_TAG_MAX).await?)
}

pub(in crate::web) async fn table(
    State(app): Shared,
    Params(tag): Params<TagId>,
) -> Result<Page<OperationsOfTag>, Problem> {
    let mut db = app.database.snapshot().await?;
    read_tag(&mut db, tag).await?;
    Ok(Page(OperationsOfTag { operations: of_tag(&mut db, tag).await? }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct OperateForm {
    kind: Kind,
    colour: Option<Colour>,
}

/// One of the buttons was pressed.
pub(in crate::web) async fn operate(
    State(app): Shared,
    visitor: Visitor,
    Params(tag): Params<TagId>,
    form: Result<Form<OperateForm>, axum::extract::rejection::FormRejection>,
) -> Result<Redirect, Problem> {
    let Form(OperateForm { kind, colour }) =
        form.map_err(|e| Problem::bad_request("bad-form", e.body_text()))?;
    let wish = NewOperation::plain(kind, colour).wish()?;
    app.desk.command(visitor.actor("")?, Command::Operate(tag, wish)).await?;
    Ok(Redirect::to(&format!("/tags/{tag}")))
}

/// Calls an operation off.
pub(in crate::web) async fn cancel(
    State(app): Shared,
    visitor: Visitor,
    Params(operation): Params<String>,
) -> Result<Redirect, Problem> {
    let operation = operation_id(&operation)?;
    operation_view(&app, &operation).await?;
    let command = Command::CancelOperation(operation.clone());
    match app.desk.command(visitor.actor("")?, command).await {
        // It ended while somebody read the page, which then shows that.
        Ok(_) | Err(CommandError::Refused(Refusal::OperationNotRunning(_))) => {}
        Err(other) => return Err(other.into()),
    }
    Ok(Redirect::to(&format!("/operations/{operation}")))
}

impl OperationView {
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state.as_str(), "pending" | "sent" | "accepted")
    }

    /// What it is, for people.
    pub(super) fn what(&self) -> String {
        match (self.kind.as_str(), &self.colour, &self.flash, &self.page) {
            ("light_up", Some(colour), Some(flash), _) => format!("Light up {colour}, {flash}"),
            ("identify", ..) => "Identify".to_owned(),
            ("page_flip", _, _, Some(page)) => format!("Show the {page} page"),
            (other, ..) => other.to_owned(),
        }
    }

    pub(super) fn why(&self) -> String {
        self.reason.replace('_', " ")
    }

    pub(super) fn created(&self) -> String {
        time(self.created_at)
    }

    pub(super) fn since_text(&self) -> String {
        time(self.since)
    }

    pub(super) fn until(&self) -> String {
        time(self.until_at)
    }
}
