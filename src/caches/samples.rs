//! What is told of known objects as metrics.

use super::Caches;
use crate::{
    api::{
        condition::{self, Condition, kind},
        issuance::IssuanceState,
        order::State,
    },
    cluster::{
        Facts,
        metrics::{CertificateSample, ChallengeSample, IssuerSample, ListSample, Ready, Source},
    },
    issuer::facts::{IssuerFacts, IssuerResource},
};

impl Source for Caches {
    fn certificates(&self, visit: &mut dyn FnMut(&CertificateSample<'_>)) {
        self.certificates.for_each(|certificate| {
            let (key, issuer) = (&certificate.meta().key, &certificate.spec.issuer_ref);
            let status = &certificate.status;
            visit(&CertificateSample {
                name: &key.name,
                namespace: &key.namespace,
                issuer_name: &issuer.name,
                issuer_kind: issuer.kind.as_deref().unwrap_or_default(),
                issuer_group: issuer.group.as_deref().unwrap_or_default(),
                ready: ready(status.conditions.as_ref()),
                not_after: status.not_after.as_ref().map(|time| time.0),
                not_before: status.not_before.as_ref().map(|time| time.0),
                renewal: status.renewal_time.as_ref().map(|time| time.0),
            });
        });
    }

    fn challenges(&self, visit: &mut dyn FnMut(&ChallengeSample<'_>)) {
        self.challenges.for_each(|challenge| {
            let (key, status) = (&challenge.meta.key, &challenge.status);
            visit(&ChallengeSample {
                name: &key.name,
                namespace: &key.namespace,
                domain: &challenge.spec.dns_name,
                kind: challenge.spec.type_.as_str(),
                state: status.state.map(State::as_str).unwrap_or_default(),
                reason: status.reason.as_deref().unwrap_or_default(),
                processing: status.processing == Some(true),
            });
        });
    }

    fn issuers(&self, visit: &mut dyn FnMut(&IssuerSample<'_>)) {
        self.issuers
            .namespaced
            .for_each(|issuer| visit(&sample(issuer)));
    }

    fn cluster_issuers(&self, visit: &mut dyn FnMut(&IssuerSample<'_>)) {
        self.issuers
            .cluster
            .for_each(|issuer| visit(&sample(issuer)));
    }

    fn issuances(&self, visit: &mut dyn FnMut(&'static str, usize)) {
        for state in IssuanceState::ALL {
            visit(state.as_str(), self.issuance_counts.of(state));
        }
    }

    fn lists(&self, visit: &mut dyn FnMut(&ListSample<'_>)) {
        self.lists.for_each(|stored| {
            let Some((list, issuer)) = stored.list.as_ref().zip(stored.issuer(&self.issuers))
            else {
                return;
            };
            visit(&ListSample {
                kind: issuer.kind.as_str(),
                name: &issuer.key.name,
                namespace: &issuer.key.namespace,
                entries: list.entries.len(),
                next_update: list.next_update,
            });
        });
    }
}

fn sample<K: IssuerResource>(issuer: &IssuerFacts<K>) -> IssuerSample<'_> {
    IssuerSample {
        name: &issuer.meta.key.name,
        namespace: &issuer.meta.key.namespace,
        ready: ready(issuer.status.conditions.as_ref()),
    }
}

fn ready(conditions: Option<&Vec<Condition>>) -> Ready {
    Ready::of(condition::find(conditions, kind::READY).map(|ready| ready.status.as_str()))
}
