//! What is known of the objects of one kind: facts reduced on arrival, found by name and by index.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::Hash,
    sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use jiff::Timestamp;
use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::cluster::{
    index::Index,
    key::{ObjectKey, OwnerKey},
    packed::{Packed, Packer},
};

/// How many deleted objects are remembered, so that a late answer does not bring one back.
const GRAVEYARD: usize = 4096;

/// What decisions need of an object of one kind.
pub trait Facts: Send + Sync + Sized + 'static {
    /// The object as the API server sends it.
    type Object;
    /// The look-ups this kind is found by besides its name.
    type Index: Clone + Eq + Hash + Send + Sync;

    /// Keep what decisions need, let the rest go.
    fn reduce(object: Self::Object) -> Self;

    /// Name and versions.
    fn meta(&self) -> &Meta;

    /// Under which indexes this object is found.
    fn indexes(&self) -> Vec<Self::Index>;

    /// All of it as a text that [`Facts::unpack`] reads. For kinds of which there are many.
    fn pack(&self) -> Option<Vec<u8>> {
        None
    }

    /// What [`Facts::pack`] has made a text of.
    fn unpack(_text: &[u8]) -> Option<Self> {
        None
    }
}

/// The metadata every reduced object keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Namespace and name.
    pub key: ObjectKey,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// `metadata.generation`, 0 where the kind has none.
    pub generation: i64,
    /// `metadata.creationTimestamp`.
    pub created: Option<Timestamp>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// The uid of the controller owner, if any.
    pub controller: Option<String>,
}

impl Meta {
    /// What is kept of `meta`.
    pub fn of(meta: &ObjectMeta) -> Self {
        Self {
            key: ObjectKey::of(meta),
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            generation: meta.generation.unwrap_or_default(),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            deleting: meta.deletion_timestamp.is_some(),
            controller: meta
                .owner_references
                .iter()
                .flatten()
                .find(|owner| owner.controller == Some(true))
                .map(|owner| owner.uid.clone()),
        }
    }

    /// As the owner of others in its namespace.
    pub fn as_owner(&self) -> OwnerKey {
        OwnerKey::new(&self.key.namespace, self.uid.as_str())
    }

    /// Its controller, if any.
    pub fn owner(&self) -> Option<OwnerKey> {
        let uid = self.controller.as_deref()?;
        Some(OwnerKey::new(&self.key.namespace, uid))
    }

