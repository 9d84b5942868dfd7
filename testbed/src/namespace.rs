//! Where does a test live?

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, Result};
use k8s_openapi::{NamespaceResourceScope, api::core::v1};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    apply::{apply, documents},
    follow::{self, State},
};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A namespace of its own. Deleted when dropped; nobody waits for that.
pub struct Namespace {
    name: String,
    client: Client,
}

impl Namespace {
    /// Makes one whose name begins with `name`.
    pub(crate) async fn create(client: &Client, name: &str) -> Result<Self> {
        let name = format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let namespaces: Api<v1::Namespace> = Api::all(client.clone());
        let object = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
        namespaces
            .create(&PostParams::default(), &object)
            .await
            .with_context(|| format!("creating namespace {name}"))?;
        Ok(Self {
            name,
            client: client.clone(),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The objects of one kind in it.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Applies a YAML text; objects that name no namespace go into this one.
    pub async fn apply(&self, yaml: &str) -> Result<()> {
        self.apply_all(&documents(yaml)?).await
    }

    /// Applies objects; those that name no namespace go into this one.
    pub async fn apply_all(&self, objects: &[Value]) -> Result<()> {
        apply(&self.client, Some(&self.name), objects).await
    }

    /// Waits until a Certificate in it is Ready.
    pub async fn ready(&self, certificate: &str, within: Duration) -> Result<State> {
        follow::wait(&self.client, &self.name, certificate, within, |state| {
            state.ready
        })
        .await
    }

    /// Waits until the Ready condition of a Certificate in it says something like `text`.
    pub async fn says(&self, certificate: &str, text: &str, within: Duration) -> Result<State> {
        let wanted = |state: &State| state.message.contains(text);
        follow::wait(&self.client, &self.name, certificate, within, wanted)
            .await
            .with_context(|| format!("waiting for {text:?}"))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Without a runtime the whole test bed is about to go.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let namespaces: Api<v1::Namespace> = Api::all(self.client.clone());
            let name = self.name.clone();
            runtime.spawn(async move {
                let _ = namespaces.delete(&name, &DeleteParams::background()).await;
            });
        }
    }
}
