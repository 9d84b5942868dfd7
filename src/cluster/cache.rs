//! What is known of the objects of one kind: facts reduced on arrival, found by name and by index.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::sync::watch;

use crate::cluster::{
    facts::{Facts, Meta},
    index::Index,
    key::ObjectKey,
    packed::{Packed, Packer},
};

/// How many deleted objects are remembered, so that a late answer does not bring one back.
const GRAVEYARD: usize = 4096;

/// A change of one object: what was known before and what is known now.
pub type Listener<F> = Box<dyn Fn(Option<&Arc<F>>, Option<&Arc<F>>) + Send + Sync>;

/// The objects of one kind. Filled by a watch and by the answers to our own writes.
pub struct Cache<F: Facts> {
    state: RwLock<State<F>>,
    listeners: OnceLock<Vec<Listener<F>>>,
    synced: watch::Sender<bool>,
}

struct State<F: Facts> {
    objects: HashMap<ObjectKey, Kept<F>>,
    packer: Packer<F>,
    indexes: Index,
    /// The namespaces that objects are in: the names of all objects share these.
    namespaces: HashSet<Arc<str>>,
    /// The uids of objects that are gone, and the version in which they went, if it is known.
    buried: HashMap<String, Option<String>>,
    burials: VecDeque<String>,
    /// The list that is under way.
    listing: Option<Listing>,
}

/// A list that is under way. It says what stood at a moment after it began: nothing that was known
/// before counts against it, however new it was said to be. The cluster may have been restored.
#[derive(Default)]
struct Listing {
    /// What it has named so far, and what was written meanwhile.
    named: HashSet<ObjectKey>,
    /// What was written since it began, which it may come too early for.
    written: HashSet<ObjectKey>,
    /// The uids of what was deleted since then.
    deleted: HashSet<String>,
}

/// Facts as they are, or packed.
enum Kept<F> {
    Open(Arc<F>),
    Packed(Packed),
}

impl<F: Facts> Default for Cache<F> {
    fn default() -> Self {
        Self {
            state: RwLock::new(State {
                objects: HashMap::new(),
                packer: Packer::default(),
                indexes: Index::default(),
                namespaces: HashSet::new(),
                buried: HashMap::new(),
                burials: VecDeque::new(),
                listing: None,
            }),
            listeners: OnceLock::new(),
            synced: watch::Sender::new(false),
        }
    }
}

impl<F: Facts> Cache<F> {
    /// Tell `listeners` of every change. To be called once, before the watch starts; a second
    /// call is refused with `false`.
    pub fn listen(&self, listeners: Vec<Listener<F>>) -> bool {
        self.listeners.set(listeners).is_ok()
    }

