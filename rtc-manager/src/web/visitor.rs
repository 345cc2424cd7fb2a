//! Who looks at a page.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use service_kit::http::Guard;

use crate::app::App;

/// What pages share: besides the rest, who may press a button.
#[derive(Clone, Debug)]
pub struct Pages {
    /// What all handlers share.
    pub app: Arc<App>,
    /// Tells who is signed in.
    pub guard: Guard,
}

impl FromRef<Pages> for Arc<App> {
    fn from_ref(pages: &Pages) -> Self {
        pages.app.clone()
    }
}

/// Who looks, and where.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Whether buttons will work.
    pub is_signed_in: bool,
    /// The page, for the way back from signing in.
    pub path: String,
}

impl FromRequestParts<Pages> for Visitor {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, pages: &Pages) -> Result<Self, Infallible> {
        let is_signed_in = pages.guard.admits(&parts.headers);
        Ok(Visitor { is_signed_in, path: parts.uri.path().to_owned() })
    }
}
