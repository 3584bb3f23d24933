//! The API's description, made from the handlers' own.

use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, KnownFormat, Ref, RefOr, ResponseBuilder, SchemaFormat};

use super::auth::{Access, Right};
use super::routes::ROUTES;
use super::{
    admin, components, export, health, otlp, query, registration, remote_write, report, self_report,
};

/// Metrics of NoETL: reports in, history and exposition out.
///
/// Ids are 64-bit numbers: parse them as such, a double can't hold them. Every error is
/// application/problem+json. Where the server knows its callers, an endpoint needs the right that
/// `x-right` names; reading may be open to everyone.
#[derive(OpenApi)]
#[openapi(
    info(title = "NoETL Metrics", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    paths(
        report::post,
        remote_write::post,
        otlp::post,
        query::get,
        query::exemplars::get,
        export::get,
        components::get,
        self_report::post,
        admin::cleanup,
        admin::create_partitions,
        admin::set_ttl,
        admin::extend_ttl,
        registration::register,
        registration::heartbeat,
        registration::heartbeat_at_root,
        registration::deregister,
        registration::deregister_by_delete,
        registration::list,
        health::livez,
        health::readyz,
        health::problem,
        own_metrics,
        description
    )
)]
struct Api;

/// Metrics of this process itself
#[utoipa::path(get, path = "/metrics", operation_id = "ownMetrics", tag = "health",
    responses((status = 200, description = "Text exposition 0.0.4", body = String, content_type = "text/plain")))]
#[allow(dead_code, reason = "only describes the path")]
fn own_metrics() {}

/// This description
#[utoipa::path(get, path = "/openapi.json", operation_id = "description", tag = "health",
    responses((status = 200, description = "OpenAPI 3.1", body = Object, content_type = "application/json")))]
#[allow(dead_code, reason = "only describes the path")]
fn description() {}

/// The names of the ways to say who calls: by a token, and for readers by a password, which is the token.
const BEARER: &str = "bearer";
const PASSWORD: &str = "password";

/// The description as JSON.
pub fn document() -> String {
    let mut api = Api::openapi();
    for route in ROUTES {
        let path = api.paths.paths.get_mut(route.path);
        let operation = path.and_then(|path| match route.method {
            "GET" => path.get.as_mut(),
            "POST" => path.post.as_mut(),
            _ => path.delete.as_mut(),
        });
        if let (Some(operation), Access::Needs(right)) = (operation, route.access) {
            secure(operation, right);
        }
    }
    let components = api.components.get_or_insert_default();
    for (name, scheme, about) in [
        (BEARER, HttpAuthScheme::Bearer, "A token of the server's file, or of a ServiceAccount"),
        (PASSWORD, HttpAuthScheme::Basic, "Any name, and the token as the password; only to read"),
    ] {
        let scheme = HttpBuilder::new().scheme(scheme).description(Some(about)).build();
        components.security_schemes.insert(name.to_owned(), SecurityScheme::Http(scheme).into());
    }
    let mut text = api.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Says what an operation needs of its caller, and what one without it gets.
fn secure(operation: &mut Operation, right: Right) {
    // A server may know no callers, and then lets everyone.
    let mut ways = vec![SecurityRequirement::default()];
    let names = if right == Right::Read { &[BEARER, PASSWORD][..] } else { &[BEARER] };
    ways.extend(names.iter().map(|name| SecurityRequirement::new(*name, Vec::<String>::new())));
    operation.security = Some(ways);
    let word = [("x-right", serde_json::json!(right.as_str()))];
    operation.extensions.get_or_insert_default().merge(word.into_iter().collect());
    let answers = [
        ("401", "Who calls is not known"),
        ("403", "The caller may not do this"),
        ("503", "Who calls can't be verified now; see Retry-After"),
    ];
    for (status, description) in answers {
        let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ProblemBody"))).build();
        let answer =
            ResponseBuilder::new().description(description).content("application/problem+json", body).build();
        operation.responses.responses.entry(status.to_owned()).or_insert(answer.into());
    }
}

/// A 64-bit id: a number, or the same as a string.
pub(super) fn id_schema() -> RefOr<Schema> {
    let number = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .build();
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^-?[0-9]{1,19}$")).build();
    OneOfBuilder::new().item(number).item(text).into()
}

/// The id of an execution: a string, or a number; null is none.
pub(super) fn execution_id_schema() -> RefOr<Schema> {
    let kinds = SchemaType::Array(vec![Type::String, Type::Integer, Type::Null]);
    ObjectBuilder::new()
        .schema_type(kinds)
        .max_length(Some(116))
        .description(Some(
            "Id of the execution that the samples are of, as a string or a number: no label, but what they \
             are found by. Each sample without exemplars gets one that says so.",
        ))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_and_every_description_has_a_route() {
        let json: serde_json::Value = serde_json::from_str(&document()).unwrap();
        let mut described: Vec<(String, String)> = Vec::new();
        for (path, methods) in json["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                described.push((method.to_uppercase(), path.clone()));
            }
        }
        let mut routes: Vec<(String, String)> =
            ROUTES.iter().map(|r| (r.method.into(), r.path.into())).collect();
        described.sort();
        routes.sort();
        assert_eq!(described, routes);
    }

    fn needed(access: Access) -> &'static str {
        match access {
            Access::Open => "none",
            Access::Needs(right) => right.as_str(),
        }
    }

    #[test]
    fn the_description_says_what_each_route_needs() {
        let json: serde_json::Value = serde_json::from_str(&document()).unwrap();
        for route in ROUTES {
            let operation = &json["paths"][route.path][route.method.to_lowercase()];
            let right = operation["x-right"].as_str().unwrap_or("none");
            assert_eq!(right, needed(route.access), "{} {}", route.method, route.path);
            let way = |name: &str| serde_json::json!({name: []});
            let ways = match right {
                "none" => serde_json::Value::Null,
                "read" => serde_json::json!([{}, way(BEARER), way(PASSWORD)]),
                _ => serde_json::json!([{}, way(BEARER)]),
            };
            assert_eq!(operation["security"], ways, "{}", route.path);
            let refused = operation["responses"].get("401").is_some();
            assert_eq!(refused, right != "none", "{}", route.path);
        }
    }

    #[test]
    fn the_guide_has_the_table_of_routes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/authentication.md");
        let text = std::fs::read_to_string(path).unwrap();
        let mut written: Vec<String> = Vec::new();
        for line in text.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            if let [endpoint, right, _] = cells[..] {
                written.push(format!("{} {right}", endpoint.trim_matches('`')));
            }
        }
        let routes = ROUTES.iter().map(|r| format!("{} {} {}", r.method, r.path, needed(r.access)));
        let mut expected: Vec<String> = routes.collect();
        expected.push("GET / read".into());
        written.sort();
        expected.sort();
        assert_eq!(written, expected);
    }
}
