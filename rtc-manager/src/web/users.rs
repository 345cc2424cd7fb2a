//! Users.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use service_kit::http::extract::{NoBody, NoQuery, Queried};
use service_kit::problem::Problem;
use service_kit::random::secret_text;
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};

use super::ROWS_MAX;
use crate::app::{App, parse_user, stopping, unreadable};
use crate::desk::{IfKnown, UserPut};
use crate::store::people::UserRow;
use crate::switchboard::directory::USER_CHARS_MAX;

/// What to do with a known user.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PutQuery {
    /// Give a known user a new secret; the old one is void.
    #[serde(default)]
    rotate: bool,
}

/// A user, and its secret when it was just made.
#[derive(Serialize, ToSchema)]
pub struct UserAnswer {
    /// Who.
    user: String,
    /// With this its phones register. Shown once; only its hash is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// What is kept of a secret: it has 128 random bits, so a plain hash will do.
pub fn secret_hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

/// Adds a user; a known one is left as it is, unless its secret is to rotate.
#[utoipa::path(put, path = "/api/v1/users/{user}", params(("user" = String, Path), PutQuery), responses(
    (status = 201, body = UserAnswer, description = "added, with its secret"),
    (status = 200, body = UserAnswer, description = "known; with its secret if it was rotated"),
    (status = 400, description = "no name of a user, a query that is not known, or a body"),
    (status = 401, description = "no token"), (status = 409, description = "too many users"),
    (status = 413, description = "a large body"),
    (status = 422, description = "the name leaves no room for the numbers of phones"),
    (status = 503, description = "the program is stopping")
), security(("token" = [])))]
pub async fn put(
    State(app): State<Arc<App>>,
    Path(user): Path<String>,
    Queried(query): Queried<PutQuery>,
    _: NoBody,
) -> Result<(StatusCode, Json<UserAnswer>), Problem> {
    let user = parse_user(&user)?;
    if user.as_str().len() > USER_CHARS_MAX {
        let detail = format!("a user who has phones has at most {USER_CHARS_MAX} characters");
        return Err(Problem::unprocessable("user-name-too-long", detail));
    }
    let secret = secret_text();
    let if_known = if query.rotate { IfKnown::Rotate } else { IfKnown::Keep };
    let outcome = app.desk.put_user(user.clone(), secret_hash(&secret), if_known).await.map_err(stopping)?;
    let (status, secret) = match outcome {
        UserPut::Added => (StatusCode::CREATED, Some(secret)),
        UserPut::Rotated => (StatusCode::OK, Some(secret)),
        UserPut::Kept => (StatusCode::OK, None),
        UserPut::TooMany => return Err(Problem::conflict("too-many-users", "raise --users-max")),
    };
    Ok((status, Json(UserAnswer { user: user.to_string(), secret })))
}

/// Users by name.
#[utoipa::path(get, path = "/api/v1/users", responses(
    (status = 200, body = Vec<UserRow>), (status = 400, description = "there is no query")
))]
pub async fn list(_: NoQuery, State(app): State<Arc<App>>) -> Result<Json<Vec<UserRow>>, Problem> {
    app.store.list_users(ROWS_MAX).await.map(Json).map_err(|e| unreadable(&e))
}
