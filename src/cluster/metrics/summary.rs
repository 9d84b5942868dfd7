//! How long did something take, as quantiles: the summary type that the prometheus crate lacks.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus::{
    core::{Collector, Desc},
    proto::{LabelPair, Metric, MetricFamily, MetricType, Quantile, Summary},
};
use tokio::time::Instant;

const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// Observations that quantiles are computed from, per set of label values.
const WINDOW: usize = 256;

/// Observations older than that no longer count for quantiles.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Sets of label values that are kept; what comes beyond is not observed.
const MAX_SETS: usize = 1024;

/// A summary per set of label values; clones observe together.
#[derive(Clone)]
pub(super) struct SummaryVec {
    desc: Desc,
    sets: Arc<Mutex<HashMap<Vec<String>, Observed>>>,
}

#[derive(Default)]
struct Observed {
    count: u64,
    sum: f64,
    last: VecDeque<(Instant, f64)>,
}

impl SummaryVec {
    /// The summary `name` by `labels`.
    pub(super) fn new(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<Self> {
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        let desc = Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())?;
        Ok(Self {
            desc,
            sets: Arc::default(),
        })
    }

    /// It took that long with these label values, in the order of the labels.
    pub(super) fn observe(&self, values: &[&str], took: Duration) {
        let values: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        if sets.len() >= MAX_SETS && !sets.contains_key(&values) {
            return;
        }
        sets.entry(values)
            .or_default()
            .observe(took, Instant::now());
    }
}

impl Observed {
    fn observe(&mut self, took: Duration, now: Instant) {
        let seconds = took.as_secs_f64();
        self.count += 1;
        self.sum += seconds;
        if self.last.len() == WINDOW {
            self.last.pop_front();
        }
        self.last.push_back((now, seconds));
    }

    fn summary(&self, now: Instant) -> Summary {
        let recent = |&&(at, _): &&(Instant, f64)| now.saturating_duration_since(at) <= MAX_AGE;
        let mut sorted: Vec<f64> = self
            .last
            .iter()
            .filter(recent)
            .map(|&(_, value)| value)
            .collect();
        sorted.sort_by(f64::total_cmp);
        let mut summary = Summary::default();
        summary.set_sample_count(self.count);
        summary.set_sample_sum(self.sum);
        summary.set_quantile(QUANTILES.map(|quantile| at(&sorted, quantile)).to_vec());
        summary
    }
}

/// The value below or at which the share `quantile` of `sorted` lies; NaN of nothing.
fn at(sorted: &[f64], quantile: f64) -> Quantile {
    let rank = (sorted.len() as f64 * quantile).ceil() as usize;
    let value = sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN);
    let mut at = Quantile::default();
    at.set_quantile(quantile);
    at.set_value(value);
    at
}

impl Collector for SummaryVec {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let now = Instant::now();
        let sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics = sets.iter().map(|(values, observed)| {
            let pairs = self.desc.variable_labels.iter().zip(values);
            let labels = pairs.map(|(name, value)| {
                let mut label = LabelPair::default();
                label.set_name(name.clone());
                label.set_value(value.clone());
                label
            });
            let mut metric = Metric::from_label(labels.collect());
            metric.set_summary(observed.summary(now));
            metric
        });
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(MetricType::SUMMARY);
        family.set_metric(metrics.collect());
        vec![family]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantiles(observed: &Observed, now: Instant) -> Vec<f64> {
        let summary = observed.summary(now);
        summary.get_quantile().iter().map(Quantile::value).collect()
    }

    #[test]
    fn quantiles_are_of_the_last_observations() {
        let now = Instant::now();
        let mut observed = Observed::default();
        assert!(quantiles(&observed, now).iter().all(|value| value.is_nan()));
        for n in 1..=100 {
            observed.observe(Duration::from_secs(n), now);
        }
        assert_eq!(quantiles(&observed, now), [50.0, 90.0, 99.0]);
        for _ in 0..WINDOW {
            observed.observe(Duration::from_secs(7), now);
        }
        assert_eq!(quantiles(&observed, now), [7.0, 7.0, 7.0]);
        assert_eq!(observed.last.len(), WINDOW);
        assert_eq!(observed.summary(now).sample_count(), 100 + WINDOW as u64);
        assert_eq!(
            observed.summary(now).sample_sum(),
            5050.0 + 7.0 * WINDOW as f64
        );
    }

    #[test]
    fn old_observations_do_not_count_for_quantiles() {
        let now = Instant::now();
        let mut observed = Observed::default();
        observed.observe(Duration::from_secs(9), now);
        observed.observe(Duration::from_secs(1), now + MAX_AGE);
        let later = now + MAX_AGE + Duration::from_secs(1);
        assert_eq!(quantiles(&observed, later), [1.0, 1.0, 1.0]);
        assert_eq!(observed.summary(later).sample_count(), 2);
    }

    #[test]
    fn sets_of_labels_are_bounded() {
        let summary = SummaryVec::new("a", "b", &["host"]).unwrap();
        for n in 0..MAX_SETS + 10 {
            summary.observe(&[&n.to_string()], Duration::from_secs(1));
        }
        assert_eq!(summary.collect()[0].get_metric().len(), MAX_SETS);
    }
}
