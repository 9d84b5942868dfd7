//! What is kept of an object of which only its metadata counts?

use std::marker::PhantomData;

use kube::core::PartialObjectMeta;

use crate::cluster::{Facts, Meta};

/// That an object of kind `K` stands, in which version, and whether it is being deleted.
#[derive(Clone, Debug)]
pub struct Standing<K> {
    meta: Meta,
    kind: PhantomData<fn() -> K>,
}

impl<K: 'static> Facts for Standing<K> {
    type Object = PartialObjectMeta<K>;
    type Index = ();

    fn reduce(object: Self::Object) -> Self {
        Self {
            meta: Meta::of(&object.metadata),
            kind: PhantomData,
        }
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn indexes(&self) -> Vec<()> {
        Vec::new()
    }
}
