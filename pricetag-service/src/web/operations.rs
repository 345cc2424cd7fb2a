//! Operations: making them, reading them, calling them off.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use service_kit::http::extract::{Body, NoBody, Params, Queried};
use service_kit::problem::Problem;
use sqlx::AnyConnection;
use utoipa::{IntoParams, ToSchema};
use wire::operation::{Action, Colour, Flash, Page, SECONDS_MAX, Seconds};
use wire::tag::TagId;

use super::extract::By;
use super::filters::{self, Narrowed, known};
use super::listing::{LIMITS, Listing};
use super::{App, Shared};
use crate::names::OperationId;
use crate::shop::operations::Wish;
use crate::shop::words::{Command, Reply};
use crate::store::operations::{self, OperationFilter, OperationView};
use crate::store::tasks::TransitionView;

/// For how long when nobody says otherwise, in seconds.
const SECONDS_DEFAULT: u16 = 10;
/// How long an operation is worth beginning, in seconds.
const WITHIN_SECONDS: std::ops::RangeInclusive<u32> = 10..=3600;
/// The same when nobody says otherwise.
const WITHIN_SECONDS_DEFAULT: u32 = 300;

/// States of an operation, and `open` for all that are no end.
pub(super) const STATES: [&str; 8] =
    ["open", "pending", "sent", "accepted", "done", "superseded", "cancelled", "failed"];
/// What a tag can be asked to do.
pub(super) const KINDS: [&str; 3] = ["light_up", "identify", "page_flip"];

/// What kind of operation.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Its LED lights up.
    LightUp,
    /// Its LED flashes white, and its screen shows its address.
    Identify,
    /// Its screen shows a page of its own, without a price.
    PageFlip,
}

/// Something a tag is to do.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOperation {
    /// What.
    kind: Kind,
    /// `red`, `green`, `blue`, `yellow` or `white`; only with `light_up`, `green` when not given.
    #[schema(value_type = Option<String>)]
    colour: Option<Colour>,
    /// `steady`, `slow` or `fast`; only with `light_up`, `slow` when not given.
    #[schema(value_type = Option<String>)]
    flash: Option<Flash>,
    /// `information` or `identity`; only with `page_flip`, `information` when not given.
    #[schema(value_type = Option<String>)]
    page: Option<Page>,
    /// For how long, 1 to 300; 10 when not given.
    seconds: Option<u16>,
    /// How long it is worth beginning, 10 to 3600; 300 when not given. After that it fails: `too_late`.
    within_seconds: Option<u32>,
}

impl NewOperation {
    /// The kind alone, with everything else as usual.
    pub(super) fn plain(kind: Kind, colour: Option<Colour>) -> Self {
        NewOperation { kind, colour, flash: None, page: None, seconds: None, within_seconds: None }
    }

    pub(super) fn wish(&self) -> Result<Wish, Problem> {
        let seconds = Seconds::try_from(self.seconds.unwrap_or(SECONDS_DEFAULT)).map_err(|_| {
            let asked = self.seconds.unwrap_or_default();
            bad(format!("seconds is {asked}, 1 to {SECONDS_MAX} are allowed"))
        })?;
        let within = self.within_seconds.unwrap_or(WITHIN_SECONDS_DEFAULT);
        if !WITHIN_SECONDS.contains(&within) {
            let (min, max) = (WITHIN_SECONDS.start(), WITHIN_SECONDS.end());
            return Err(bad(format!("within_seconds is {within}, {min} to {max} are allowed")));
        }
        let within = Duration::from_secs(u64::from(within));
        Ok(Wish { action: self.action()?, seconds, within })
    }

    fn action(&self) -> Result<Action, Problem> {
        let has_light = self.colour.is_some() || self.flash.is_some();
        match (self.kind, has_light, self.page) {
            (Kind::LightUp, _, None) => Ok(Action::LightUp {
                colour: self.colour.unwrap_or(Colour::Green),
                flash: self.flash.unwrap_or(Flash::Slow),
            }),
            (Kind::Identify, false, None) => Ok(Action::Identify),
            (Kind::PageFlip, false, page) => Ok(Action::PageFlip { page: page.unwrap_or(Page::Information) }),
            (Kind::Identify | Kind::PageFlip, true, _) => {
                Err(bad("colour and flash belong to light_up".to_owned()))
            }
            (Kind::LightUp | Kind::Identify, _, Some(_)) => Err(bad("page belongs to page_flip".to_owned())),
        }
    }
}

fn bad(detail: String) -> Problem {
    Problem::unprocessable("bad-operation", detail)
}

#[utoipa::path(post, path = "/api/v1/tags/{tag}/operations", tag = "operations", params(("tag" = String, Path)),
    request_body = NewOperation, responses((status = 201, body = OperationView)), security(("token" = [])))]
