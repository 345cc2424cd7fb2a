//! The style sheet and the script of the pages.

use axum::http::header;
use axum::response::IntoResponse;

/// `GET /static/app.css`
pub async fn css() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("../../static/app.css"))
}

/// `GET /static/app.js`
pub async fn js() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("../../static/app.js"))
}
