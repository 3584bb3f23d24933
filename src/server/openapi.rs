//! The API's description, made from the handlers' own.

use utoipa::OpenApi;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};

use super::{admin, components, export, health, query, registration, remote_write, report, self_report};

/// Metrics of NoETL: reports in, history and exposition out.
///
/// Ids are 64-bit numbers: parse them as such, a double can't hold them. Every error is
/// application/problem+json.
#[derive(OpenApi)]
#[openapi(
    info(title = "NoETL Metrics", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    paths(
        report::post,
        remote_write::post,
        query::get,
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

/// The description as JSON.
pub fn document() -> String {
    let mut text = Api::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
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

#[cfg(test)]
mod tests {
    use super::super::routes::ROUTES;
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
}
