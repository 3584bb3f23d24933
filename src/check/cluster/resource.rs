//! The resource that is looked at, and the names of what is made from it.

use k8s_openapi::api::core::v1::Pod;
use kube::core::DynamicObject;
use kube::{Api, ResourceExt};

use super::super::report::{failed, listed as in_words};
use super::reading::{Read, Space, listed, unread};
use crate::crd::NoetlMetrics;
use crate::operator::names::{Component, Names};
use crate::operator::warnings;

/// A resource.
pub(super) struct Installation {
    pub(super) space: Space,
    pub(super) resource: NoetlMetrics,
    pub(super) names: Names,
}

impl Installation {
    /// The resource with this name, or the only one.
    pub(super) async fn find(space: Space, name: Option<&str>) -> Read<Self> {
        let kind = kube::core::ApiResource::erase::<NoetlMetrics>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(space.client.clone(), &space.namespace, &kind);
        let object = match name {
            Some(name) => api
                .get_opt(name)
                .await
                .map_err(|e| unread(&e))?
                .ok_or_else(|| failed(format!("namespace {} has no {name}", space.namespace)))?,
            None => only(listed(&api, "").await?, &space.namespace)?,
        };
        let name = object.name_any();
        let resource = object.try_parse().map_err(|e| failed(format!("{name} can't be read: {e}")))?;
        Ok(Self { space, resource, names: Names::of(&name) })
    }

    pub(super) fn resource_name(&self) -> String {
        format!("{} in {}", self.names.instance, self.space.namespace)
    }

    /// The labels of a part's pods and objects, as lists are asked for.
    pub(super) fn labels(&self, part: Component) -> String {
        let labels = self.names.selector(part);
        labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
    }

    /// Pods of a part.
    pub(super) async fn pods(&self, part: Component) -> Read<Vec<Pod>> {
        self.space.list(&self.labels(part)).await
    }

    /// The newest warning about an object, in words to be added to others.
    pub(super) async fn warning(&self, uid: Option<&str>) -> Option<String> {
        warnings::ask(&self.space.api(), uid?).await
    }
}

fn only(mut all: Vec<DynamicObject>, namespace: &str) -> Read<DynamicObject> {
    match (all.pop(), all.as_slice()) {
        (Some(one), []) => Ok(one),
        (Some(one), others) => {
            let names: Vec<_> = others.iter().chain([&one]).map(ResourceExt::name_any).collect();
            Err(failed(format!("there are several, say which one: {}", in_words(&names))))
        }
        (None, _) => Err(failed(format!("namespace {namespace} has no NoetlMetrics"))),
    }
}
