//! Texts for people.

use chrono::DateTime;

use crate::names::Currency;
use crate::store::devices::{AccessPointView, HealthView, Standing, TagView};
use crate::store::feed::TillView;
use crate::store::prices::{ChangeView, ProductView, StoreView, started_from};
use crate::store::tasks::{TaskView, TransitionView};

/// An amount with its currency.
pub(super) fn money(minor: i64, currency: &str) -> String {
    let symbol = currency.parse::<Currency>().map_or_else(|_| currency.to_owned(), |c| c.symbol().to_owned());
    format!("{}.{:02} {symbol}", minor / 100, minor % 100)
}

/// An amount, or a dash.
pub(super) fn money_or_dash(minor: Option<i64>, currency: &str) -> String {
    minor.map_or_else(|| "–".to_owned(), |minor| money(minor, currency))
}

/// A date and a time of day, in UTC.
pub(super) fn time(millis: i64) -> String {
    DateTime::from_timestamp_millis(millis)
        .map_or_else(|| "–".to_owned(), |at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// How long after: `+2.4 s`, `+3 min`.
pub(super) fn after(millis: i64) -> String {
    match millis {
        ..60_000 => format!("+{}.{} s", millis / 1000, millis % 1000 / 100),
        60_000..7_200_000 => format!("+{} min", millis / 60_000),
        _ => format!("+{} h", millis / 3_600_000),
    }
}

/// The end of a long name.
fn tail(text: &str) -> &str {
    text.get(text.len().saturating_sub(6)..).unwrap_or(text)
}

impl TagView {
    pub(super) fn short(&self) -> &str {
        tail(&self.tag)
    }

    /// The picture of what it shows; its address names the face, so browsers may keep it.
    pub(super) fn picture(&self) -> Option<String> {
        let face = self.shows.as_ref()?.face.get(..16)?;
        Some(format!("/api/v1/tags/{}/face.png?which=shows&face={face}", self.tag))
    }

    pub(super) fn wanted_picture(&self) -> Option<String> {
        let face = self.should_show.as_ref()?.face.get(..16)?;
        Some(format!("/api/v1/tags/{}/face.png?which=should_show&face={face}", self.tag))
    }

    pub(super) fn title(&self) -> &str {
        self.product_name.as_deref().unwrap_or("not bound")
    }

    pub(super) fn shown_price(&self) -> String {
        money_or_dash(self.shows.as_ref().and_then(|shows| shows.price_minor), &self.currency)
    }

    pub(super) fn wanted_price(&self) -> String {
        money_or_dash(self.should_show.as_ref().and_then(|should| should.price_minor), &self.currency)
    }

    pub(super) fn is_removable(&self) -> bool {
        self.standing != Standing::Removed
    }

    /// What its ring means.
    pub(super) fn says(&self) -> &'static str {
        match self.standing {
            Standing::New => "nothing to show yet",
            Standing::Current => "shows what it should",
            Standing::Updating => "a new face is on its way",
            Standing::Held => "a new face waits for the tills",
            Standing::Silent => "silent; it has a face to fetch",
            Standing::Failed => "cannot show what it should",
            Standing::Removed => "attested as removed",
        }
    }
}

impl HealthView {
    pub(super) fn battery(&self) -> String {
        format!("{}.{:02} V", self.battery_mv / 1000, self.battery_mv % 1000 / 10)
    }

    pub(super) fn link(&self) -> String {
        self.lqi.map_or_else(|| "–".to_owned(), |lqi| format!("{} %", lqi * 100 / 255))
    }

    pub(super) fn temperature(&self) -> String {
        self.temperature_c.map_or_else(|| "–".to_owned(), |celsius| format!("{celsius} °C"))
    }

    pub(super) fn seen(&self) -> String {
        time(self.seen_at)
    }
}

impl ProductView {
    pub(super) fn price(&self) -> String {
        money(self.price_minor, &self.currency)
    }

    pub(super) fn till(&self) -> String {
        money_or_dash(self.till_minor, &self.currency)
    }

    /// For the form.
    pub(super) fn plain_price(&self) -> String {
        format!("{}.{:02}", self.price_minor / 100, self.price_minor % 100)
    }
}

impl ChangeView {
    pub(super) fn is_running(&self) -> bool {
        self.ended_at.is_none()
    }

    /// Its state, and what holds it.
    pub(super) fn standing(&self) -> String {
        match self.hold.as_str() {
            "" => self.state.clone(),
            hold => format!("{}: {hold}", self.state),
        }
    }

    /// What it waits for, when that is none of tags and tills.
    pub(super) fn waits_for(&self) -> Option<String> {
        if !["scheduled", "held"].contains(&self.state.as_str()) {
            return None;
        }
        let mut waits = Vec::new();
        if self.state == "scheduled" {
            waits.push(format!("Takes effect at {}.", time(self.effective_at)));
        }
        if self.needs_approval() {
            waits.push("Waits for the approval of a second person.".to_owned());
        }
        if let Some(by) = &self.paused_by {
            waits.push(format!("Paused by {by}."));
        }
        if self.hold == "freeze" {
            waits.push("Waits for the end of the freeze in its store.".to_owned());
        }
        Some(waits.join(" "))
    }

    pub(super) fn needs_approval(&self) -> bool {
        self.approval == "awaited" && self.is_running()
    }

    /// Whether it was asked for some time before it began.
    pub(super) fn is_planned_ahead(&self) -> bool {
        self.begun_at.is_some_and(|begun| begun > self.created_at)
    }

    pub(super) fn effective(&self) -> String {
        time(self.effective_at)
    }

    pub(super) fn approved_stamp(&self) -> i64 {
        self.approved_at.unwrap_or(self.created_at)
    }

    pub(super) fn approved(&self) -> String {
        time(self.approved_stamp())
    }

    pub(super) fn is_increase(&self) -> bool {
        self.direction == "increase"
    }

    pub(super) fn before(&self) -> String {
        let from = started_from(self.from_minor, self.charged_minor, self.to_minor);
        money(from, &self.currency)
    }

    /// The price asked for before, when a change to it was superseded on its way.
    pub(super) fn overtaken(&self) -> Option<String> {
        let from = started_from(self.from_minor, self.charged_minor, self.to_minor);
        (from != self.from_minor).then(|| money(self.from_minor, &self.currency))
    }

    pub(super) fn wanted(&self) -> String {
        money(self.to_minor, &self.currency)
    }

    pub(super) fn created(&self) -> String {
        time(self.created_at)
    }

    pub(super) fn shelf_percent(&self) -> i64 {
        if self.shelf.total == 0 {
            return if self.shelf.done_at.is_some() { 100 } else { 0 };
        }
        self.shelf.displayed * 100 / self.shelf.total
    }

    pub(super) fn shelf_text(&self) -> String {
        match (self.shelf.total, self.shelf.done_at, self.shelf.first_sent_at) {
            (0, Some(_), _) => "no tag to update".to_owned(),
            (total, None, None) if !self.is_increase() => {
                format!("0/{total} tags, held until the tills charge less")
            }
            (total, _, _) => format!("{}/{total} tags show it", self.shelf.displayed),
        }
    }

    pub(super) fn till_text(&self) -> String {
        let till = &self.till;
        match (till.applied_at, till.published_at) {
            (Some(_), _) if till.unproven => "published, no till to prove it".to_owned(),
            (Some(_), _) | (None, Some(_)) => format!("{}/{} tills charge it", till.applied, till.total),
            (None, None) if self.is_running() => "waits until every tag shows it".to_owned(),
            (None, None) => "never published".to_owned(),
        }
    }

    /// `done`, `doing` or `waits`, as classes of a page.
    pub(super) fn shelf_phase(&self) -> &'static str {
        match (self.shelf.done_at, self.shelf.first_sent_at) {
            (Some(_), _) => "done",
            (None, Some(_)) => "doing",
            (None, None) => "waits",
        }
    }

    pub(super) fn till_phase(&self) -> &'static str {
        match (self.till.applied_at, self.till.published_at) {
            (Some(_), _) => "done",
            (None, Some(_)) => "doing",
            (None, None) => "waits",
        }
    }
}

