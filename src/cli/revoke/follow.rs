//! How is it heard what becomes of a revocation?

use std::{io::Write, time::Duration};

use futures::{Stream, StreamExt, pin_mut, stream};
use k8s_openapi::api::core::v1::Event;
use kube::{
    Api, ResourceExt,
    api::ListParams,
    runtime::{
        WatchStreamExt,
        watcher::{self, watch_object, watcher},
    },
};

use super::{
    RevokeError,
    asker::Asker,
    progress::{End, News, Progress, Said},
    target::Target,
};
use crate::{
    api::{certificate::Certificate, issuance::Issuance},
    cluster::{ObjectKey, RequestError},
};

/// Events on the Certificate that are looked at.
const MOST_EVENTS: u32 = 500;

impl Asker {
    /// Tell each change until the end.
    pub(super) async fn follow(
        &self,
        target: Target,
        told: Vec<String>,
        within: Duration,
        out: &mut impl Write,
    ) -> Result<End, RevokeError> {
        let mut progress = Progress::of(target.serial);
        let outcome = match &target.record {
            Some(record) => {
                let records: Api<Issuance> =
                    Api::namespaced(self.client.clone(), &record.namespace);
                let key = record.clone();
                let record = watch_object(records, &record.name).default_backoff();
                let record = record.map(move |record| match record {
                    Ok(record) => Ok(News::Record(record.map(Box::new))),
                    Err(error) => Err(Unheard::of::<Issuance>(&key, error)),
                });
                let news = stream::select(record, self.news_of_certificate());
                tokio::time::timeout(within, listen(news, &mut progress, out)).await
            }
            None => {
                let news = stream::select(self.news_by_events(told), self.news_of_certificate());
                tokio::time::timeout(within, listen(news, &mut progress, out)).await
            }
        };
        outcome.unwrap_or_else(|_| {
            Err(RevokeError::Overdue {
                certificate: self.key.clone(),
                within,
                last: progress.last(),
            })
        })
    }

    /// The versions of what was told of the Certificate until now.
    pub(super) async fn told(&self) -> Result<Vec<String>, RequestError> {
        let params = ListParams::default()
            .fields(&self.events())
            .limit(MOST_EVENTS);
        let events = self.api::<Event>().list(&params).await;
        let events =
            events.map_err(|error| RequestError::new::<Event>("list", &self.key, error))?;
        Ok(events.into_iter().filter_map(version).collect())
    }

    fn events(&self) -> String {
        format!(
            "involvedObject.kind=Certificate,involvedObject.name={}",
            self.key.name
        )
    }

    fn news_of_certificate(&self) -> impl Stream<Item = Result<News, Unheard>> + use<> {
        let key = self.key.clone();
        let certificate = watch_object(self.api::<Certificate>(), &self.key.name);
        certificate
            .default_backoff()
            .map(move |certificate| match certificate {
                Ok(certificate) => Ok(News::Certificate(certificate.map(Box::new))),
                Err(error) => Err(Unheard::of::<Certificate>(&key, error)),
            })
    }

    fn news_by_events(
        &self,
        told: Vec<String>,
    ) -> impl Stream<Item = Result<News, Unheard>> + use<> {
        let key = self.key.clone();
        let config = watcher::Config::default().fields(&self.events());
        let events = watcher(self.api::<Event>(), config).default_backoff();
        events.applied_objects().filter_map(move |event| {
            let news = match event {
                Ok(event) => {
                    let is_new = !version(event.clone()).is_some_and(|one| told.contains(&one));
                    is_new.then(|| Ok(News::Event(Box::new(event))))
                }
                Err(error) => Some(Err(Unheard::of::<Event>(&key, error))),
            };
            std::future::ready(news)
        })
    }
}

fn version(event: Event) -> Option<String> {
    event.resource_version()
}

/// Nothing is heard for now.
enum Unheard {
    /// Nor ever will be.
    Refused(RequestError),
    /// It is tried again.
    ForNow,
}

impl Unheard {
    fn of<K: kube::Resource<DynamicType = ()>>(key: &ObjectKey, error: watcher::Error) -> Self {
        use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};

        let source = match error {
            InitialListFailed(source) | WatchStartFailed(source) | WatchFailed(source) => source,
            WatchError(status) => kube::Error::Api(status),
            watcher::Error::NoResourceVersion => return Self::ForNow,
        };
        let error = RequestError::new::<K>("watch", key, source);
        match error.status() {
            Some(401 | 403) => Self::Refused(error),
            _ => Self::ForNow,
        }
    }
}

async fn listen(
    news: impl Stream<Item = Result<News, Unheard>>,
    progress: &mut Progress,
    out: &mut impl Write,
) -> Result<End, RevokeError> {
    pin_mut!(news);
    while let Some(news) = news.next().await {
        let news = match news {
            Ok(news) => news,
            Err(Unheard::Refused(error)) => return Err(error.into()),
            Err(Unheard::ForNow) => continue,
        };
        match progress.hear(&news) {
            Said::Nothing => {}
            Said::Line(line) => {
                writeln!(out, "{line}")?;
                out.flush()?;
            }
            Said::End(end) => return Ok(end),
        }
    }
    Ok(End::Failed("the API server tells no more".to_owned()))
}
