//! Tokens: what an application server hands to clients that must not know an access key's secret.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use service_kit::http::extract::{Body, NoQuery, Nothing, Queried};
use service_kit::problem::Problem;
use utoipa::{IntoParams, ToSchema};
use wire::Timestamp;

use super::App;
use super::operations::Actor;
use super::operations::credentials::{TokenWish, no_token};
use super::page::{LIMITS, no_access_key};
use crate::rules::{Actions, GrantFilter};
use crate::sync::read_locked;
use crate::tokens::{Token, TokenStatus};

/// A token to issue.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Under which access key its clients sign in; its groups are those of the token.
    access_key: String,
    /// `R` subscribe, `W` publish, `RW` both.
    actions: Actions,
    /// 1 to 100 topic filters (`--token-topics-max`) below parent topics that exist, or `$SYS/status/<GroupID>` to read. They take the place of
    /// what the access key is granted.
    #[schema(value_type = Vec<String>, example = json!(["readings/roof", "news/#"]))]
    topics: Vec<GrantFilter>,
    /// In milliseconds since 1970: at least 60 seconds from now; more than 30 days (`--token-days-max`) is cut to 30 days.
    expire_time: i64,
}

/// A token, once.
#[derive(Serialize, ToSchema)]
pub struct TokenIssued {
    /// For the client: a part of its password, and what it uploads.
    token: String,
    /// The part of it before the dot, by which it is shown and revoked.
    token_id: String,
    /// From here on it is worth nothing.
    expire_time: i64,
}

/// A token, without its secret.
#[derive(Serialize, ToSchema)]
pub struct TokenView {
    token_id: String,
    access_key: String,
    actions: Actions,
    #[schema(value_type = Vec<String>)]
    topics: Vec<GrantFilter>,
    /// When it was issued, in milliseconds since 1970.
    issue_time: i64,
    /// From here on it is worth nothing.
    expire_time: i64,
    status: TokenStatus,
}

fn view(id: &str, token: &Token, now: Timestamp) -> TokenView {
    TokenView {
        token_id: id.to_owned(),
        access_key: token.access_key.clone(),
        actions: token.actions,
        topics: token.topics.clone(),
        issue_time: token.issued.as_millis(),
        expire_time: token.expires.as_millis(),
        status: token.status(now),
    }
}

/// Issues a token. Its text is told this once.
#[utoipa::path(post, path = "/api/v1/instances/{instance}/tokens", request_body = TokenRequest,
    responses((status = 201, body = TokenIssued), (status = 404, description = "no such instance or access key"),
        (status = 400, description = "not JSON; a key that is missing, unknown or of another type; or a query"),
        (status = 409, description = "the access key or the instance has as many tokens as it may have"),
        (status = 422, description = "no topic or more than a token may have, one of a parent topic, a group or a placeholder that does not exist; a time that is less than 60 seconds ahead")))]
pub async fn issue(
    State(app): State<Arc<App>>,
    actor: Actor,
    Path(id): Path<String>,
    _: NoQuery,
    Body(request): Body<TokenRequest>,
) -> Result<(StatusCode, Json<TokenIssued>), Problem> {
    let TokenRequest { access_key, actions, topics, expire_time } = request;
    let wish = TokenWish { access_key, actions, topics, expires: Timestamp::from_millis(expire_time) };
    let (issued, expires) = app.issue_token(&actor, &id, wish).await?;
    let token = issued.text.reveal().to_owned();
    let expire_time = expires.as_millis();
    Ok((StatusCode::CREATED, Json(TokenIssued { token, token_id: issued.id, expire_time })))
}

/// Which tokens to list. The next page is asked for with `after` = the last token ID of this one.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TokensQuery {
    /// Only of this access key.
    access_key: Option<String>,
    /// Only after this token ID, for the next page.
    after: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// Lists tokens in order of their making, without secrets. Those that expired more than a day ago are forgotten.
#[utoipa::path(get, path = "/api/v1/instances/{instance}/tokens", params(TokensQuery),
    responses((status = 200, body = Vec<TokenView>), (status = 404, description = "no such instance or access key"),
        (status = 400, description = "an unknown query key, or a value of another type"),
        (status = 422, description = "a limit outside 1 to 1000")))]
pub async fn list(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Queried(query): Queried<TokensQuery>,
) -> Result<Json<Vec<TokenView>>, Problem> {
    let instance = app.instance(&id)?;
    let limit = LIMITS.check(query.limit)?;
    if let Some(access_key) = &query.access_key
        && !instance.rules().credentials.contains_key(access_key)
    {
        return Err(no_access_key(access_key));
    }
    let now = app.broker.clock.now();
    let tokens = read_locked(&instance.tokens);
    let after = tokens.after(query.after.as_deref().unwrap_or_default());
    let wanted = |token: &Token| query.access_key.as_ref().is_none_or(|key| *key == token.access_key);
    let views = after.filter(|(_, token)| wanted(token)).map(|(id, token)| view(id, token, now));
    Ok(Json(views.take(limit as usize).collect()))
}

/// Shows a token, and whether it is valid.
#[utoipa::path(get, path = "/api/v1/instances/{instance}/tokens/{token_id}",
    responses((status = 200, body = TokenView), (status = 404, description = "no such instance; a token that was never issued, or is forgotten")))]
pub async fn show(
    State(app): State<Arc<App>>,
    Path((id, token_id)): Path<(String, String)>,
    _: Nothing,
) -> Result<Json<TokenView>, Problem> {
    let instance = app.instance(&id)?;
    let tokens = read_locked(&instance.tokens);
    let token = tokens.find(&token_id).ok_or_else(|| no_token(&token_id))?;
    Ok(Json(view(&token_id, token, app.broker.clock.now())))
}

/// Revokes a token and closes the connections that live on it; nothing happens when it is revoked already.
#[utoipa::path(delete, path = "/api/v1/instances/{instance}/tokens/{token_id}",
    responses((status = 204, description = "it is revoked"), (status = 404, description = "no such instance; a token that was never issued, or is forgotten")))]
pub async fn revoke(
    State(app): State<Arc<App>>,
    actor: Actor,
    Path((id, token_id)): Path<(String, String)>,
    _: Nothing,
) -> Result<StatusCode, Problem> {
    app.revoke_token(&actor, &id, &token_id).await?;
    Ok(StatusCode::NO_CONTENT)
}
