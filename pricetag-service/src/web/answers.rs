//! What every operation may answer besides what it promises: Problems, written into the OpenAPI document.

use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};

/// The shape of `service_kit::problem::Problem` (RFC 9457).
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "it describes what another crate serialises")]
pub(super) struct ProblemShape {
    /// Stable: `urn:problem:tag-not-found`.
    r#type: String,
    /// The HTTP status.
    status: u16,
    /// The same for every problem of the kind.
    title: String,
    /// What to change.
    detail: Option<String>,
}

const BAD_REQUEST: (&str, &str) = ("400", "Path, query or body cannot be read, or has an unknown field");
const UNAUTHORIZED: (&str, &str) = ("401", "No token, or a wrong one");
const NOT_FOUND: (&str, &str) = ("404", "What the path or the query names does not exist");
const CONFLICT: (&str, &str) = ("409", "It cannot be done as things stand; the detail says why");
const UNPROCESSABLE: (&str, &str) = ("422", "A value is not allowed; the detail says what is");
const UNAVAILABLE: (&str, &str) = ("503", "It could not be stored, so nothing changed; try again");

/// Adds to every operation the Problems it may answer with.
pub(super) fn add_problems(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        let changing = [&mut item.post, &mut item.put, &mut item.delete];
        for operation in changing.into_iter().flatten() {
            let has_body = operation.request_body.is_some();
            add(operation, &[BAD_REQUEST, UNAUTHORIZED, NOT_FOUND, CONFLICT, UNAVAILABLE]);
            if has_body {
                add(operation, &[UNPROCESSABLE]);
            }
        }
        if let Some(operation) = &mut item.get {
            let parameters = operation.parameters.as_deref().unwrap_or_default();
            let has = |place| {
                parameters.iter().any(|parameter| match parameter {
                    RefOr::T(parameter) => parameter.parameter_in == place,
                    RefOr::Ref(_) => false,
                })
            };
            let (has_query, has_path) = (has(ParameterIn::Query), has(ParameterIn::Path));
            if has_query {
                add(operation, &[BAD_REQUEST, NOT_FOUND, UNPROCESSABLE]);
            }
            if has_path {
                add(operation, &[BAD_REQUEST, NOT_FOUND]);
            }
        }
    }
}

fn add(operation: &mut Operation, problems: &[(&str, &str)]) {
    for (status, description) in problems {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response = ResponseBuilder::new()
            .description(*description)
            .content("application/problem+json", content)
            .build();
        operation.responses.responses.insert((*status).to_owned(), response.into());
    }
}
