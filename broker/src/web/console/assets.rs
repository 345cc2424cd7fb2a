//! Style and script, from the program itself.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// `GET /assets/console.css`
pub async fn css(headers: HeaderMap) -> Response {
    asset("text/css; charset=utf-8", include_str!("../../../assets/console.css"), &headers)
}

/// `GET /assets/console.js`
pub async fn js(headers: HeaderMap) -> Response {
    asset("text/javascript; charset=utf-8", include_str!("../../../assets/console.js"), &headers)
}

/// Browsers keep it and ask whether it is still the same, so that a new version shows at once.
fn asset(content_type: &'static str, text: &'static str, headers: &HeaderMap) -> Response {
    let etag = format!("\"{:08x}\"", crc32fast::hash(text.as_bytes()));
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let headers = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::ETAG, etag),
    ];
    (headers, text).into_response()
}
