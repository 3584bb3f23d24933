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

/// Where clients find it.
pub(in crate::operator) fn url(checked: &Checked) -> String {
    let scheme = scheme(checked);
    format!("{scheme}://{}:{PORT}", host(checked))
}

/// Its name in the cluster.
pub(super) fn host(checked: &Checked) -> String {
    format!("{}.{}.svc", checked.names.server, checked.namespace)
}

/// What servers speak.
pub(in crate::operator) fn scheme(checked: &Checked) -> &'static str {
    if checked.spec.server.tls.is_some() { "https" } else { "http" }
}
