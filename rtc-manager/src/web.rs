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

use service_kit::http::extract::Limits;

/// Most rows of one answer.
pub const ROWS_MAX: u32 = 1000;
/// Rows of one answer to a request that may say how many.
pub const LIMITS: Limits = Limits { default: 100, max: ROWS_MAX };
