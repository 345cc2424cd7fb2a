//! ● Why something is not done yet, in words, out of what the price-tag service answers.

use serde_json::Value;

use crate::shop::api::TillStanding;

/// Names in a line; the others are counted.
const NAMES_MAX: usize = 4;

/// The tills that have not acknowledged an entry.
fn tills_behind(tills: &[TillStanding], seq: u64) -> Option<String> {
    let behind = tills.iter().filter(|till| till.cursor < seq);
    let names: Vec<String> = behind
        .map(|till| {
            let since = till.heard_at.map_or_else(|| "has acknowledged nothing".to_owned(), acknowledged_at);
            format!("{}, {since} (at entry {} of {seq})", till.till, till.cursor)
        })
        .collect();
    (!names.is_empty()).then(|| format!("till {}", some_of(&names)))
}

/// A time of the day, of milliseconds since 1970.
fn acknowledged_at(at: i64) -> String {
    let second = at.div_euclid(1000).rem_euclid(86_400);
    format!("acknowledged last at {:02}:{:02}:{:02} UTC", second / 3600, second / 60 % 60, second % 60)
}

/// Why not every tag shows what it should.
pub fn of_the_shelf(summary: &Value, tags: &[Value], tills: &[TillStanding]) -> String {
    let figure = |name: &str| summary[name].as_u64().unwrap_or(0);
    let mut reasons = Vec::new();
    let waiting: Vec<&Value> = tags.iter().filter(|tag| !is_current(tag)).collect();
    if !waiting.is_empty() {
        let names: Vec<String> =
            waiting.iter().map(|tag| format!("{} {}", tail(&tag["tag"]), text(&tag["standing"]))).collect();
        reasons.push(format!("{} of {} tags: {}", waiting.len(), tags.len(), some_of(&names)));
    }
    let is_held = waiting.iter().any(|tag| tag["standing"] == "held");
    let head = tills.iter().map(|till| till.head).max().unwrap_or(0);
    reasons.extend(tills_behind(tills, head).filter(|_| is_held).map(|tills| format!("held by {tills}")));
    let (online, points) = (figure("access_points_online"), figure("access_points"));
    if online != points {
        reasons.push(format!("{} of {points} access points to come online", points - online.min(points)));
    }
    if reasons.is_empty() { "the service to count its tags".to_owned() } else { reasons.join("; ") }
}

fn is_current(tag: &Value) -> bool {
    matches!(tag["standing"].as_str(), Some("current" | "removed"))
}

/// Why a price change has not arrived everywhere.
pub fn of_a_change(change: &Value, tills: &[TillStanding]) -> String {
    let blockers: Vec<String> =
        change["blocked_by"].as_array().into_iter().flatten().map(|tag| tail(tag).to_owned()).collect();
    if !blockers.is_empty() {
        return format!("tag {}, silent or broken: its page says which", some_of(&blockers));
    }
    let (shelf, till) = (&change["shelf"], &change["till"]);
    let (displayed, total) = (shelf["displayed"].as_u64().unwrap_or(0), shelf["total"].as_u64().unwrap_or(0));
    let of_the_shelf = || {
        let missing = total.saturating_sub(displayed);
        format!("{missing} of {total} tags of {}", text(&change["product"]))
    };
    let of_the_tills = || match till["seq"].as_u64() {
        Some(seq) => tills_behind(tills, seq).unwrap_or_else(|| "the tills".to_owned()),
        None => format!("the new price of {} to reach the till feed", text(&change["product"])),
    };
    let is_increase = change["direction"] == "increase";
    let (is_shelf_done, is_till_done) = (!shelf["done_at"].is_null(), !till["applied_at"].is_null());
    match (is_increase, is_shelf_done, is_till_done) {
        (true, false, _) | (false, false, true) => of_the_shelf(),
        (true, true, false) | (false, _, false) => of_the_tills(),
        (_, true, true) => "the service to note the end of the change".to_owned(),
    }
}

fn some_of(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// The end of a radio address, as pages show it.
fn tail(tag: &Value) -> &str {
    let tag = text(tag);
    tag.get(tag.len().saturating_sub(6)..).unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tills() -> Vec<TillStanding> {
        let till =
            |name: &str, cursor, heard_at| TillStanding { till: name.to_owned(), cursor, head: 61, heard_at };
        vec![till("till-1", 61, Some(1_000)), till("main-2", 0, None)]
    }

    fn tag(number: u32, standing: &str) -> Value {
        json!({ "tag": format!("0245530000{number:06}"), "standing": standing })
    }

    #[test]
    fn tags_are_named_with_how_they_stand_and_access_points_are_counted() {
        let mut tags: Vec<Value> = (0..54).map(|number| tag(number, "current")).collect();
        tags.extend((54..60).map(|number| tag(number, if number == 54 { "silent" } else { "updating" })));
        let summary = json!({ "access_points": 2, "access_points_online": 1 });
        assert_eq!(
            of_the_shelf(&summary, &tags, &tills()),
            "6 of 60 tags: 000054 silent, 000055 updating, 000056 updating, 000057 updating and 2 more; \
             1 of 2 access points to come online"
        );
    }

    #[test]
    fn held_tags_are_told_with_the_till_that_holds_them() {
        let summary = json!({ "access_points": 2, "access_points_online": 2 });
        let tags = [tag(1, "held"), tag(2, "current")];
        assert_eq!(
            of_the_shelf(&summary, &tags, &tills()),
            "1 of 2 tags: 000001 held; held by till main-2, has acknowledged nothing (at entry 0 of 61)"
        );
    }

    fn change(direction: &str, shelf_done: Option<u64>, seq: Option<u64>, applied: Option<u64>) -> Value {
        json!({
            "product": "milk", "direction": direction, "blocked_by": [],
            "shelf": { "displayed": 1, "total": 2, "done_at": shelf_done },
            "till": { "seq": seq, "applied_at": applied },
        })
    }

    #[test]
    fn a_change_waits_first_for_the_side_that_goes_first() {
        let why = |change: &Value| of_a_change(change, &tills());
        assert_eq!(why(&change("increase", None, None, None)), "1 of 2 tags of milk");
        let till = "till main-2, has acknowledged nothing (at entry 0 of 61)";
        assert_eq!(why(&change("increase", Some(1), Some(61), None)), till);
        assert_eq!(why(&change("decrease", None, Some(61), None)), till);
        assert_eq!(
            why(&change("decrease", None, None, None)),
            "the new price of milk to reach the till feed"
        );
        assert_eq!(why(&change("decrease", None, Some(61), Some(1))), "1 of 2 tags of milk");
    }

    #[test]
    fn a_till_is_told_by_its_last_acknowledgement() {
        let mut tills = tills();
        tills[1].heard_at = Some((86_400 + 14 * 3600 + 3 * 60 + 5) * 1000);
        tills[1].cursor = 40;
        assert_eq!(
            of_a_change(&change("decrease", None, Some(61), None), &tills),
            "till main-2, acknowledged last at 14:03:05 UTC (at entry 40 of 61)"
        );
    }

    #[test]
    fn what_blocks_a_change_is_named() {
        let mut blocked = change("increase", None, None, None);
        blocked["blocked_by"] = json!(["0245530000000007"]);
        assert_eq!(of_a_change(&blocked, &tills()), "tag 000007, silent or broken: its page says which");
    }
}
