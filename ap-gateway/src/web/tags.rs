//! How the tags are.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use service_kit::problem::Problem;
use utoipa::{IntoParams, ToSchema};

use super::App;
use crate::status::TagView;

/// Tags in an answer that asks for no other number.
const LIMIT_DEFAULT: usize = 500;
/// Most tags in an answer.
const LIMIT_MAX: usize = 1000;

/// Which tags.
#[derive(Debug, Deserialize, IntoParams)]
pub struct TagsQuery {
    /// Only tags after this one, which is `next` of the answer before
    after: Option<String>,
    /// At most so many; 1 to 1000, 500 when not given
    limit: Option<usize>,
}

/// Tags of the roster, in the order of their addresses.
#[derive(Debug, Serialize, ToSchema)]
pub struct Tags {
    /// The tags.
    pub tags: Vec<TagView>,
    /// Where to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The tags of the roster: what each shows, what lies ready for it, how it is.
#[utoipa::path(get, path = "/api/v1/tags", params(TagsQuery), responses((status = OK, body = Tags)))]
pub async fn list_tags(
    State(app): State<Arc<App>>,
    Query(query): Query<TagsQuery>,
) -> Result<Json<Tags>, Problem> {
    let after = match query.after.as_deref() {
        None => None,
        Some(text) => Some(text.parse().map_err(|e| Problem::bad_request("bad-tag", format!("{e}")))?),
    };
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        let detail = format!("limit is {limit}, 1 to {LIMIT_MAX} are allowed");
        return Err(Problem::unprocessable("bad-limit", detail));
    }
    let mut tags = app.tags(after, limit + 1).await?;
    let has_more = tags.len() > limit;
    tags.truncate(limit);
    let next = tags.last().filter(|_| has_more).map(|last| last.tag.clone());
    Ok(Json(Tags { tags, next }))
}