impl StoreView {
    pub(super) fn frozen_since(&self) -> String {
        self.frozen_at.map(time).unwrap_or_default()
    }
}

impl TaskView {
    pub(super) fn short_tag(&self) -> &str {
        tail(&self.tag)
    }

    pub(super) fn short_face(&self) -> &str {
        self.face.get(..8).unwrap_or(&self.face)
    }

    pub(super) fn price(&self) -> String {
        self.price_minor
            .map_or_else(|| "blank".to_owned(), |minor| format!("{}.{:02}", minor / 100, minor % 100))
    }

    pub(super) fn created(&self) -> String {
        time(self.created_at)
    }

    pub(super) fn since_text(&self) -> String {
        time(self.since)
    }

    pub(super) fn why(&self) -> String {
        self.reason.replace('_', " ")
    }
}

impl TransitionView {
    pub(super) fn time(&self) -> String {
        time(self.at)
    }

    pub(super) fn why(&self) -> String {
        self.reason.replace('_', " ")
    }
}

impl TillView {
    pub(super) fn heard(&self) -> String {
        self.heard_at.map_or_else(|| "never".to_owned(), time)
    }

    /// How far behind it is.
    pub(super) fn lag(&self) -> String {
        match self.behind {
            0 => "charges every price".to_owned(),
            1 => "1 price behind".to_owned(),
            behind => format!("{behind} prices behind"),
        }
    }

    /// What waits for it.
    pub(super) fn held(&self) -> String {
        match self.holds {
            0 => "nothing waits for it".to_owned(),
            1 => "1 change waits for it".to_owned(),
            holds => format!("{holds} changes wait for it"),
        }
    }
}

impl AccessPointView {
    pub(super) fn heard(&self) -> String {
        self.heard_at.map_or_else(|| "never".to_owned(), time)
    }

    pub(super) fn reports(&self) -> String {
        self.next_report.map_or_else(|| "–".to_owned(), |next| format!("{}", next.saturating_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_read_well() {
        assert_eq!(money(549, "EUR"), "5.49 €");
        assert_eq!(money(99_999_999, "CHF"), "999999.99 CHF");
        assert_eq!(time(1_763_755_200_000), "2025-11-21 20:00:00 UTC");
        assert_eq!([after(2_410), after(180_000), after(7_200_000)], ["+2.4 s", "+3 min", "+2 h"]);
    }
}
