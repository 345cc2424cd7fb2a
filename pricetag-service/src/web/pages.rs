//! The pages. Each reads rows and fills in a template; what moves asks for its fragment again when an event comes.

/// Access points.
pub mod access_points;
/// Style and script.
pub mod assets;
/// Who did what.
pub mod audit;
/// Changes, and how far one has come.
pub mod changes;
/// The first page.
pub mod dashboard;
/// Operations of tags.
pub mod operations;
/// Products, and the form that changes a price.
pub mod products;
/// Stores: freeze, and which changes must be approved.
pub mod stores;
/// Tags.
pub mod tags;
/// Tasks and their history.
pub mod tasks;
/// Tills.
pub mod tills;
/// The time axis of a change.
mod timeline;

use std::convert::Infallible;
use std::sync::Arc;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{Html, IntoResponse, Response};
use service_kit::problem::Problem;

use super::App;
use crate::names::Actor;

/// Who looks, and where.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    /// Whether forms will work.
    is_signed_in: bool,
    /// The name given when signing in.
    name: Option<String>,
    path: String,
}

impl Visitor {
    /// For the record: the name typed into a form, or the one given when signing in.
    fn actor(&self, typed: &str) -> Result<Actor, Problem> {
        let typed = Some(typed.trim()).filter(|text| !text.is_empty());
        let Some(name) = typed.or(self.name.as_deref()) else { return Ok(Actor::page()) };
        Actor::visitor(name).map_err(|e| Problem::unprocessable("bad-actor", e.to_string()))
    }

    /// The name given when signing in; empty without one.
    fn known_name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// Whether the page belongs to this part of the menu.
    fn is_at(&self, part: &str) -> bool {
        self.path == part || (part != "/" && self.path.starts_with(part))
    }
}

impl FromRequestParts<Arc<App>> for Visitor {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        Ok(Visitor {
            is_signed_in: app.guard.admits(&parts.headers),
            name: app.guard.person(&parts.headers),
            path: parts.uri.path().to_owned(),
        })
    }
}

/// A template as an answer.
pub(super) struct Page<T>(pub T);

impl<T: Template> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        match self.0.render() {
            Ok(html) => Html(html).into_response(),
            Err(error) => Problem::internal(&error).into_response(),
        }
    }
}
