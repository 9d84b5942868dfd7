//! What must hold for answers of ACME servers of any shape?

use jiff::{SignedDuration, Timestamp};
use reqwest::{
    Url,
    header::{self, HeaderMap, HeaderValue},
};

use super::{
    Action, Error, Problem, answer::Answer, authorization::Authorization, directory::Directory,
    order::Order, renewal::RenewalInfo,
};
use crate::net::http::RetryAfter;

/// More characters of an answer than this are in no error.
const LONGEST: usize = 5000;

/// Bodies: as each of the documents that are read, and as a refusal.
pub fn answer(data: &[u8]) {
    let Some(answer) = answered(HeaderMap::new(), data) else {
        return;
    };
    is_short(&answer.json::<Directory>());
    is_short(&answer.json::<RenewalInfo>());
    let (order, authorization) = (answer.json::<Order>(), answer.json::<Authorization>());
    is_short(&order);
    is_short(&authorization);
    let _ = order.map(|order| order.error.as_ref().map(Problem::to_string));
    if let Ok(authorization) = authorization {
        for challenge in &authorization.challenges {
            assert!(authorization.challenge(&challenge.url).is_some());
        }
        let _ = (authorization.name(), authorization.problem().is_some());
    }
    let refused = answer.check();
    assert!(refused.is_err());
    is_short(&refused);
    if let Err(Error::Http { excerpt, .. }) = &refused {
        assert!(!excerpt.contains('\n'));
    }
}

fn is_short<T>(result: &Result<T, Error>) {
    if let Err(error) = result {
        assert!(error.to_string().chars().count() <= LONGEST, "{error}");
        let _ = (error.class(), error.status());
    }
}

/// The values of `Retry-After`, `Location` and `Link`.
pub fn header(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    let names = [header::RETRY_AFTER, header::LOCATION, header::LINK];
    let headers = names.map(|name| (name, value.clone())).into_iter();
    let Some(answer) = answered(headers.collect(), b"") else {
        return;
    };
    let _ = answer.location();
    assert!(answer.links("alternate").len() <= data.len());
    let now = Timestamp::UNIX_EPOCH;
    if let Some(moment) = answer.retry_after().map(|after| after.until(now)) {
        assert!(now <= moment && now.duration_until(moment) <= SignedDuration::from_hours(7 * 24));
    }
    if let Some(after) = RetryAfter::of(&answer.headers) {
        assert_eq!(after.until(Timestamp::MAX), Timestamp::MAX);
    }
}

fn answered(headers: HeaderMap, body: &[u8]) -> Option<Answer> {
    Some(Answer {
        action: Action::NewOrder,
        url: Url::parse("https://ca.example/new-order").ok()?,
        status: 400,
        headers,
        body: body.to_vec(),
    })
}
