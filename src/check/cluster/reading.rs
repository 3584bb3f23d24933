//! Objects of one namespace. An error is what a check says then: a right that is missing leaves it
//! out, anything else fails it.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ListParams;
use kube::core::{DynamicObject, Selector, SelectorExt};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::super::report::{Outcome, failed, left_out};
use crate::operator::kinds::Kind;

/// What was read, or what the check says instead.
pub(super) type Read<T> = Result<T, Outcome>;

/// A namespace of a cluster.
#[derive(Clone)]
pub(super) struct Space {
    pub(super) client: Client,
    pub(super) namespace: String,
}

impl Space {
    pub(super) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// An object, where it is there.
    pub(super) async fn get<K>(&self, name: &str) -> Read<Option<K>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        self.api::<K>().get_opt(name).await.map_err(|e| unread(&e))
    }

    /// Objects with these labels.
    pub(super) async fn list<K>(&self, labels: &str) -> Read<Vec<K>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        listed(&self.api::<K>(), labels).await
    }

    /// An object of a kind that may be missing.
    pub(super) async fn get_kind(&self, kind: Kind, name: &str) -> Read<Option<DynamicObject>> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace, &kind.resource());
        api.get_opt(name).await.map_err(|e| unread(&e))
    }
}

/// Objects with these labels.
pub(super) async fn listed<K>(api: &Api<K>, labels: &str) -> Read<Vec<K>>
where
    K: Clone + DeserializeOwned + Debug,
{
    Ok(api.list(&ListParams::default().labels(labels)).await.map_err(|e| unread(&e))?.items)
}

/// What a check says of what it could not read.
pub(super) fn unread(error: &kube::Error) -> Outcome {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            left_out(format!("no right to look: {}", status.message))
        }
        error => failed(sentence(error)),
    }
}

/// An error in words.
pub(super) fn sentence(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}

/// Whether a selector matches labels. One that can't be read matches nothing.
pub(super) fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(labels))
}

/// The same of labels that have to be there.
pub(super) fn has_all(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}
