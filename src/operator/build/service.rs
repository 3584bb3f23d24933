//! The servers' Service: the address to report to and to query.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{PORT, PORT_NAME, metadata};
use crate::operator::names::Component;
use crate::operator::validate::Checked;

/// The Service.
pub(super) fn service(checked: &Checked) -> Service {
    Service {
        metadata: metadata(checked, &checked.names.server, Component::Server),
        spec: Some(ServiceSpec {
            selector: Some(checked.names.selector(Component::Server)),
            ports: Some(vec![ServicePort {
                name: Some(PORT_NAME.to_owned()),
                port: PORT,
                protocol: Some("TCP".to_owned()),
                target_port: Some(IntOrString::String(PORT_NAME.to_owned())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// Where the installation's own clients find it.
pub(super) fn url(checked: &Checked) -> String {
    url_of(&checked.names.server, &checked.namespace)
}

/// The address of the Service `name` in `namespace`.
pub(in crate::operator) fn url_of(name: &str, namespace: &str) -> String {
    format!("http://{name}.{namespace}.svc:{PORT}")
}
