//! How is a number spread over namespaces? Each question is answered without looking at all of them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// A number of each namespace, and what these are together.
#[derive(Debug, Default)]
pub(super) struct Spread {
    sum: i64,
    by_namespace: HashMap<Arc<str>, i64>,
    /// How many namespaces have which number: of few numbers there can be many, of many only few.
    namespaces: BTreeMap<i64, usize>,
}

impl Spread {
    /// Add to the number of `namespace`.
    pub(super) fn add(&mut self, namespace: &Arc<str>, number: i64) {
        if number == 0 {
            return;
        }
        self.sum += number;
        let before = self.by_namespace.remove(namespace).unwrap_or(0);
        let after = before + number;
        if let Some(namespaces) = self.namespaces.get_mut(&before) {
            *namespaces -= 1;
            if *namespaces == 0 {
                self.namespaces.remove(&before);
            }
        }
        if after != 0 {
            self.by_namespace.insert(Arc::clone(namespace), after);
            *self.namespaces.entry(after).or_default() += 1;
        }
    }

    /// All together.
    pub(super) fn sum(&self) -> i64 {
        self.sum
    }

    /// That of `namespace`.
    pub(super) fn of(&self, namespace: &str) -> i64 {
        self.by_namespace.get(namespace).copied().unwrap_or(0)
    }

    /// All together, where none counts for more than `most`.
    pub(super) fn sum_of_at_most(&self, most: i64) -> i64 {
        let numbers = self.namespaces.iter();
        let capped = numbers.map(|(number, namespaces)| {
            let namespaces = i64::try_from(*namespaces).unwrap_or(i64::MAX);
            (*number).min(most).saturating_mul(namespaces)
        });
        capped.sum()
    }

    /// The largest number of any other than `namespace`.
    pub(super) fn most_beside(&self, namespace: Option<&str>) -> i64 {
        let own = namespace.map(|namespace| self.of(namespace));
        let mut numbers = self.namespaces.iter().rev();
        let most = numbers.find(|(number, namespaces)| own != Some(**number) || **namespaces > 1);
        most.map_or(0, |(number, _)| (*number).max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_follow_what_is_added() {
        let mut spread = Spread::default();
        for (namespace, number) in [("a", 5), ("b", 5), ("c", 9), ("d", 1), ("d", -1), ("c", -2)] {
            spread.add(&namespace.into(), number);
        }
        assert_eq!((spread.sum(), spread.of("c"), spread.of("d")), (17, 7, 0));
        assert_eq!(spread.sum_of_at_most(6), 16);
        assert_eq!(spread.sum_of_at_most(4), 12);
        let beside = |namespace| spread.most_beside(namespace);
        assert_eq!(
            [beside(None), beside(Some("a")), beside(Some("c"))],
            [7, 7, 5]
        );
        for (namespace, number) in [("a", -5), ("b", -5), ("c", -7)] {
            spread.add(&namespace.into(), number);
        }
        assert_eq!((spread.sum(), spread.most_beside(None)), (0, 0));
        assert!(spread.by_namespace.is_empty() && spread.namespaces.is_empty());
    }
}
