//! What all pages have around them: the menu, the instance, who looks; and how a page becomes an answer.

use askama::Template;
use axum::Extension;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use service_kit::http::{ToldByPage, urlencode};
use service_kit::problem::Problem;

use super::forms::Complaint;
use super::visitor::Visitor;
use crate::console::sessions::Notice;
use crate::rules::Profile;
use crate::sync::locked;
use crate::web::App;

/// Other instances the menu offers; more are on the page of instances.
const OFFERED_MAX: usize = 12;

/// A part of the menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Overview,
    Instances,
    Topics,
    Groups,
    Clients,
    Credentials,
    Tokens,
    Devices,
    Traces,
    Statistics,
    Signature,
    Audit,
    Users,
    Account,
}

impl Section {
    /// As in the menu; the account is behind the user's name.
    const MENU: [Section; 13] = [
        Section::Overview,
        Section::Instances,
        Section::Topics,
        Section::Groups,
        Section::Clients,
        Section::Credentials,
        Section::Tokens,
        Section::Devices,
        Section::Traces,
        Section::Statistics,
        Section::Signature,
        Section::Audit,
        Section::Users,
    ];

    fn label(self) -> &'static str {
        match self {
            Section::Overview => "Overview",
            Section::Instances => "Instances",
            Section::Topics => "Topics",
            Section::Groups => "Groups",
            Section::Clients => "Clients",
            Section::Credentials => "Credentials",
            Section::Tokens => "Tokens",
            Section::Devices => "Devices",
            Section::Traces => "Traces",
            Section::Statistics => "Statistics",
            Section::Signature => "Signature",
            Section::Audit => "Audit",
            Section::Users => "Users",
            Section::Account => "Account",
        }
    }

    /// Its last level, when it is about one instance.
    pub fn of_instance(self) -> Option<&'static str> {
        match self {
            Section::Topics => Some("topics"),
            Section::Groups => Some("groups"),
            Section::Clients => Some("clients"),
            Section::Credentials => Some("credentials"),
            Section::Tokens => Some("tokens"),
            Section::Devices => Some("devices"),
            Section::Traces => Some("traces"),
            Section::Statistics => Some("statistics"),
            Section::Overview
            | Section::Instances
            | Section::Signature
            | Section::Audit
            | Section::Users
            | Section::Account => None,
        }
    }

    /// Groups and credentials mean nothing in the standard profile.
    fn is_strict_only(self) -> bool {
        matches!(
            self,
            Section::Groups | Section::Credentials | Section::Tokens | Section::Devices | Section::Signature
        )
    }

    /// Its path, of this instance when it is about one.
    pub fn path(self, instance: Option<&str>) -> String {
        match (self.of_instance(), instance) {
            (Some(level), Some(instance)) => format!("/instances/{}/{level}", segment(instance)),
            (Some(level), None) => format!("/{level}"),
            (None, _) if self == Section::Overview => "/".to_owned(),
            (None, _) => format!("/{}", self.label().to_ascii_lowercase()),
        }
    }
}

/// A line of the menu.
pub struct Item {
    pub label: &'static str,
    pub path: String,
    pub is_current: bool,
}

/// What all pages have around them.
pub struct Frame {
    pub visitor: Visitor,
    pub menu: Vec<Item>,
    /// The instance the page is about.
    pub instance: Option<String>,
    /// The same page of other instances.
    pub others: Vec<(String, String)>,
    /// What was just done.
    pub notice: Option<Notice>,
    pub is_strict: bool,
}

impl Frame {
    /// Around a page of `section`, of this instance when it is about one.
    pub fn new(app: &App, visitor: Visitor, section: Section, instance: Option<&str>) -> Self {
        let instances = app.broker.instances();
        let wanted = instance.or(instances.first().map(|first| first.id.as_str()));
        let is_strict = app.broker.config.profile == Profile::Strict;
        let shown = Section::MENU.into_iter().filter(|item| is_strict || !item.is_strict_only());
        let menu = shown.map(|item| Item {
            label: item.label(),
            path: item.path(wanted),
            is_current: item == section,
        });
        let others = instances.iter().filter(|other| instance.is_some_and(|this| this != other.id));
        let others = others.take(OFFERED_MAX).map(|other| (other.id.clone(), section.path(Some(&other.id))));
        let notice = locked(&app.console.sessions)
            .uses(&visitor.key, app.now())
            .and_then(|session| session.notice.take());
        Frame {
            menu: menu.collect(),
            others: others.collect(),
            instance: instance.map(str::to_owned),
            notice,
            is_strict,
            visitor,
        }
    }

    /// For templates: whether forms are shown.
    pub fn is_admin(&self) -> bool {
        self.visitor.is_admin()
    }

    /// For templates: what every form carries.
    pub fn csrf(&self) -> &str {
        &self.visitor.csrf
    }

    /// For templates: where a form about one thing of this instance goes.
    pub fn deed(&self, what: &str, name: &str, verb: &str) -> String {
        self.at(&format!("{what}/{}/{verb}", segment(name)))
    }

    /// For templates: a path below this instance.
    pub fn at(&self, rest: &str) -> String {
        format!("/instances/{}/{rest}", segment(self.instance.as_deref().unwrap_or_default()))
    }
}

/// A name as one level of a path.
pub fn segment(name: &str) -> String {
    urlencode(name).replace('/', "%2F")
}

/// A template as an answer.
pub fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => Problem::internal(&error).into_response(),
    }
}

/// The same when it tells what is wrong with a form.
pub fn page_telling(template: &impl Template, complaint: &Complaint) -> Response {
    match complaint.told() {
        Some((status, kind)) => refusal(status, kind, template),
        None => page(template),
    }
}

/// A page that is a refusal, counted by its kind.
pub fn refusal(status: StatusCode, kind: &str, template: &impl Template) -> Response {
    (status, Extension(ToldByPage(kind.to_owned().into())), page(template)).into_response()
}
