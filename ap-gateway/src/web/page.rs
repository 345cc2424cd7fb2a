//! The page for people. Its changing part is also served alone, so that a small script can refresh it.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Html;
use service_kit::problem::Problem;
use wire::Timestamp;

use super::App;
use crate::status::{Status, TagView};

/// Tags on the page; the rest is named.
const TAGS_MAX: usize = 500;
/// Below this a battery is low (`low_battery` of the usual tags).
const BATTERY_LOW_MV: u16 = 2500;
/// A tag not heard for so many of its sleeps is late.
const LATE_SLEEPS: u32 = 3;

#[derive(Template)]
#[template(path = "page.html")]
struct Page {
    live: Live,
}

#[derive(Template)]
#[template(path = "live.html")]
struct Live {
    status: Arc<Status>,
    tags: Vec<TagRow>,
}

/// A tag as a row of the table.
struct TagRow {
    tag: String,
    shown: String,
    shown_face: String,
    queued: String,
    queued_class: &'static str,
    battery: String,
    battery_class: &'static str,
    link_bars: Vec<bool>,
    lqi: String,
    temperature: String,
    seen: String,
    seen_class: &'static str,
}

/// The whole page.
pub async fn page(State(app): State<Arc<App>>) -> Result<Html<String>, Problem> {
    let page = Page { live: look(&app).await? };
    page.render().map(Html).map_err(|error| Problem::internal(&error))
}

/// Its changing part.
pub async fn live(State(app): State<Arc<App>>) -> Result<Html<String>, Problem> {
    let live = look(&app).await?;
    live.render().map(Html).map_err(|error| Problem::internal(&error))
}

async fn look(app: &App) -> Result<Live, Problem> {
    let tags = app.tags(None, TAGS_MAX).await?;
    let now = app.clock.now();
    let status = app.status.borrow().clone();
    let late = Duration::from_millis(u64::from(status.check_in_ms)) * LATE_SLEEPS;
    let tags = tags.into_iter().map(|tag| TagRow::of(tag, late, now)).collect();
    Ok(Live { status, tags })
}

impl Live {
    fn tags_left_out(&self) -> usize {
        self.status.tags.saturating_sub(self.tags.len())
    }

    fn uplink_since(&self) -> String {
        ago(self.status.uplink.since, self.status.clock)
    }

    fn event(&self, name: &str) -> u64 {
        self.status.events.get(name).copied().unwrap_or(0)
    }

    fn face_kib(&self) -> usize {
        self.status.face_bytes.div_ceil(1024)
    }
}

impl TagRow {
    fn of(tag: TagView, late: Duration, now: Timestamp) -> Self {
        let (queued, queued_class) = match &tag.queued {
            None => ("–".to_owned(), "muted"),
            Some(queued) => match queued.state {
                "waits_for_face" => (format!("{} · waits for its face", queued.version), "warn"),
                "fetching" => (format!("{} · fetching", queued.version), "busy"),
                _ => (format!("{} · ready", queued.version), "busy"),
            },
        };
        let queued = match tag.operations {
            0 => queued,
            1 => format!("{queued} · 1 operation"),
            operations => format!("{queued} · {operations} operations"),
        };
        let is_late = tag.seen.is_some_and(|seen| now.since(seen) > late);
        TagRow {
            shown: match (tag.shown_version, tag.seen) {
                (0, None) => "–".to_owned(),
                (0, Some(_)) => "blank".to_owned(),
                (version, _) => version.to_string(),
            },
            shown_face: tag.shown_face.map(|face| face.chars().take(8).collect()).unwrap_or_default(),
            queued,
            queued_class,
            battery: or_dash(tag.battery_mv.map(|mv| format!("{}.{:02} V", mv / 1000, mv % 1000 / 10))),
            battery_class: if tag.battery_mv.is_some_and(|mv| mv < BATTERY_LOW_MV) { "bad" } else { "" },
            link_bars: (0..4_u8).map(|bar| tag.lqi.is_some_and(|lqi| lqi > bar * 64)).collect(),
            lqi: or_dash(tag.lqi.map(|lqi| lqi.to_string())),
            temperature: or_dash(tag.temperature_c.map(|celsius| format!("{celsius} °C"))),
            seen: tag.seen.map_or_else(|| "not since the start".to_owned(), |seen| ago(seen, now)),
            seen_class: match (tag.seen, is_late) {
                (None, _) => "muted",
                (Some(_), true) => "warn",
                (Some(_), false) => "",
            },
            tag: tag.tag,
        }
    }
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".to_owned())
}

/// How long ago, roughly.
fn ago(at: Timestamp, now: Timestamp) -> String {
    let secs = now.since(at).as_secs();
    match secs {
        0..=1 => "just now".to_owned(),
        2..=119 => format!("{secs} s ago"),
        120..=7199 => format!("{} min ago", secs / 60),
        7200..=172_799 => format!("{} h ago", secs / 3600),
        _ => format!("{} days ago", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_roughly() {
        let told = |secs: i64| ago(Timestamp::EPOCH, Timestamp::from_millis(secs * 1000));
        assert_eq!([told(0), told(59), told(121)], ["just now", "59 s ago", "2 min ago"]);
        assert_eq!([told(7300), told(200_000)], ["2 h ago", "2 days ago"]);
    }
}
