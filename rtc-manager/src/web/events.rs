//! News as server-sent events.
//!
//! `call`, `device` and `user` say what changed; `missed` says that a slow listener should look at everything again.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use service_kit::http::extract::NoQuery;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::app::App;
use crate::desk::News;

/// What changes from here on.
#[utoipa::path(get, path = "/api/v1/events", responses(
    (status = 200, content_type = "text/event-stream", description = "events `call`, `device`, `user`, `missed`"),
    (status = 400, description = "there is no query")
))]
pub async fn listen(
    _: NoQuery,
    State(app): State<Arc<App>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    Sse::new(stream::unfold(app.desk.listen(), next)).keep_alive(KeepAlive::default())
}

async fn next(mut news: Receiver<News>) -> Option<(Result<Event, Infallible>, Receiver<News>)> {
    let event = match news.recv().await {
        Ok(piece) => {
            let kind = match &piece {
                News::Call { .. } => "call",
                News::Device { .. } => "device",
                News::User { .. } => "user",
            };
            let data = serde_json::to_string(&piece).unwrap_or_default();
            Event::default().event(kind).data(data)
        }
        Err(RecvError::Lagged(count)) => Event::default().event("missed").data(count.to_string()),
        Err(RecvError::Closed) => return None,
    };
    Some((Ok(event), news))
}
