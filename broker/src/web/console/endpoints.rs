//! Under which URLs each instance is reached, and the form that names it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use service_kit::http::extract::Params;
use service_kit::problem::Problem;

use super::forms::{Change, Complaint};
use super::frame::segment;
use super::instances;
use crate::endpoints::{HostName, Hosts, ParseHostNameError};
use crate::web::App;
use crate::web::endpoints::EndpointsView;

/// URLs of an instance, each kind with what to say when there is none.
pub struct UrlsRow {
    pub name: &'static str,
    pub urls: Vec<String>,
    pub none: &'static str,
}

/// From where an instance is reached.
pub fn rows(app: &App, instance: &str, own: &Hosts) -> [UrlsRow; 2] {
    let EndpointsView { internet, intranet } = EndpointsView::of(app, instance, own);
    let all = |urls: &crate::endpoints::Urls| urls.iter().map(str::to_owned).collect();
    [
        UrlsRow {
            name: "Internet",
            urls: internet.as_ref().map(all).unwrap_or_default(),
            none: "it has no name there",
        },
        UrlsRow {
            name: "Intranet",
            urls: all(&intranet),
            none: "it has no name there, and the listeners are bound to every address",
        },
    ]
}

/// A field of the form: what the instance is named, and what counts without.
pub struct NameField {
    pub field: &'static str,
    pub label: &'static str,
    pub value: String,
    pub otherwise: String,
}

/// The form that names an instance.
pub struct NamesForm {
    pub instance: String,
    pub fields: [NameField; 2],
}

impl NamesForm {
    /// For templates: where it goes.
    pub fn path(&self) -> String {
        format!("/instances/{}/endpoints", segment(&self.instance))
    }

    /// With the names it has, or those just typed.
    pub fn of(app: &App, instance: &str, complaint: &Complaint) -> Result<Self, Problem> {
        let own = app.instance(instance)?.rules().hosts.clone();
        let ours = app.broker.config.endpoints.hosts(instance, &Hosts::default());
        let is_typed = complaint.told().is_some();
        let text = |host: Option<HostName>| host.map(String::from);
        let field = |(field, label), own, ours, none: &str| NameField {
            field,
            label,
            value: if is_typed { complaint.typed(field).to_owned() } else { text(own).unwrap_or_default() },
            otherwise: text(ours).unwrap_or_else(|| none.to_owned()),
        };
        let internet = ("internet_host", "From the Internet");
        let intranet = ("intranet_host", "From the broker's own network");
        Ok(NamesForm {
            instance: instance.to_owned(),
            fields: [
                field(internet, own.internet, ours.internet, "no name"),
                field(intranet, own.intranet, ours.intranet, "addresses of the listeners"),
            ],
        })
    }
}

/// `POST /instances/{instance}/endpoints`
pub async fn change(
    State(app): State<Arc<App>>,
    Params(instance): Params<String>,
    Change(sent): Change,
) -> Result<Response, Problem> {
    let host = |field| match sent.fields.text(field) {
        "" => Ok(None),
        text => text.parse::<HostName>().map(Some).map_err(|error: ParseHostNameError| (field, error)),
    };
    let hosts =
        host("internet_host").and_then(|internet| Ok(Hosts { internet, intranet: host("intranet_host")? }));
    match hosts {
        Ok(hosts) => {
            app.name_instance(&sent.visitor.actor(), &instance, hosts).await?;
            sent.visitor.notice(&app, &format!("The endpoints of {instance} are changed."));
            Ok(Redirect::to("/instances").into_response())
        }
        Err((field, error)) => {
            let complaint = Complaint::new(field, "host-invalid", error.to_string(), sent.fields.clone());
            instances::answer(&app, sent.visitor, Some(&instance), &complaint)
        }
    }
}