/// Make a tag light up, say who it is, or show a page, for some seconds. A newer operation takes the place of an older
/// one of its kind. It never delays a face, and never shows a price.
pub(super) async fn add_operation(
    State(app): Shared,
    By(actor): By,
    Params(tag): Params<TagId>,
    Body(body): Body<NewOperation>,
) -> Result<impl IntoResponse, Problem> {
    let wish = body.wish()?;
    let operation = match app.desk.command(actor, Command::Operate(tag, wish)).await? {
        Reply::Operation(operation) => operation,
        Reply::Done | Reply::Till { .. } | Reply::Change(_) => {
            return Err(Problem::internal(&std::io::Error::other("a command answered with no operation")));
        }
    };
    let view = operation_view(&app, &operation).await?;
    let location = format!("/api/v1/operations/{operation}");
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(view)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OperationQuery {
    /// A state, or `open` for all that are no end.
    state: Option<String>,
    /// Of this tag only.
    tag: Option<String>,
    /// `light_up`, `identify` or `page_flip`.
    kind: Option<String>,
    /// Older than this one: `next` of the page before.
    before: Option<String>,
    /// Items on a page, at most 500.
    limit: Option<u32>,
}

impl OperationQuery {
    /// What it asks for, when all of it exists.
    pub(super) async fn split(self, db: &mut AnyConnection) -> Result<(OperationFilter, u32), Problem> {
        let limit = LIMITS.check(self.limit)?;
        let filter = OperationFilter {
            state: filters::state(self.state, &STATES)?,
            kind: kind(self.kind)?,
            before: filters::cursor::<OperationId>("before", self.before)?,
            tag: known(db, Narrowed::Tag, self.tag).await?,
        };
        Ok((filter, limit))
    }
}

fn kind(asked: Option<String>) -> Result<Option<String>, Problem> {
    match filters::given(asked) {
        Some(kind) if !KINDS.contains(&kind.as_str()) => {
            let kind: String = kind.chars().take(32).collect();
            let detail = format!("kind is `{kind}`, allowed are {}", KINDS.join(", "));
            Err(Problem::unprocessable("bad-kind", detail))
        }
        other => Ok(other),
    }
}

#[utoipa::path(get, path = "/api/v1/operations", tag = "reading", params(OperationQuery),
    responses((status = 200, body = Listing<OperationView>)))]
/// Operations, newest first.
pub(super) async fn list_operations(
    State(app): Shared,
    Queried(query): Queried<OperationQuery>,
) -> Result<Json<Listing<OperationView>>, Problem> {
    let mut db = app.database.snapshot().await?;
    let (filter, limit) = query.split(&mut db).await?;
    let found = operations::list(&mut db, &filter, limit + 1).await?;
    Ok(Json(Listing::page(found, limit, |item| item.operation.clone())))
}

#[utoipa::path(get, path = "/api/v1/operations/{operation}", tag = "reading",
    params(("operation" = String, Path)), responses((status = 200, body = OperationView)))]
/// One operation.
pub(super) async fn get_operation(
    State(app): Shared,
    Params(operation): Params<String>,
) -> Result<Json<OperationView>, Problem> {
    operation_view(&app, &operation_id(&operation)?).await.map(Json)
}

#[utoipa::path(get, path = "/api/v1/operations/{operation}/transitions", tag = "reading",
    params(("operation" = String, Path)), responses((status = 200, body = Listing<TransitionView>)))]
/// An operation's history: every step with its time, actor and reason.
pub(super) async fn list_operation_transitions(
    State(app): Shared,
    Params(operation): Params<String>,
) -> Result<Json<Listing<TransitionView>>, Problem> {
    let operation = operation_id(&operation)?;
    operation_view(&app, &operation).await?;
    let mut db = app.database.reader().await?;
    Ok(Json(Listing::whole(operations::transitions(&mut db, &operation).await?)))
}

#[utoipa::path(post, path = "/api/v1/operations/{operation}/cancel", tag = "operations",
    params(("operation" = String, Path)), responses((status = 200, body = OperationView)),
    security(("token" = [])))]
/// Call an operation off. A tag that was told already may do it all the same.
pub(super) async fn cancel_operation(
    State(app): Shared,
    By(actor): By,
    Params(operation): Params<String>,
    _: NoBody,
) -> Result<Json<OperationView>, Problem> {
    let operation = operation_id(&operation)?;
    operation_view(&app, &operation).await?;
    app.desk.command(actor, Command::CancelOperation(operation.clone())).await?;
    operation_view(&app, &operation).await.map(Json)
}

pub(super) fn operation_id(text: &str) -> Result<OperationId, Problem> {
    text.parse().map_err(|_| not_found(text))
}

pub(super) async fn operation_view(app: &App, operation: &OperationId) -> Result<OperationView, Problem> {
    let mut db = app.database.reader().await?;
    operations::find(&mut db, operation).await?.ok_or_else(|| not_found(operation.as_str()))
}

fn not_found(operation: &str) -> Problem {
    Problem::not_found("operation-not-found", format!("there is no operation `{operation}`"))
}
