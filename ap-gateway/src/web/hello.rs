//! Telling the service what every tag shows, when a person thinks it should know.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Redirect;
use service_kit::problem::Problem;

use super::App;
use crate::shell::Question;

/// Says hello to the service: it compares what the tags show with what they should, and sends what is missing.
#[utoipa::path(post, path = "/api/v1/hello", responses((status = ACCEPTED, description = "It is said as soon as there is an uplink")))]
pub async fn say_hello(State(app): State<Arc<App>>) -> Result<StatusCode, Problem> {
    app.ask(Question::SayHello).await?;
    Ok(StatusCode::ACCEPTED)
}

/// The same from the page.
pub async fn say_hello_by_form(State(app): State<Arc<App>>) -> Result<Redirect, Problem> {
    app.ask(Question::SayHello).await?;
    Ok(Redirect::to("/"))
}
