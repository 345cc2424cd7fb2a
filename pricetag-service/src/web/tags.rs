//! Tags and their pictures.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use service_kit::http::extract::{Params, Queried};
use service_kit::problem::Problem;
use sqlx::AnyConnection;
use utoipa::{IntoParams, ToSchema};
use wire::face::{Face, FaceHash};
use wire::tag::TagId;

use super::extract::By;
use super::filters::{self, Narrowed, known};
use super::listing::{LIMITS, Listing};
use super::{App, Shared};
use crate::shop::words::{Command, Refusal};
use crate::store::devices::{self, TagFilter, TagView};
use crate::store::faces;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TagQuery {
    /// Of this store only.
    store: Option<String>,
    /// Of this access point only.
    access_point: Option<String>,
    /// Bound to this product only.
    product: Option<String>,
    /// After this one: `next` of the page before.
    after: Option<String>,
    /// Items on a page, at most 500.
    limit: Option<u32>,
}

#[utoipa::path(get, path = "/api/v1/tags", tag = "reading", params(TagQuery),
    responses((status = 200, body = Listing<TagView>)))]
/// Tags in order of their address.
pub(super) async fn list_tags(
    State(app): Shared,
    Queried(query): Queried<TagQuery>,
) -> Result<Json<Listing<TagView>>, Problem> {
    let limit = LIMITS.check(query.limit)?;
    let mut db = app.database.snapshot().await?;
    let filter = TagFilter {
        after: filters::cursor::<TagId>("after", query.after)?,
        store: known(&mut db, Narrowed::Store, query.store).await?,
        access_point: known(&mut db, Narrowed::AccessPoint, query.access_point).await?,
        product: known(&mut db, Narrowed::Product, query.product).await?,
    };
    let found = devices::list_tags(&mut db, &filter, limit + 1).await?;
    Ok(Json(Listing::page(found, limit, |item| item.tag.clone())))
}

#[utoipa::path(get, path = "/api/v1/tags/{tag}", tag = "reading", params(("tag" = String, Path)),
    responses((status = 200, body = TagView)))]
/// One tag: what it should show, what it shows, how it is.
pub(super) async fn get_tag(
    State(app): Shared,
    Params(tag): Params<TagId>,
) -> Result<Json<TagView>, Problem> {
    tag_view(&app, tag).await.map(Json)
}

pub(super) async fn tag_view(app: &App, tag: TagId) -> Result<TagView, Problem> {
    let mut db = app.database.reader().await?;
    read_tag(&mut db, tag).await
}

pub(super) async fn read_tag(db: &mut AnyConnection, tag: TagId) -> Result<TagView, Problem> {
    devices::find_tag(db, tag).await?.ok_or_else(|| Refusal::UnknownTag(tag).into())
}

#[utoipa::path(post, path = "/api/v1/tags/{tag}/attest-removal", tag = "prices", params(("tag" = String, Path)),
    responses((status = 200, body = TagView)), security(("token" = [])))]
/// Attest that the tag is not on its shelf: it no longer holds a change up.
pub(super) async fn attest_removal(
    State(app): Shared,
    By(actor): By,
    Params(tag): Params<TagId>,
) -> Result<Json<TagView>, Problem> {
    app.desk.command(actor, Command::AttestRemoval { tag }).await?;
    tag_view(&app, tag).await.map(Json)
}

/// Which of a tag's faces.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Which {
    /// The one it confirmed last.
    #[default]
    Shows,
    /// The one it should show.
    ShouldShow,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FaceQuery {
    /// `shows` or `should_show`.
    #[serde(default)]
    which: Which,
    /// The face the page means, so that browsers may keep the picture.
    face: Option<String>,
}

#[utoipa::path(get, path = "/api/v1/tags/{tag}/face.png", tag = "reading",
    params(("tag" = String, Path), FaceQuery),
    responses((status = 200, content_type = "image/png", body = Vec<u8>)))]
/// A tag's face as a picture.
pub(super) async fn face_png(
    State(app): Shared,
    Params(tag): Params<TagId>,
    Queried(query): Queried<FaceQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut db = app.database.reader().await?;
    let (should, shows) = devices::faces_of(&mut db, tag).await?.ok_or(Refusal::UnknownTag(tag))?;
    let wanted = match query.which {
        Which::Shows => shows,
        Which::ShouldShow => should,
    };
    let hash = wanted.ok_or_else(|| no_face(tag))?;
    let etag = format!("\"{}\"", hash.short());
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    let file = faces::find(&mut db, hash).await?.ok_or_else(|| no_face(tag))?;
    let face = Face::from_file(&file).map_err(|e| Problem::internal(&e))?;
    let picture = png(&face).map_err(|e| Problem::internal(&e))?;
    let is_named = query.face.as_deref().is_some_and(|named| is_beginning_of(named, hash));
    let keep = if is_named { "private, max-age=604800, immutable" } else { "no-cache" };
    let headers = [
        (header::CONTENT_TYPE, "image/png".to_owned()),
        (header::CACHE_CONTROL, keep.to_owned()),
        (header::ETAG, etag),
    ];
    Ok((headers, picture).into_response())
}

fn is_beginning_of(named: &str, hash: FaceHash) -> bool {
    named.len() >= 8 && hash.to_string().starts_with(named)
}

fn no_face(tag: TagId) -> Problem {
    Problem::not_found("no-face", format!("tag `{tag}` has no such face yet"))
}

/// One bit a pixel, 0 is black.
fn png(face: &Face) -> Result<Vec<u8>, png::EncodingError> {
    let (width, height) = (face.width(), face.height());
    let mut octets = Vec::new();
    let mut encoder = png::Encoder::new(&mut octets, width.into(), height.into());
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header()?;
    let row_of = |y: u16| {
        (0..width.div_ceil(8)).map(move |octet| {
            (0..8).fold(0_u8, |bits, bit| (bits << 1) | u8::from(!face.is_black(octet * 8 + bit, y)))
        })
    };
    let rows: Vec<u8> = (0..height).flat_map(row_of).collect();
    writer.write_image_data(&rows)?;
    writer.finish()?;
    Ok(octets)
}
