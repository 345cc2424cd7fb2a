//! Style and script, from the program itself.

use axum::http::header;
use axum::response::IntoResponse;

const KEEP: &str = "public, max-age=300";

pub(in crate::web) async fn css() -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, KEEP)];
    (headers, include_str!("../../../assets/app.css"))
}

pub(in crate::web) async fn js() -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8"), (header::CACHE_CONTROL, KEEP)];
    (headers, include_str!("../../../assets/app.js"))
}
