//! Lists in pages: a limit, and where the next page begins.

use serde::Serialize;
use service_kit::http::extract::Limits;
use utoipa::ToSchema;

/// Items on a page.
pub(super) const LIMITS: Limits = Limits { default: 100, max: 500 };

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
