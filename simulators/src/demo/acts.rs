//! What happens in the demo, each act with its evidence: the story tells it, the check counts it.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;
use wire::DeviceId;
use wire::tag::TagId;
use wire::till::{Price, ProductId};

use super::act::{Act, Failure};
use super::plan::NORTH;
use super::reasons;
use super::stage::Stage;
use crate::shop::ApiError;

const POLL: Duration = Duration::from_millis(100);
/// How long access point north is cut off.
pub const CUT: Duration = Duration::from_secs(8);
/// Products whose price changes meanwhile.
const CUT_PRODUCTS: usize = 4;

/// Evidence, or what went wrong.
pub type Outcome = Result<String, String>;

/// Every tag shows what it should.
pub async fn tags_are_current(stage: &Stage) -> Outcome {
    let all = stage.shop.tags.len();
    let condition = async {
        loop {
            let summary = stage.api.summary().await?;
            let figure = |name: &str| summary[name].as_u64().unwrap_or(0);
            if figure("tags_current") == all as u64 && figure("access_points_online") == 2 {
                return Ok((figure("tags_current"), figure("access_points_online")));
            }
            sleep(POLL).await;
        }
    };
    let (tags, points) = stage.act("TAGS").wait(condition, || why_the_shelf_waits(stage)).await?;
    Ok(format!("{tags}/{all} tags, {points} access points, {} phones", stage.phones.count()))
}

async fn why_the_shelf_waits(stage: &Stage) -> String {
    let looked = async {
        let (summary, tags) = (stage.api.summary().await?, stage.api.tags(&stage.shop.store).await?);
        Ok::<_, ApiError>(reasons::of_the_shelf(&summary, &tags, &stage.api.tills(&stage.shop.store).await?))
    };
    looked.await.unwrap_or_else(|error| format!("the price-tag service: {error}"))
}

/// A price goes up: the shelf first, then the till.
pub async fn price_up(stage: &Stage, product: &str) -> Outcome {
    change(stage, ("UP", product), 50).await
}

/// A price goes down: the till first, then the shelf.
pub async fn price_down(stage: &Stage, product: &str) -> Outcome {
    change(stage, ("DOWN", product), -20).await
}