    /// The object of that name.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<F>> {
        self.read().get(key)
    }

    /// The objects under `index`, in order of their names.
    pub fn find(&self, index: &F::Index) -> Vec<Arc<F>> {
        let state = self.read();
        let keys = state.indexes.find(index);
        keys.filter_map(|key| state.get(key))
            .filter(|facts| facts.indexes().contains(index))
            .collect()
    }

    /// The names of the objects under `index`, in order; by a rare chance, others as well. For those
    /// who only look at more objects then.
    pub fn find_keys(&self, index: &F::Index) -> Vec<ObjectKey> {
        self.read().indexes.find(index).cloned().collect()
    }

    /// How many objects are under `index`; by a rare chance, a few more.
    pub fn count(&self, index: &F::Index) -> usize {
        self.read().indexes.count(index)
    }

    /// Call `visit` for every object, in no order. For reports; a reconcile looks up by index.
    pub fn for_each(&self, mut visit: impl FnMut(&F)) {
        // One by one: many take a while, and others wait to write.
        let keys = self.keys();
        for facts in keys.iter().filter_map(|key| self.get(key)) {
            visit(&facts);
        }
    }

    /// The names of all objects, in no order. For what is done once; a reconcile looks up by index.
    pub fn keys(&self) -> Vec<ObjectKey> {
        self.read().objects.keys().cloned().collect()
    }

    /// How many objects are known.
    pub fn len(&self) -> usize {
        self.read().objects.len()
    }

    /// Whether no object is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the first list is complete.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Wait until the first list is complete.
    pub async fn synced(&self) {
        // The sender lives in self, so the only way out is the value.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Take in an object: as it changes, or the answer to our own write. Older versions and
    /// objects known to be deleted are passed over.
    pub fn observe(&self, object: F::Object) {
        self.insert(&Arc::new(F::reduce(object)));
    }

    /// Whether the watch brings an object in a version that is known, or was overtaken: most often
    /// it is what we have written ourselves. Then it need not be read.
    pub fn knows(&self, meta: &ObjectMeta) -> bool {
        self.write().knows(meta)
    }

    /// Take in an object as a list names it. Only what was written or deleted since that began counts
    /// more.
    pub fn list(&self, object: F::Object) {
        let new = Arc::new(F::reduce(object));
        let old = {
            let mut state = self.write();
            let Meta {
                key,
                uid,
                resource_version,
                ..
            } = new.meta();
            if state.knows_listed(key, uid, resource_version) {
                return;
            }
            state.buried.remove(uid);
            let old = state.remove(key);
            state.add(&new);
            old
        };
        self.tell(old.as_ref(), Some(&new));
    }

    /// Whether a list names an object as it is known, or comes too early for it. Then it need not be
    /// read.
    pub fn knows_listed(&self, meta: &ObjectMeta) -> bool {
        let (Some(uid), Some(version)) = (&meta.uid, &meta.resource_version) else {
            return false;
        };
        self.write()
            .knows_listed(&ObjectKey::of(meta), uid, version)
    }

    /// The object is gone: the answer to our own delete.
    pub fn forget(&self, key: &ObjectKey, uid: &str) {
        self.remove(key, uid, None);
    }

    /// The watch says that the object is gone, in this version. It may only have left the
    /// selection of the watch: then it can come back, in a later version.
    pub fn leave(&self, key: &ObjectKey, uid: &str, version: &str) {
        self.remove(key, uid, Some(version));
    }

    fn remove(&self, key: &ObjectKey, uid: &str, version: Option<&str>) {
        let removed = {
            let mut state = self.write();
            state.bury(uid, version);
            if let Some(listing) = &mut state.listing {
                listing.deleted.insert(uid.to_owned());
            }
            match state.get(key) {
                Some(known) if known.meta().uid == uid => state.remove(key),
                _ => None,
            }
        };
        if let Some(old) = removed {
            self.tell(Some(&old), None);
        }
    }

    /// The object of that name cannot be read any more, and may come back.
    pub fn forget_version(&self, key: &ObjectKey) {
        let removed = self.write().remove(key);
        if let Some(old) = removed {
            self.tell(Some(&old), None);
        }
    }

    /// A list begins: what it does not name by [`Cache::end_list`] is gone.
    pub fn begin_list(&self) {
        self.write().listing = Some(Listing::default());
    }

    /// The list is complete.
    pub fn end_list(&self) {
        let removed: Vec<Arc<F>> = {
            let mut state = self.write();
            let listed = state.listing.take().unwrap_or_default().named;
            let gone: Vec<ObjectKey> = state
                .objects
                .keys()
                .filter(|key| !listed.contains(*key))
                .cloned()
                .collect();
            let removed = gone.iter().filter_map(|key| state.remove(key)).collect();
            let shared = |namespace: &Arc<str>| Arc::strong_count(namespace) > 1;
            state.namespaces.retain(shared);
            removed
        };
        for old in &removed {
            self.tell(Some(old), None);
        }
        self.synced.send_replace(true);
    }

    fn insert(&self, new: &Arc<F>) {
        let old = {
            let mut state = self.write();
            let meta = new.meta();
            if let Some(listing) = &mut state.listing {
                listing.named.insert(meta.key.clone());
                listing.written.insert(meta.key.clone());
            }
            match state.buried.get(&meta.uid) {
                Some(Some(left)) if is_newer(&meta.resource_version, left) => {}
                Some(_) => return,
                None => {}
            }
            if let Some(known) = state.get(&meta.key)
                && known.meta().uid == meta.uid
                && !is_newer(&meta.resource_version, &known.meta().resource_version)
            {
                return;
            }
            let old = state.remove(&meta.key);
            state.add(new);
            old
        };
        self.tell(old.as_ref(), Some(new));
    }

    fn tell(&self, old: Option<&Arc<F>>, new: Option<&Arc<F>>) {
        for listener in self.listeners.get().into_iter().flatten() {
            listener(old, new);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State<F>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State<F>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Facts> State<F> {
    fn get(&self, key: &ObjectKey) -> Option<Arc<F>> {
        match self.objects.get(key)? {
            Kept::Open(facts) => Some(Arc::clone(facts)),
            Kept::Packed(packed) => self.packer.unpack(packed).map(Arc::new),
        }
    }

    fn add(&mut self, new: &Arc<F>) {
        let key = self.shared(&new.meta().key);
        for index in new.indexes() {
            self.indexes.add(&index, key.clone());
        }
        let kept = match self.packer.pack(new) {
            Some(packed) => Kept::Packed(packed),
            None => Kept::Open(Arc::clone(new)),
        };
        self.objects.insert(key, kept);
    }

    fn remove(&mut self, key: &ObjectKey) -> Option<Arc<F>> {
        let old = self.get(key)?;
        self.objects.remove(key);
        for index in old.indexes() {
            self.indexes.remove(&index, key);
        }
        Some(old)
    }

    /// `key`, of which only the name takes memory.
    fn shared(&mut self, key: &ObjectKey) -> ObjectKey {
        let namespace = match self.namespaces.get(&key.namespace) {
            Some(known) => Arc::clone(known),
            None => {
                self.namespaces.insert(Arc::clone(&key.namespace));
                Arc::clone(&key.namespace)
            }
        };
        ObjectKey {
            namespace,
            name: Arc::clone(&key.name),
        }
    }

    /// Whether an object is known in this version or a later one.
    fn knows(&mut self, meta: &ObjectMeta) -> bool {
        let key = ObjectKey::of(meta);
        let (Some(facts), Some(version)) = (self.get(&key), &meta.resource_version) else {
            return false;
        };
        let known = facts.meta();
        if Some(&known.uid) != meta.uid.as_ref() || is_newer(version, &known.resource_version) {
            return false;
        }
        true
    }

    /// Whether the list that is under way has nothing new to say of this object.
    fn knows_listed(&mut self, key: &ObjectKey, uid: &str, version: &str) -> bool {
        let known = self.get(key);
        let Some(listing) = &mut self.listing else {
            return false;
        };
        if listing.deleted.contains(uid) {
            return true;
        }
        listing.named.insert(key.clone());
        let Some(known) = known.as_ref().map(|known| known.meta()) else {
            return false;
        };
        if listing.written.contains(key) {
            return !is_newer(version, &known.resource_version);
        }
        known.uid == uid && known.resource_version == version
    }

    fn bury(&mut self, uid: &str, version: Option<&str>) {
        if uid.is_empty() {
            return;
        }
        let version = version.map(ToOwned::to_owned);
        if self.buried.insert(uid.to_owned(), version).is_some() {
            return;
        }
        self.burials.push_back(uid.to_owned());
        if self.burials.len() > GRAVEYARD
            && let Some(oldest) = self.burials.pop_front()
        {
            self.buried.remove(&oldest);
        }
    }
}

/// Whether resource version `new` comes after `known`: a number since the beginning, and by the
/// API's word since Kubernetes 1.35. What is not a number is taken as newer.
fn is_newer(new: &str, known: &str) -> bool {
    match (new.parse::<u64>(), known.parse::<u64>()) {
        (Ok(new), Ok(known)) => new > known,
        _ => new != known,
    }
}

#[cfg(test)]
mod tests;
