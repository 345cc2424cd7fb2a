//! What lists and credentials have in common: how many at once, and an access key that is not there.

use service_kit::problem::Problem;

/// Most rows in one answer.
const ROWS_MAX: usize = 1000;
/// Rows in one answer that asks for no number.
const ROWS_DEFAULT: usize = 100;

/// How many rows an answer may have.
pub fn check_limit(limit: Option<usize>) -> Result<usize, Problem> {
    let limit = limit.unwrap_or(ROWS_DEFAULT);
    if (1..=ROWS_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::bad_request("limit-invalid", format!("`limit` is {limit}; 1 to {ROWS_MAX} are allowed")))
}

/// Nobody laid it down.
pub fn no_access_key(access_key: &str) -> Problem {
    let shown = crate::refusals::shortened(access_key);
    Problem::not_found("credential-not-found", format!("there is no access key `{shown}`"))
}
