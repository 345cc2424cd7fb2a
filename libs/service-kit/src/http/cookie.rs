//! Cookies of signed-in browsers: named after the program and its port, because browsers share cookies between ports.

use axum::http::{HeaderMap, header};

use super::text;

/// `<program>_<port>`, by the host the browser asked.
pub fn cookie_name(program: &str, headers: &HeaderMap) -> String {
    let host = text(headers, header::HOST);
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    let port = if port.bytes().all(|octet| octet.is_ascii_digit()) { port } else { "" };
    format!("{program}_{port}")
}

/// The value of a cookie.
pub fn find_cookie<'h>(headers: &'h HeaderMap, wanted: &str) -> Option<&'h str> {
    let pairs = text(headers, header::COOKIE).split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find_map(|(name, value)| (name == wanted).then_some(value))
}

/// What `Set-Cookie` says: for this server only, not for scripts, not from other sites. Without `seconds` it goes when
/// the browser is closed.
pub fn set_cookie(name: &str, value: &str, seconds: Option<u64>) -> String {
    let age = seconds.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{age}")
}
