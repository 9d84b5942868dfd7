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
    cache::Cache,
    facts::{Facts, Meta},
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
    some_objects(api, select, |_| true, cache, on_invalid).await;
}

/// The same, for those objects that `keep` wants: of the others, which no selector tells apart,
/// nothing is kept. What `keep` says of an object must never change.
pub async fn some_objects<K, F>(
    api: Api<Unread<K>>,
    select: Select,
    keep: fn(&K) -> bool,
    cache: Arc<Cache<F>>,
    on_invalid: OnInvalid,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    F: Facts<Object = K>,
{
    let read = move |unread: Unread<K>| unread.read().map(|object| keep(&object).then_some(object));
    fill(watcher(api, config(select)), cache, read, on_invalid).await;
}

/// Watch only the metadata of the objects of `api` into `cache`, for ever.
pub async fn metadata<K, F>(api: Api<PartialObjectMeta<K>>, select: Select, cache: Arc<Cache<F>>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + 'static,
    F: Facts<Object = PartialObjectMeta<K>>,
{
    // Metadata that does not decode fails the whole list: nothing to report one by one.
    let read = |object| Ok(Some(object));
    fill(
        watcher(api, config(select)),
        cache,
        read,
        Arc::new(|_, _| ()),
    )
    .await;
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
    read: impl Fn(O) -> Result<Option<F::Object>, Box<InvalidObject>> + Send,
    on_invalid: OnInvalid,
) where
    O: Resource<DynamicType = ()> + Send,
{
    let kind = O::kind(&());
    let kind = kind.as_ref();
    let read_or_tell = |object| match read(object) {
        Ok(wanted) => wanted,
        Err(invalid) => {
            let InvalidObject { error, metadata } = *invalid;
            let object = ObjectKey::of(&metadata);
            warn!(kind, %object, error, "object does not decode and is passed over");
            // What was known of it is no longer what stands in the cluster.
            cache.forget_version(&object);
            let version = O::api_version(&());
            on_invalid(Meta::of(&metadata).reference(&version, kind), &error);
            None
        }
    };
    let mut events = std::pin::pin!(events.default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => cache.begin_list(),
            Ok(Event::InitApply(object)) => {
                if !cache.knows_listed(object.meta())
                    && let Some(object) = read_or_tell(object)
                {
                    cache.list(object);
                }
            }
            Ok(Event::Apply(object)) => {
                if !cache.knows(object.meta())
                    && let Some(object) = read_or_tell(object)
                {
                    cache.observe(object);
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

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use http::{Request, Response};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{Client, client::Body};
    use serde_json::json;
    use tokio::time::timeout;
    use tower::service_fn;

    use super::*;

    struct Known(Meta);

    impl Facts for Known {
        type Object = ConfigMap;
        type Index = ();

        fn reduce(object: ConfigMap) -> Self {
            Self(Meta::of(&object.metadata))
        }

        fn meta(&self) -> &Meta {
            &self.0
        }

        fn indexes(&self) -> Vec<()> {
            Vec::new()
        }
    }

    /// An API server with two objects to list, then one that changes and one that goes.
    async fn answer(request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let object = |name: &str, version: &str| {
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": name, "uid": name, "resourceVersion": version},
            })
        };
        let query = request.uri().query().unwrap_or_default();
        let body = if query.contains("watch=true") {
            if query.contains("resourceVersion=3") {
                // Nothing happens any more.
                std::future::pending::<()>().await;
            }
            // In this order, as the API server has it.
            let change =
                |kind: &str, object| format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n");
            let changes = [
                change("ADDED", object("theirs-3", "3")),
                change("DELETED", object("theirs-1", "3")),
                change("ADDED", object("ours-2", "3")),
            ];
            changes.concat()
        } else {
            json!({
                "apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "2"},
                "items": [object("ours-1", "1"), object("theirs-1", "2")],
            })
            .to_string()
        };
        Ok(Response::new(Body::from(body.into_bytes())))
    }

    #[tokio::test]
    async fn what_is_not_wanted_is_not_kept() {
        let client = Client::new(service_fn(answer), "default");
        let cache = Arc::new(Cache::<Known>::default());
        let told = Arc::<std::sync::Mutex<Vec<String>>>::default();
        let (heard, done) = (Arc::clone(&told), Arc::new(tokio::sync::Notify::new()));
        let notify = Arc::clone(&done);
        cache.listen(vec![Box::new(move |old, new| {
            let name = old.or(new).map(|known| known.0.key.name.to_string());
            heard.lock().unwrap().extend(name.clone());
            if name.as_deref() == Some("ours-2") {
                notify.notify_one();
            }
        })]);
        let ours = |object: &ConfigMap| {
            let name = object.metadata.name.as_deref();
            name.is_some_and(|name| name.starts_with("ours"))
        };
        let watching = tokio::spawn(some_objects(
            Api::all(client),
            Select::All,
            ours,
            Arc::clone(&cache),
            Arc::new(|_, _| ()),
        ));
        timeout(Duration::from_secs(60), done.notified())
            .await
            .unwrap();
        watching.abort();
        assert_eq!(*told.lock().unwrap(), ["ours-1", "ours-2"]);
        assert_eq!(cache.len(), 2);
        assert!(cache.is_synced());
    }
}
