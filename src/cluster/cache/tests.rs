//! Does the cache know what was said last, whoever said it?

use std::sync::Mutex;

use serde::{Deserialize, Serialize};

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
