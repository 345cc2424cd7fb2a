//! Style and script of the page, part of the program.

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

/// How it looks.
pub async fn css() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("../../templates/access-point.css"))
}

/// How it stays fresh.
pub async fn js() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("../../templates/access-point.js"))
}
