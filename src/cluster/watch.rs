//! How a cache is filled: a watch that no single bad object can stop.

use std::{fmt::Debug, sync::Arc};

use futures::{Stream, StreamExt};
use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Resource,
    core::{PartialObjectMeta, error_boundary::InvalidObject},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tracing::{debug, warn};

use crate::cluster::{
    cache::{Cache, Facts, Meta},
    key::ObjectKey,
    unread::Unread,
};

/// Objects per page of a list: bounds the memory of a start, at the price of more requests.
const PAGE: u32 = 100;

/// Which objects of an API are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Select {
    /// All.
    All,
    /// Those with these labels, as in a label selector.
    Labels(String),
    /// The one of that name, for rights that are given by name.
    Name(String),
}

/// What is told about an object that does not decode: how events refer to it, and why.
pub type OnInvalid = Arc<dyn Fn(ObjectReference, &str) + Send + Sync>;

/// Watch the objects of `api` into `cache`, for ever. Failures are retried with back-off.
///
/// An object that does not decode is reported to `on_invalid` and passed over.
pub async fn objects<K, F>(
    api: Api<Unread<K>>,
    select: Select,
    cache: Arc<Cache<F>>,
    on_invalid: OnInvalid,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    F: Facts<Object = K>,
{
    fill(
        watcher(api, config(select)),
        cache,
        |unread: Unread<K>| unread.read(),
        on_invalid,
    )
    .await;
}

/// Watch only the metadata of the objects of `api` into `cache`, for ever.
pub async fn metadata<K, F>(api: Api<PartialObjectMeta<K>>, select: Select, cache: Arc<Cache<F>>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + 'static,
    F: Facts<Object = PartialObjectMeta<K>>,
{
    // Metadata that does not decode fails the whole list: nothing to report one by one.
    fill(watcher(api, config(select)), cache, Ok, Arc::new(|_, _| ())).await;
}

fn config(select: Select) -> watcher::Config {
    let config = watcher::Config::default().page_size(PAGE);
    match select {
        Select::All => config,
        Select::Labels(labels) => config.labels(&labels),
        Select::Name(name) => config.fields(&format!("metadata.name={name}")),
    }
}

async fn fill<O, F: Facts>(
    events: impl Stream<Item = watcher::Result<Event<O>>> + Send,
    cache: Arc<Cache<F>>,
    read: impl Fn(O) -> Result<F::Object, Box<InvalidObject>> + Send,
    on_invalid: OnInvalid,
) where
    O: Resource<DynamicType = ()> + Send,
{
    let kind = O::kind(&());
    let kind = kind.as_ref();
    let mut events = std::pin::pin!(events.default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => cache.begin_list(),
            Ok(Event::InitApply(object) | Event::Apply(object)) => {
                if cache.knows(object.meta()) {
                    continue;
                }
                match read(object) {
                    Ok(object) => cache.observe(object),
                    Err(invalid) => {
                        let InvalidObject { error, metadata } = *invalid;
                        let object = ObjectKey::of(&metadata);
                        warn!(kind, %object, error, "object does not decode and is passed over");
                        // What was known of it is no longer what stands in the cluster.
                        cache.forget_version(&object);
                        let version = O::api_version(&());
                        let reference = Meta::of(&metadata).reference(&version, kind);
                        on_invalid(reference, &error);
                    }
                }
            }
            Ok(Event::Delete(object)) => forget(&cache, object.meta()),
            Ok(Event::InitDone) => {
                debug!(kind, objects = cache.len(), "list complete");
                cache.end_list();
            }
            Err(error) => warn!(kind, %error, "watch failed, trying again"),
        }
    }
}

fn forget<F: Facts>(cache: &Cache<F>, meta: &ObjectMeta) {
    cache.leave(
        &ObjectKey::of(meta),
        meta.uid.as_deref().unwrap_or_default(),
        meta.resource_version.as_deref().unwrap_or_default(),
    );
}
