//! Tags and access points as people see them.

use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, query};
use utoipa::ToSchema;
use wire::face::FaceHash;
use wire::tag::TagId;

use super::StoreError;
use super::row::Columns;

/// A face and the price on it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FaceView {
    /// SHA-256 of the face file.
    pub face: String,
    /// The price on it, in minor units; none on a blank face.
    pub price_minor: Option<i64>,
}

/// What a tag confirmed last.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ShownView {
    /// Of which version.
    pub version: i64,
    /// SHA-256 of the face file.
    pub face: String,
    /// The price on it, in minor units; none on a blank face.
    pub price_minor: Option<i64>,
    /// The product on it.
    pub product: Option<String>,
    /// When the confirmation came, in milliseconds since 1970.
    pub at: i64,
}

/// How a tag is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HealthView {
    /// Its last sign of life, in milliseconds since 1970.
    pub seen_at: i64,
    /// Battery, in millivolts.
    pub battery_mv: i64,
    /// Link quality, 0 worst to 255 best.
    pub lqi: Option<i64>,
    /// In degrees Celsius.
    pub temperature_c: Option<i64>,
}

/// A tag's newest task.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TagTaskView {
    /// Which.
    pub task: String,
    /// Where it stands: `pending`.
    pub state: String,
    /// Why it stands there; empty when that needs no reason.
    pub reason: String,
    /// Since when, in milliseconds since 1970.
    pub since: i64,
}

/// How a tag stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It never had anything to show.
    New,
    /// It shows what it should.
    Current,
    /// A new face is on its way.
    Updating,
    /// A new face is held: until the tills are ready, by a pause or by a freeze.
    Held,
    /// It has a face to fetch and is not heard.
    Silent,
    /// It can never show what it should.
    Failed,
    /// Somebody attested that it is not on its shelf.
    Removed,
}

impl Standing {
    /// As in the API.
    pub fn name(self) -> &'static str {
        match self {
            Standing::New => "new",
            Standing::Current => "current",
            Standing::Updating => "updating",
            Standing::Held => "held",
            Standing::Silent => "silent",
            Standing::Failed => "failed",
            Standing::Removed => "removed",
        }
    }
}

/// A tag.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TagView {
    /// Its radio address.
    pub tag: String,
    /// Where it hangs.
    pub store: String,
    /// The currency of its store.
    pub currency: String,
    /// Who talks to it.
    pub access_point: String,
    /// What it is bound to.
    pub product: Option<String>,
    /// What people call that.
    pub product_name: Option<String>,
    /// In pixels.
    pub width: i64,
    /// In pixels.
    pub height: i64,
    /// The version of its newest task.
    pub version: i64,
    /// How it stands.
    pub standing: Standing,
    /// What it should show.
    pub should_show: Option<FaceView>,
    /// What it shows; nothing when it never confirmed a face, or says that it lost it.
    pub shows: Option<ShownView>,
    /// Since when it says that it shows nothing, although it had confirmed a face, in milliseconds since 1970.
    pub blank_since: Option<i64>,
    /// How it is; nothing before it was heard.
    pub health: Option<HealthView>,
    /// Its newest task.
    pub task: Option<TagTaskView>,
    /// When somebody attested that it is not on its shelf, in milliseconds since 1970.
    pub removed_at: Option<i64>,
}

/// Which tags.
#[derive(Clone, Debug, Default)]
pub struct TagFilter {
    /// Of this store.
    pub store: Option<String>,
    /// Of this access point.
    pub access_point: Option<String>,
    /// Bound to this product.
    pub product: Option<String>,
    /// After this one.
    pub after: Option<String>,
}

/// One tag.
pub async fn find_tag(db: &mut AnyConnection, tag: TagId) -> Result<Option<TagView>, StoreError> {
    let filter = TagFilter::default();
    Ok(tags(db, &filter, Some(tag), 1).await?.pop())
}

/// Tags in order of their address.
pub async fn list_tags(
    db: &mut AnyConnection,
    filter: &TagFilter,
    limit: u32,
) -> Result<Vec<TagView>, StoreError> {
    tags(db, filter, None, limit).await
}

async fn tags(
    db: &mut AnyConnection,
    filter: &TagFilter,
    tag: Option<TagId>,
    limit: u32,
) -> Result<Vec<TagView>, StoreError> {
    let rows = query(
        "select t.tag, t.store, s.currency, t.access_point, t.product, p.name as product_name, t.width, t.height,
             coalesce(k.version, 0) as version, t.should_face, t.should_price_minor, t.shows_version, t.shows_face, t.shows_price_minor,
             t.shows_product, t.shows_at, t.removed_at, t.blank_since, h.seen_at, h.battery_mv, h.lqi, h.temperature_c,
             k.task, k.state, k.reason, k.since
         from tags t join stores s on s.store = t.store
             left join products p on p.store = t.store and p.product = t.product
             left join tag_health h on h.tag = t.tag
             left join tasks k on k.tag = t.tag and k.version = (select x.version from tasks x
                 left join changes c on c.change = x.change
                 where x.tag = t.tag and (x.change is null or c.begun_at is not null)
                 order by x.version desc limit 1)
         where ($1 is null or t.store = $1) and ($2 is null or t.access_point = $2)
             and ($3 is null or t.product = $3) and ($4 is null or t.tag > $4) and ($5 is null or t.tag = $5)
         order by t.tag limit $6",
    )
    .bind(filter.store.as_deref())
    .bind(filter.access_point.as_deref())
    .bind(filter.product.as_deref())
    .bind(filter.after.as_deref())
    .bind(tag.map(|tag| tag.to_string()))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(tag_view).collect()
}

