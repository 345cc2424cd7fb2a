//! The description of the API: what all operations have in common.

use utoipa::openapi::content::Content;
use utoipa::openapi::response::Response;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Info, OpenApi, Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// An error answer (RFC 9457); the same as `service_kit::problem::Problem`, for the description.
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "describes the JSON of another crate's type")]
struct ProblemBody {
    /// Stable: `urn:problem:call-not-found`.
    r#type: String,
    /// The HTTP status.
    status: u16,
    /// The same for every problem of the type.
    title: String,
    /// What to change.
    detail: Option<String>,
}

/// Titles the description, says that every error answer is a problem, and names the token.
pub fn complete(mut api: OpenApi) -> OpenApi {
    let mut info = Info::new("rtc-manager", env!("CARGO_PKG_VERSION"));
    info.description =
        Some("Registers phones, sets calls up and ends them, and keeps a record of each.".to_owned());
    api.info = info;
    for item in api.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.put, &mut item.post].into_iter().flatten() {
            let answers = &mut operation.responses.responses;
            let broken = Response::new("the fault is not the client's; the log of the program says more");
            answers.insert("500".to_owned(), RefOr::T(broken));
            for (status, answer) in answers {
                if let (false, RefOr::T(answer)) = (status.starts_with(['2', '3']), answer) {
                    let problem = Content::new(Some(Ref::from_schema_name("Problem")));
                    answer.content.insert("application/problem+json".to_owned(), RefOr::T(problem));
                }
            }
        }
    }
    let components = api.components.get_or_insert_default();
    components.schemas.insert("Problem".to_owned(), ProblemBody::schema());
    components.add_security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    api
}