async fn change(stage: &Stage, (act, product): (&'static str, &str), by_minor: i64) -> Outcome {
    let mut act = stage.act(act);
    let (product, name) = stage.product(product)?;
    let from = charged(&mut act, stage, &product).await?;
    let to = moved(from, by_minor)?;
    let id = stage.change_price(&product, to, "demo").await?;
    let done = completed(&mut act, stage, &id).await?;
    shown_by_the_tags(stage, &product, to).await?;
    Ok(format!("{name} {from} → {to}   {}", order_of(&done)?))
}

/// Down below ten cents there is no price left to take away: up instead.
fn moved(from: Price, by_minor: i64) -> Result<Price, String> {
    let minor = from.as_minor() + by_minor;
    let minor = if minor < 10 { from.as_minor() + 50 } else { minor };
    Price::from_minor(minor).map_err(|error| error.to_string())
}

/// What the till charges for a product; a till that has just been started is waited for.
async fn charged(act: &mut Act, stage: &Stage, product: &ProductId) -> Result<Price, String> {
    let known = async {
        loop {
            match stage.till.price(product) {
                Some(price) => return Ok(price),
                None => sleep(POLL).await,
            }
        }
    };
    act.wait_for(&format!("the till to know a price of {product}"), known).await
}

/// Waits until a change has arrived everywhere. One that is blocked goes on when its tags are heard again.
pub async fn completed(act: &mut Act, stage: &Stage, change: &str) -> Result<Value, String> {
    let arrived = async {
        loop {
            let view = stage.api.change(change).await?;
            match view["state"].as_str() {
                Some("completed") => return Ok(view),
                Some("running" | "blocked") | None => sleep(POLL).await,
                Some(other) => {
                    let product = &view["product"];
                    return Err(Failure(format!("the change of {product} was {other} by somebody else")));
                }
            }
        }
    };
    act.wait(arrived, || why_a_change_waits(stage, change)).await
}

async fn why_a_change_waits(stage: &Stage, change: &str) -> String {
    let looked = async {
        let view = stage.api.change(change).await?;
        Ok::<_, ApiError>(reasons::of_a_change(&view, &stage.api.tills(&stage.shop.store).await?))
    };
    looked.await.unwrap_or_else(|error| format!("the price-tag service: {error}"))
}

/// The order of shelf and till, by the service's own timestamps; an error when it is the unsafe one.
fn order_of(view: &Value) -> Outcome {
    let at = |part: &str, name: &str| view[part][name].as_i64();
    let (shelf, total) = (&view["shelf"]["displayed"], &view["shelf"]["total"]);
    let (published, applied) = (at("till", "published_at"), at("till", "applied_at"));
    let (first_sent, shelf_done) = (at("shelf", "first_sent_at"), at("shelf", "done_at"));
    if view["direction"] == "increase" {
        if published < shelf_done {
            return Err(format!("the till was told before the shelf showed it: {view}"));
        }
        return Ok(format!("shelf {shelf}/{total} ✓, then till ✓"));
    }
    if first_sent < applied {
        return Err(format!("the shelf was told before the till charged it: {view}"));
    }
    Ok(format!("till ✓, then shelf {shelf}/{total} ✓"))
}

/// The service's word is one thing, the screens are another: each must show the face the service names, at that price.
async fn shown_by_the_tags(stage: &Stage, product: &ProductId, price: Price) -> Result<(), String> {
    for tag in stage.shop.tags_of(product) {
        let view = stage.api.tag(tag).await.map_err(|error| error.to_string())?;
        let on_screen = stage.fleet.shown(tag).map(|shown| shown.hash.to_string());
        let is_named = on_screen.as_deref() == view["should_show"]["face"].as_str();
        if !is_named || view["should_show"]["price_minor"].as_i64() != Some(price.as_minor()) {
            return Err(format!("tag {tag} has {on_screen:?} on its screen, the service says {view}"));
        }
    }
    Ok(())
}

/// One user calls another; see [`Phones::answered_call`](super::phones::Phones::answered_call).
pub async fn call(stage: &Stage, from: &str, to: &str) -> Outcome {
    stage.phones.answered_call(&mut stage.act("CALL"), from, to).await
}

/// Access point north loses its uplink; prices change meanwhile; when it is back, its tasks are re-driven.
pub async fn cut_and_mend(stage: &Stage) -> Outcome {
    let mut act = stage.act("CUT");
    let north: DeviceId = NORTH.parse().map_err(|_| "no access point north".to_owned())?;
    stage.cable.cut();
    let mut changes = Vec::new();
    let mut waiting: Vec<TagId> = Vec::new();
    for product in products_at(stage, &north).into_iter().take(CUT_PRODUCTS) {
        let from = charged(&mut act, stage, &product).await?;
        changes.push(stage.change_price(&product, moved(from, 10)?, "while north is cut off").await?);
        let tags = stage.shop.tags.iter().filter(|tag| tag.product == product && tag.access_point == north);
        waiting.extend(tags.map(|tag| tag.config.tag));
    }
    let what = format!("{} s to pass with access point north cut off", CUT.as_secs());
    act.wait_for(&what, async {
        sleep(CUT).await;
        Ok(())
    })
    .await?;
    for tag in &waiting {
        let view = stage.api.tag(*tag).await.map_err(|error| error.to_string())?;
        if view["standing"] == "current" {
            return Err(format!("tag {tag} shows the new price although its access point is cut off"));
        }
    }
    stage.cable.mend();
    for change in &changes {
        completed(&mut act, stage, change).await?;
    }
    Ok(format!("access point north for {} s: {} tasks re-driven, displayed", CUT.as_secs(), waiting.len()))
}

/// Products with tags at an access point, in turn; not those of the first acts.
fn products_at(stage: &Stage, access_point: &DeviceId) -> Vec<ProductId> {
    let mut products: Vec<ProductId> = Vec::new();
    for tag in stage.shop.tags.iter().filter(|tag| tag.access_point == *access_point) {
        let is_star = matches!(tag.product.as_str(), "coffee" | "milk");
        if !is_star && !products.contains(&tag.product) {
            products.push(tag.product.clone());
        }
    }
    products
}

/// Damaged frames are refused by their checksum, counted, and change nothing.
pub async fn damaged_frames_are_refused(stage: &Stage) -> Outcome {
    let tag = stage.shop.tags.first().ok_or("no tags")?.config.tag;
    let before = stage.frames_refused().await?;
    stage.fleet.damage_next(tag, 2).await.map_err(|error| error.to_string())?;
    let counted = async {
        loop {
            let now = stage.frames_refused().await.map_err(Failure)?;
            if now > before {
                return Ok(format!("{} frames refused by their checksum", now - before));
            }
            sleep(POLL).await;
        }
    };
    stage.act("FRAME").wait_for("a damaged frame to be counted", counted).await
}

/// The audit log is whole: every record hashes the one before it.
pub async fn audit_is_whole(stage: &Stage) -> Outcome {
    let (dir, head) = stage.plan.audit();
    let verified = tokio::task::spawn_blocking(move || audit_log::verify(&dir, Some(&head))).await;
    let verified = verified.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    Ok(format!("{} records verified", verified.records))
}