    /// How events refer to this object of the given kind.
    pub fn reference(&self, api_version: &str, kind: &str) -> ObjectReference {
        ObjectReference {
            api_version: Some(api_version.to_owned()),
            kind: Some(kind.to_owned()),
            namespace: Some(self.key.namespace.to_string()).filter(|name| !name.is_empty()),
            name: Some(self.key.name.to_string()),
            uid: Some(self.uid.clone()),
            resource_version: Some(self.resource_version.clone()),
            field_path: None,
        }
    }
}

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
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Pet {
        meta: Meta,
        owner: String,
    }

    impl Facts for Pet {
        type Object = (&'static str, &'static str, &'static str, &'static str);
        type Index = String;

        fn reduce((name, uid, version, owner): Self::Object) -> Self {
            Self {
                meta: Meta {
                    key: ObjectKey::new("ns", name),
                    uid: uid.into(),
                    resource_version: version.into(),
                    generation: 1,
                    created: None,
                    deleting: false,
                    controller: None,
                },
                owner: owner.into(),
            }
        }

        fn meta(&self) -> &Meta {
            &self.meta
        }

        fn indexes(&self) -> Vec<String> {
            vec![self.owner.clone()]
        }

        fn pack(&self) -> Option<Vec<u8>> {
            (self.owner != "nobody").then(|| serde_json::to_vec(self).unwrap())
        }

        fn unpack(text: &[u8]) -> Option<Self> {
            serde_json::from_slice(text).ok()
        }
    }

    fn names(cache: &Cache<Pet>, owner: &str) -> Vec<String> {
        cache
            .find(&owner.to_owned())
            .iter()
            .map(|pet| pet.meta.key.name.to_string())
            .collect()
    }

    #[test]
    fn indexes_follow_changes() {
        let cache = Cache::<Pet>::default();
        cache.observe(("a", "1", "10", "ann"));
        cache.observe(("b", "2", "11", "ann"));
        assert_eq!(names(&cache, "ann"), ["a", "b"]);
        cache.observe(("a", "1", "12", "bob"));
        assert_eq!(names(&cache, "ann"), ["b"]);
        assert_eq!(names(&cache, "bob"), ["a"]);
        cache.forget(&ObjectKey::new("ns", "a"), "1");
        assert!(names(&cache, "bob").is_empty());
    }

    #[test]
    fn packed_or_not_all_is_found() {
        let cache = Cache::<Pet>::default();
        cache.observe(("a", "1", "10", "ann"));
        cache.observe(("b", "2", "11", "nobody"));
        let is_packed = |name: &str| {
            let kept = &cache.read().objects[&ObjectKey::new("ns", name)];
            matches!(kept, Kept::Packed(_))
        };
        assert!(is_packed("a") && !is_packed("b"));
        let mut owners = Vec::new();
        cache.for_each(|pet| owners.push(pet.owner.clone()));
        owners.sort();
        assert_eq!(owners, ["ann", "nobody"]);
        let b = cache.get(&ObjectKey::new("ns", "b")).unwrap();
        assert_eq!(b.meta.resource_version, "11");

        cache.observe(("a", "1", "12", "nobody"));
        cache.observe(("b", "2", "13", "ann"));
        assert!(!is_packed("a") && is_packed("b"));
        assert_eq!(names(&cache, "nobody"), ["a"]);
        assert_eq!(names(&cache, "ann"), ["b"]);
        cache.forget(&ObjectKey::new("ns", "b"), "2");
        assert!(names(&cache, "ann").is_empty());
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn older_versions_and_dead_objects_stay_out() {
        let cache = Cache::<Pet>::default();
        cache.observe(("a", "1", "10", "ann"));
        cache.observe(("a", "1", "9", "bob"));
        assert_eq!(names(&cache, "ann"), ["a"]);
        cache.forget(&ObjectKey::new("ns", "a"), "1");
        cache.observe(("a", "1", "11", "ann"));
        assert!(cache.is_empty());
        cache.observe(("a", "2", "8", "ann"));
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn what_left_the_selection_comes_back_in_a_later_version() {
        let cache = Cache::<Pet>::default();
        cache.observe(("a", "1", "10", "ann"));
        cache.leave(&ObjectKey::new("ns", "a"), "1", "11");
        cache.observe(("a", "1", "10", "ann"));
        assert!(cache.is_empty());
        cache.observe(("a", "1", "12", "bob"));
        assert_eq!(names(&cache, "bob"), ["a"]);
        // Once it was really deleted, nothing brings it back.
        cache.forget(&ObjectKey::new("ns", "a"), "1");
        cache.observe(("a", "1", "13", "ann"));
        assert!(cache.is_empty());
    }

    #[test]
    fn a_delete_of_the_predecessor_leaves_the_successor() {
        let cache = Cache::<Pet>::default();
        cache.observe(("a", "2", "20", "ann"));
        cache.forget(&ObjectKey::new("ns", "a"), "1");
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn a_list_counts_more_than_what_was_known_before_it() {
        let cache = Cache::<Pet>::default();
        let version = |name: &str| {
            let pet = cache.get(&ObjectKey::new("ns", name));
            pet.map(|pet| pet.meta.resource_version.clone())
        };
        for pet in [
            ("a", "1", "10", "new"),
            ("b", "2", "11", "new"),
            ("c", "3", "12", "new"),
        ] {
            cache.observe(pet);
        }
        let delete = |name: &str, uid: &str| cache.forget(&ObjectKey::new("ns", name), uid);
        delete("b", "2");
        delete("c", "3");
        // The cluster was restored to what it was before all that; meanwhile there are writes.
        cache.begin_list();
        cache.observe(("d", "4", "20", "own"));
        cache.observe(("e", "5", "21", "own"));
        delete("f", "6");
        let old = |name: &str, uid: &str| {
            let (uid, version) = (Some(uid.to_owned()), Some("5".to_owned()));
            let meta = ObjectMeta {
                namespace: Some("ns".to_owned()),
                name: Some(name.to_owned()),
                uid,
                resource_version: version,
                ..ObjectMeta::default()
            };
            cache.knows_listed(&meta)
        };
        assert!(!old("a", "1") && !old("b", "2"), "they are to be read");
        assert!(
            old("d", "4") && old("f", "6"),
            "the list comes too early for them"
        );
        for pet in [
            ("a", "1", "5", "old"),
            ("b", "2", "5", "old"),
            ("d", "4", "5", "old"),
            ("f", "6", "5", "old"),
        ] {
            cache.list(pet);
        }
        cache.end_list();
        let five = Some("5".to_owned());
        assert_eq!((version("a"), version("b")), (five.clone(), five));
        assert_eq!(version("c"), None);
        assert_eq!(version("d"), Some("20".to_owned()));
        assert_eq!(version("e"), Some("21".to_owned()));
        assert_eq!(version("f"), None);
        // From here on all goes as ever.
        cache.observe(("b", "2", "6", "new"));
        cache.observe(("a", "1", "4", "late"));
        assert_eq!(names(&cache, "new"), ["b"]);
        assert_eq!(names(&cache, "old"), ["a"]);
    }

    #[test]
    fn a_list_drops_what_it_does_not_name_and_tells() {
        let cache = Cache::<Pet>::default();
        let told = Arc::new(Mutex::new(Vec::new()));
        let listener = {
            let told = Arc::clone(&told);
            move |old: Option<&Arc<Pet>>, new: Option<&Arc<Pet>>| {
                let name = |pet: Option<&Arc<Pet>>| pet.map(|pet| pet.meta.key.name.to_string());
                told.lock().unwrap().push((name(old), name(new)));
            }
        };
        assert!(cache.listen(vec![Box::new(listener)]));
        cache.begin_list();
        cache.list(("a", "1", "10", "ann"));
        cache.list(("b", "2", "11", "ann"));
        assert!(!cache.is_synced());
        cache.end_list();
        assert!(cache.is_synced());
        cache.begin_list();
        cache.list(("b", "2", "11", "ann"));
        cache.end_list();
        let a = Some("a".to_owned());
        let b = Some("b".to_owned());
        assert_eq!(
            *told.lock().unwrap(),
            [(None, a.clone()), (None, b), (a, None)]
        );
    }
}
