//! Access points.

use askama::Template;
use axum::extract::State;
use service_kit::problem::Problem;

use super::{Page, Visitor};
use crate::store::devices::{self, AccessPointView};
use crate::web::{App, Shared};

#[derive(Template)]
#[template(path = "access_points.html")]
pub(in crate::web) struct AccessPointList {
    visitor: Visitor,
    access_points: Vec<AccessPointView>,
}

#[derive(Template)]
#[template(path = "fragments/access_points.html")]
pub(in crate::web) struct AccessPointsFragment {
    access_points: Vec<AccessPointView>,
}

pub(in crate::web) async fn list(
    State(app): Shared,
    visitor: Visitor,
) -> Result<Page<AccessPointList>, Problem> {
    Ok(Page(AccessPointList { visitor, access_points: read(&app).await? }))
}

pub(in crate::web) async fn table(State(app): Shared) -> Result<Page<AccessPointsFragment>, Problem> {
    Ok(Page(AccessPointsFragment { access_points: read(&app).await? }))
}

async fn read(app: &App) -> Result<Vec<AccessPointView>, Problem> {
    let mut db = app.database.reader().await?;
    Ok(devices::list_access_points(&mut db, None, None, app.online_after()).await?)
}
