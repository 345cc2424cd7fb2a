//! Users: added, changed, removed.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use service_kit::http::extract::Params;
use service_kit::problem::Problem;

use super::Visitor;
use super::forms::{Change, Complaint, Fields};
use super::frame::{Frame, Section, page_telling};
use super::texts::Moment;
use crate::console::password;
use crate::console::users::{ParseRoleError, ParseUserError, Role, UserName, UsersError};
use crate::sync::{locked, read_locked};
use crate::web::App;

struct UserRow {
    name: String,
    role: &'static str,
    is_admin: bool,
    is_self: bool,
    created: Moment,
    password_since: Moment,
    sessions: usize,
}

impl UserRow {
    /// For templates: where a form about them goes.
    fn deed(&self, verb: &str) -> String {
        format!("/users/{}/{verb}", self.name)
    }
}

#[derive(Template)]
#[template(path = "users.html")]
struct UsersPage<'a> {
    frame: Frame,
    users: Vec<UserRow>,
    chars_min: usize,
    complaint: &'a Complaint,
}

fn answer(app: &App, visitor: Visitor, complaint: &Complaint) -> Response {
    let now = app.now();
    let users = read_locked(&app.console.users);
    let rows = users.all().map(|(name, user)| UserRow {
        name: name.to_string(),
        role: user.role.as_str(),
        is_admin: user.role == Role::Admin,
        is_self: *name == visitor.name,
        created: user.created.into(),
        password_since: user.password_since.into(),
        sessions: locked(&app.console.sessions).count_of(name, now),
    });
    let rows = rows.collect();
    drop(users);
    let frame = Frame::new(app, visitor, Section::Users, None);
    page_telling(&UsersPage { frame, users: rows, chars_min: password::CHARS_MIN, complaint }, complaint)
}

/// `GET /users`
pub async fn list(State(app): State<Arc<App>>, visitor: Visitor) -> Response {
    answer(&app, visitor, &Complaint::default())
}

fn back(app: &App, visitor: &Visitor, notice: &str) -> Response {
    visitor.notice(app, notice);
    Redirect::to("/users").into_response()
}

fn field_of(kind: &str) -> Option<&'static str> {
    match kind {
        "user-exists" | "users-full" | "user-invalid" => Some("name"),
        "password-length" => Some("password"),
        "last-admin" => Some("last_admin"),
        _ => None,
    }
}

async fn try_create(app: &App, visitor: &Visitor, fields: &Fields) -> Result<UserName, Problem> {
    let invalid = |error: ParseUserError| Problem::unprocessable("user-invalid", error.to_string());
    let name: UserName = fields.text("name").parse().map_err(invalid)?;
    let role = parse_role(fields)?;
    let hashed = app.hash_password(fields.secret("password")).await?;
    app.create_user(&visitor.actor(), name.clone(), role, hashed).await?;
    Ok(name)
}

fn parse_role(fields: &Fields) -> Result<Role, Problem> {
    let invalid = |error: ParseRoleError| Problem::unprocessable("role-invalid", error.to_string());
    fields.text("role").parse().map_err(invalid)
}

/// `POST /users`
pub async fn create(State(app): State<Arc<App>>, Change(sent): Change) -> Result<Response, Problem> {
    match try_create(&app, &sent.visitor, &sent.fields).await {
        Ok(name) => Ok(back(&app, &sent.visitor, &format!("User {name} is there."))),
        Err(problem) => {
            let complaint = Complaint::from(problem, sent.fields, field_of)?;
            Ok(answer(&app, sent.visitor, &complaint))
        }
    }
}

fn known(text: &str) -> Result<UserName, Problem> {
    text.parse().map_err(|_| UsersError::Unknown.into())
}

/// `POST /users/{user}/role`
pub async fn change_role(
    State(app): State<Arc<App>>,
    Params(name): Params<String>,
    Change(sent): Change,
) -> Result<Response, Problem> {
    let (name, role) = (known(&name)?, parse_role(&sent.fields)?);
    match app.change_role(&sent.visitor.actor(), &name, role).await {
        Ok(()) => Ok(back(&app, &sent.visitor, &format!("{name} is {} from here on.", role.as_str()))),
        Err(problem) => {
            let complaint = Complaint::from(problem, sent.fields, field_of)?;
            Ok(answer(&app, sent.visitor, &complaint))
        }
    }
}

/// `POST /users/{user}/password`
pub async fn set_password(
    State(app): State<Arc<App>>,
    Params(name): Params<String>,
    Change(sent): Change,
) -> Result<Response, Problem> {
    let name = known(&name)?;
    let set = async {
        let hashed = app.hash_password(sent.fields.secret("password")).await?;
        // An admin stays signed in when they change their own.
        let kept = (name == sent.visitor.name).then_some(sent.visitor.key.as_str());
        app.change_password(&sent.visitor.actor(), &name, hashed, kept).await
    };
    match set.await {
        Ok(()) => {
            Ok(back(&app, &sent.visitor, &format!("{name} has another password and must sign in again.")))
        }
        Err(problem) => {
            let field = |kind: &str| (kind == "password-length").then_some("new_password");
            let complaint = Complaint::from(problem, Fields::default(), field)?;
            Ok(answer(&app, sent.visitor, &complaint))
        }
    }
}

/// `POST /users/{user}/remove`
pub async fn remove(
    State(app): State<Arc<App>>,
    Params(name): Params<String>,
    Change(sent): Change,
) -> Result<Response, Problem> {
    let name = known(&name)?;
    match app.remove_user(&sent.visitor.actor(), &name).await {
        Ok(()) => Ok(back(&app, &sent.visitor, &format!("User {name} is removed."))),
        Err(problem) => {
            let complaint = Complaint::from(problem, sent.fields, field_of)?;
            Ok(answer(&app, sent.visitor, &complaint))
        }
    }
}
