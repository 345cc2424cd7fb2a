//! What lists and credentials have in common: how many at once, and an access key that is not there.

use service_kit::http::extract::Limits;
use service_kit::problem::Problem;

/// Rows in one answer.
pub const LIMITS: Limits = Limits { default: 100, max: 1000 };

/// Nobody laid it down.
pub fn no_access_key(access_key: &str) -> Problem {
    let shown = crate::refusals::shortened(access_key);
    Problem::not_found("credential-not-found", format!("there is no access key `{shown}`"))
}
