//! What `/openapi.json` says beyond the operations themselves: how to sign in, and the answers all operations share.

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Content, ObjectBuilder, OpenApi, PathItem, Ref, RefOr, Response, Schema, Type};

/// The name of the security scheme.
const BEARER: &str = "bearer";
/// The name of the other one.
const SIGNATURE: &str = "signature";

/// An error answer (RFC 9457).
fn problem_schema() -> Schema {
    let text = |description| ObjectBuilder::new().schema_type(Type::String).description(Some(description));
    let status = ObjectBuilder::new().schema_type(Type::Integer).description(Some("the HTTP status"));
    let object = ObjectBuilder::new()
        .description(Some("An error answer (RFC 9457)"))
        .property("type", text("stable, like `urn:problem:group-invalid`"))
        .property("status", status)
        .property("title", text("the same for every problem of the type"))
        .property("detail", text("what to change; absent when it is the broker's fault"))
        .required("type")
        .required("status")
        .required("title");
    object.build().into()
}

/// Adds the security scheme, and to each operation the answers of the server around it.
pub fn complete(mut document: OpenApi) -> OpenApi {
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(BEARER, bearer);
    let text =
        "`HMAC-SHA256 <access key>:<signature>`, with X-Mqtt-Date and X-Mqtt-Nonce: docs/api-signature.md";
    let signature = ApiKey::Header(ApiKeyValue::with_description("Authorization", text));
    components.add_security_scheme(SIGNATURE, SecurityScheme::ApiKey(signature));
    components.schemas.insert("Problem".to_owned(), RefOr::T(problem_schema()));
    for item in document.paths.paths.values_mut() {
        let PathItem { get, put, post, delete, .. } = item;
        for (operation, changes) in [(get, false), (put, true), (post, true), (delete, true)] {
            if let Some(operation) = operation {
                complete_operation(operation, changes);
            }
        }
    }
    document
}

fn complete_operation(operation: &mut Operation, changes: bool) {
    let schemes = [BEARER, SIGNATURE].map(|name| SecurityRequirement::new(name, Vec::<String>::new()));
    operation.security = Some(schemes.to_vec());
    let mut shared = vec![
        ("400", "a query key or a body that this operation does not take"),
        ("401", "no token and no signature, or a wrong one"),
        ("403", "signed with an access key that may not do this"),
    ];
    if operation.request_body.is_some() {
        shared.push(("413", "the body is larger than 1 MiB"));
        shared.push(("415", "the body is not application/json"));
        shared.push(("422", "a key that is missing, unknown or of another type"));
    }
    if changes {
        shared.push(("500", "the change could not be stored"));
        shared.push(("503", "the disk of the broker is full"));
    }
    let responses = &mut operation.responses.responses;
    for (status, description) in shared {
        responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(Response::new(description)));
    }
    for (status, response) in responses {
        if let RefOr::T(response) = response
            && (status.starts_with('4') || status.starts_with('5'))
        {
            let content = Content::new(Some(Ref::from_schema_name("Problem")));
            response.content.insert("application/problem+json".to_owned(), RefOr::T(content));
        }
    }
}
