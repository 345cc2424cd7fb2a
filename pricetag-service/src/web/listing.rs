//! Lists in pages: a limit, and where the next page begins.

use serde::Serialize;
use service_kit::problem::Problem;
use utoipa::ToSchema;

/// Most items on a page.
pub(super) const LIMIT_MAX: u32 = 500;
/// Items on a page when nobody says otherwise.
pub(super) const LIMIT_DEFAULT: u32 = 100;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Listing<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// The parameter that asks for the next page; nothing when this is the last.
    pub next: Option<String>,
}

impl<T> Listing<T> {
    /// Everything on one page.
    pub(super) fn whole(items: Vec<T>) -> Self {
        Listing { items, next: None }
    }

    /// A page of at most `limit`, made of one more than that.
    pub(super) fn page(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| has_more).map(cursor);
        Listing { items, next }
    }
}

/// The limit somebody asked for.
pub(super) fn limit(asked: Option<u32>) -> Result<u32, Problem> {
    match asked {
        None => Ok(LIMIT_DEFAULT),
        Some(limit @ 1..=LIMIT_MAX) => Ok(limit),
        Some(limit) => {
            let detail = format!("limit is {limit}, 1 to {LIMIT_MAX} are allowed");
            Err(Problem::unprocessable("bad-limit", detail))
        }
    }
}