fn tag_view(row: &AnyRow) -> Result<TagView, StoreError> {
    let should_show = match row.text_opt("should_face")? {
        Some(face) => Some(FaceView { face, price_minor: row.number_opt("should_price_minor")? }),
        None => None,
    };
    let blank_since = row.number_opt("blank_since")?;
    let shows = if blank_since.is_some() { None } else { shown_view(row)? };
    let task = task_view(row)?;
    let removed_at = row.number_opt("removed_at")?;
    let standing = standing(removed_at.is_some(), task.as_ref(), shows.as_ref());
    Ok(TagView {
        tag: row.text("tag")?,
        store: row.text("store")?,
        currency: row.text("currency")?,
        access_point: row.text("access_point")?,
        product: row.text_opt("product")?,
        product_name: row.text_opt("product_name")?,
        width: row.number("width")?,
        height: row.number("height")?,
        version: row.number("version")?,
        standing,
        should_show,
        shows,
        blank_since,
        health: health_view(row)?,
        task,
        removed_at,
    })
}

fn shown_view(row: &AnyRow) -> Result<Option<ShownView>, StoreError> {
    let Some(version) = row.number_opt("shows_version")? else { return Ok(None) };
    Ok(Some(ShownView {
        version,
        face: row.text("shows_face")?,
        price_minor: row.number_opt("shows_price_minor")?,
        product: row.text_opt("shows_product")?,
        at: row.number("shows_at")?,
    }))
}

fn health_view(row: &AnyRow) -> Result<Option<HealthView>, StoreError> {
    let Some(seen_at) = row.number_opt("seen_at")? else { return Ok(None) };
    Ok(Some(HealthView {
        seen_at,
        battery_mv: row.number("battery_mv")?,
        lqi: row.number_opt("lqi")?,
        temperature_c: row.number_opt("temperature_c")?,
    }))
}

fn task_view(row: &AnyRow) -> Result<Option<TagTaskView>, StoreError> {
    let Some(task) = row.text_opt("task")? else { return Ok(None) };
    let (state, reason) = (row.text("state")?, row.text("reason")?);
    Ok(Some(TagTaskView { task, state, reason, since: row.number("since")? }))
}

fn standing(is_removed: bool, task: Option<&TagTaskView>, shows: Option<&ShownView>) -> Standing {
    let task = task.map(|task| (task.state.as_str(), task.reason.as_str()));
    match task {
        _ if is_removed => Standing::Removed,
        Some(("held", _)) => Standing::Held,
        Some(("pending", "tag_silent")) => Standing::Silent,
        Some(("pending" | "sent" | "accepted", _)) => Standing::Updating,
        Some(("failed", _)) => Standing::Failed,
        Some(_) | None if shows.is_some() => Standing::Current,
        Some(_) | None => Standing::New,
    }
}

/// The faces a tag should show and shows.
pub async fn faces_of(
    db: &mut AnyConnection,
    tag: TagId,
) -> Result<Option<(Option<FaceHash>, Option<FaceHash>)>, StoreError> {
    let row = query(
        "select should_face, case when blank_since is null then shows_face end as shows_face
         from tags where tag = $1",
    )
    .bind(tag.to_string())
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some((row.parsed_opt("should_face")?, row.parsed_opt("shows_face")?)))
}

/// An access point.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AccessPointView {
    /// Its name in topics.
    pub device: String,
    /// Where it hangs.
    pub store: String,
    /// Whether it was heard lately.
    pub is_online: bool,
    /// When it was heard last, in milliseconds since 1970.
    pub heard_at: Option<i64>,
    /// The epoch of its reports.
    pub epoch: i64,
    /// Everything below this number has been received.
    pub next_report: Option<i64>,
    /// Grows with every change of its tags.
    pub roster_rev: i64,
    /// Its tags.
    pub tags: i64,
    /// Tasks of its tags that have not ended.
    pub tasks_open: i64,
    /// Tasks it says it holds.
    pub tasks_queued: i64,
    /// Reports it says are waiting for a receipt.
    pub reports_waiting: i64,
    /// Radio frames it refused since it started.
    pub frames_refused: i64,
}

/// Access points, of one store or all, by name. One counts as online when it was heard after `online_after`.
pub async fn list_access_points(
    db: &mut AnyConnection,
    store: Option<&str>,
    device: Option<&str>,
    online_after: i64,
) -> Result<Vec<AccessPointView>, StoreError> {
    let rows = query(
        "select a.device, a.store, a.heard_at, a.epoch, a.next_report, a.roster_rev, a.tasks_queued,
             a.reports_waiting, a.frames_refused,
             (select count(*) from tags t where t.access_point = a.device and t.removed_at is null) as tags,
             (select count(*) from tags t join tasks k on k.tag = t.tag where t.access_point = a.device
                 and k.state in ('scheduled', 'held', 'pending', 'sent', 'accepted')) as tasks_open
         from access_points a where ($1 is null or a.store = $1) and ($2 is null or a.device = $2)
         order by a.device",
    )
    .bind(store)
    .bind(device)
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| access_point_view(row, online_after)).collect()
}

fn access_point_view(row: &AnyRow, online_after: i64) -> Result<AccessPointView, StoreError> {
    let heard_at = row.number_opt("heard_at")?;
    Ok(AccessPointView {
        device: row.text("device")?,
        store: row.text("store")?,
        is_online: heard_at.is_some_and(|heard_at| heard_at > online_after),
        heard_at,
        epoch: row.number("epoch")?,
        next_report: row.number_opt("next_report")?,
        roster_rev: row.number("roster_rev")?,
        tags: row.number("tags")?,
        tasks_open: row.number("tasks_open")?,
        tasks_queued: row.number("tasks_queued")?,
        reports_waiting: row.number("reports_waiting")?,
        frames_refused: row.number("frames_refused")?,
    })
}
