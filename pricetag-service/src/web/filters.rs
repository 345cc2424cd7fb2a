//! What a query may ask for: known states and things that exist. Anything else is a Problem that says what is allowed.

use std::fmt::Display;
use std::str::FromStr;

use service_kit::problem::Problem;
use sqlx::{AnyConnection, query};
use wire::DeviceId;
use wire::tag::TagId;
use wire::till::{ProductId, StoreId};

use crate::names::{ChangeId, TaskId};
use crate::store::StoreError;

/// States of a change, as in the database and the API, and `unapproved` for all that a second person has to approve.
pub(super) const CHANGE_STATES: [&str; 8] =
    ["unapproved", "scheduled", "held", "running", "blocked", "completed", "superseded", "cancelled"];
/// States of a task, `open` for all that are no end, and `overdue` for those that are late.
pub(super) const TASK_STATES: [&str; 11] = [
    "open",
    "overdue",
    "scheduled",
    "held",
    "pending",
    "sent",
    "accepted",
    "displayed",
    "superseded",
    "cancelled",
    "failed",
];

/// A form sends fields that were left empty.
pub(super) fn given(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// One of the states there are.
pub(super) fn state(asked: Option<String>, allowed: &[&str]) -> Result<Option<String>, Problem> {
    match given(asked) {
        Some(state) if !allowed.contains(&state.as_str()) => {
            let detail = format!("state is `{}`, allowed are {}", shortened(&state), allowed.join(", "));
            Err(Problem::unprocessable("bad-state", detail))
        }
        other => Ok(other),
    }
}

/// `next` of the page before.
pub(super) fn cursor<T: FromStr>(name: &str, asked: Option<String>) -> Result<Option<String>, Problem>
where
    T::Err: Display,
{
    match given(asked) {
        Some(text) => text.parse::<T>().map(|_| Some(text)).map_err(|e| {
            Problem::unprocessable("bad-cursor", format!("{name} must be `next` of the page before: {e}"))
        }),
        None => Ok(None),
    }
}

/// `store/product`, as `next` of a page of products.
pub(super) fn product_cursor(asked: Option<String>) -> Result<Option<String>, Problem> {
    let Some(text) = given(asked) else { return Ok(None) };
    let is_one = text.split_once('/').is_some_and(|(store, product)| {
        store.parse::<StoreId>().is_ok() && product.parse::<ProductId>().is_ok()
    });
    if is_one {
        return Ok(Some(text));
    }
    let detail = "after must be `next` of the page before: `store/product`";
    Err(Problem::unprocessable("bad-cursor", detail))
}

/// What a list is narrowed down to, and has to exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Narrowed {
    Store,
    AccessPoint,
    Tag,
    Product,
    Change,
}

impl Narrowed {
    fn name(self) -> &'static str {
        match self {
            Narrowed::Store => "store",
            Narrowed::AccessPoint => "access point",
            Narrowed::Tag => "tag",
            Narrowed::Product => "product",
            Narrowed::Change => "change",
        }
    }

    fn check(self, text: &str) -> Result<(), String> {
        fn is<T: FromStr<Err: Display>>(text: &str) -> Result<(), String> {
            text.parse::<T>().map(|_| ()).map_err(|e| e.to_string())
        }
        match self {
            Narrowed::Store => is::<StoreId>(text),
            Narrowed::AccessPoint => is::<DeviceId>(text),
            Narrowed::Tag => is::<TagId>(text),
            Narrowed::Product => is::<ProductId>(text),
            Narrowed::Change => is::<ChangeId>(text),
        }
    }

    fn rows(self) -> &'static str {
        match self {
            Narrowed::Store => "select 1 as found from stores where store = $1",
            Narrowed::AccessPoint => "select 1 as found from access_points where device = $1",
            Narrowed::Tag => "select 1 as found from tags where tag = $1",
            Narrowed::Product => "select 1 as found from products where product = $1 limit 1",
            Narrowed::Change => "select 1 as found from changes where change = $1",
        }
    }
}

/// The name, if one was given and there is such a thing.
pub(super) async fn known(
    db: &mut AnyConnection,
    what: Narrowed,
    asked: Option<String>,
) -> Result<Option<String>, Problem> {
    let Some(text) = given(asked) else { return Ok(None) };
    let name = what.name();
    let kind = name.replace(' ', "-");
    // Addresses are stored in small letters.
    let text = if what == Narrowed::Tag { text.to_ascii_lowercase() } else { text };
    what.check(&text).map_err(|e| Problem::unprocessable(&format!("bad-{kind}"), e))?;
    let found = query(what.rows()).bind(text.as_str()).fetch_optional(db).await.map_err(StoreError::Sql)?;
    if found.is_some() {
        return Ok(Some(text));
    }
    Err(Problem::not_found(&format!("{kind}-not-found"), format!("there is no {name} `{text}`")))
}

/// The cursor of lists of tasks.
pub(super) fn task_cursor(asked: Option<String>) -> Result<Option<String>, Problem> {
    cursor::<TaskId>("before", asked)
}

/// What somebody typed, at most as much as helps.
fn shortened(text: &str) -> String {
    text.chars().take(32).collect()
}
