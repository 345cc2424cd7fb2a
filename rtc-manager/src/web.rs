//! Handlers, one file per noun.

/// The style sheet and the script of the pages.
pub mod assets;
/// Calls and call detail records.
pub mod calls;
/// Phones, and their registration.
pub mod devices;
/// How a timeline is drawn.
pub mod diagram;
/// News as server-sent events.
pub mod events;
/// Queries and bodies, parsed.
pub mod extract;
/// The description of the API.
pub mod openapi;
/// HTML pages.
pub mod pages;
/// How times and states are put for people.
mod shown;
/// Users.
pub mod users;
/// Who looks at a page.
pub mod visitor;

/// Most rows of one answer.
pub const ROWS_MAX: u32 = 1000;
/// Rows of one answer when the request does not say.
pub const ROWS: u32 = 100;
