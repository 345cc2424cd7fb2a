//! Under which URLs clients reach an instance.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use service_kit::http::extract::{Body, NoQuery, Nothing};
use service_kit::problem::Problem;
use utoipa::ToSchema;

use super::App;
use super::operations::Actor;
use crate::endpoints::{HostName, Hosts, Urls};

/// URLs of an instance.
#[derive(Serialize, ToSchema)]
pub struct EndpointsView {
    /// Absent: nobody gave it a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internet: Option<Urls>,
    pub intranet: Urls,
}

impl EndpointsView {
    /// Those of an instance with these names of its own.
    pub fn of(app: &App, instance: &str, own: &Hosts) -> Self {
        let hosts = app.broker.config.endpoints.hosts(instance, own);
        let internet = hosts.internet.map(|host| app.doors.urls(&host));
        let intranet = hosts.intranet.map_or_else(|| app.doors.own_urls(), |host| app.doors.urls(&host));
        EndpointsView { internet, intranet }
    }
}

/// Names of an instance.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointsChange {
    /// A DNS name or an IP address. Absent: that of the broker, if it has one.
    #[schema(value_type = Option<String>, example = "mqtt-demo.example.com")]
    internet_host: Option<HostName>,
    /// The same. Absent: that of the broker, or the addresses its listeners are bound to.
    #[schema(value_type = Option<String>, example = "mqtt-demo.internal")]
    intranet_host: Option<HostName>,
}

/// Shows under which URLs clients reach an instance.
#[utoipa::path(get, path = "/api/v1/instances/{instance}/endpoints",
    responses((status = 200, body = EndpointsView), (status = 404, description = "no such instance")))]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    _: Nothing,
) -> Result<Json<EndpointsView>, Problem> {
    let instance = app.instance(&id)?;
    Ok(Json(EndpointsView::of(&app, &instance.id, &instance.rules().hosts)))
}

/// Names an instance, in its URLs only: where names lead is not the broker's doing.
#[utoipa::path(put, path = "/api/v1/instances/{instance}/endpoints", request_body = EndpointsChange,
    responses((status = 204, description = "it is named so"), (status = 404, description = "no such instance"),
        (status = 400, description = "not JSON; a key that is unknown; neither a DNS name nor an IP address")))]
pub async fn change(
    State(app): State<Arc<App>>,
    actor: Actor,
    Path(id): Path<String>,
    _: NoQuery,
    Body(change): Body<EndpointsChange>,
) -> Result<StatusCode, Problem> {
    let hosts = Hosts { internet: change.internet_host, intranet: change.intranet_host };
    app.name_instance(&actor, &id, hosts).await?;
    Ok(StatusCode::NO_CONTENT)
}
