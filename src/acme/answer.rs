//! What did the CA answer, and is it a refusal?

use std::fmt;

use reqwest::{
    Url,
    header::{self, HeaderMap},
};
use serde::de::DeserializeOwned;

use super::{Action, Error, Problem};
use crate::net::http::{RetryAfter, shown};

/// How much of an answer that is not JSON goes into an error, in characters.
const EXCERPT: usize = 160;

/// What a CA answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) action: Action,
    pub(super) url: Url,
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| self.malformed(error))
    }

    /// The body as text.
    pub(super) fn text(self) -> Result<String, Error> {
        String::from_utf8(self.body).map_err(|_| Error::Malformed {
            action: self.action,
            url: shown(&self.url),
            reason: "it is not text".to_owned(),
        })
    }

    pub(super) fn malformed(&self, reason: impl fmt::Display) -> Error {
        Error::Malformed {
            action: self.action,
            url: shown(&self.url),
            // It may quote the answer.
            reason: clipped(&reason.to_string(), EXCERPT),
        }
    }

    pub(super) fn retry_after(&self) -> Option<RetryAfter> {
        RetryAfter::of(&self.headers)
    }

    /// The `Location` header, relative ones resolved.
    pub(super) fn location(&self) -> Option<String> {
        let location = self.headers.get(header::LOCATION)?.to_str().ok()?;
        Some(self.url.join(location).ok()?.into())
    }

    /// The targets of `Link` headers with this relation (RFC 8288), relative ones resolved.
    pub(super) fn links(&self, relation: &str) -> Vec<String> {
        self.headers
            .get_all(header::LINK)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| link_targets(value, relation))
            .filter_map(|target| Some(self.url.join(target).ok()?.into()))
            .collect()
    }

    /// Where else to ask, if that is the answer.
    pub(super) fn redirect(&self) -> Option<String> {
        matches!(self.status, 301 | 302 | 303 | 307 | 308)
            .then(|| self.location())
            .flatten()
    }

    /// Turns refusals into errors.
    pub(super) fn check(self) -> Result<Self, Error> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let retry_after = self.retry_after();
        Err(match Problem::parse(&self.body, self.status) {
            Some(problem) => Error::Problem {
                action: self.action,
                problem: Box::new(problem),
                retry_after,
            },
            None => Error::Http {
                action: self.action,
                url: shown(&self.url),
                status: self.status,
                excerpt: excerpt(&self.body),
                retry_after,
            },
        })
    }
}

/// The start of a body as one line; nothing if it is not text.
fn excerpt(body: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(body) else {
        return String::new();
    };
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    clipped(&words, EXCERPT)
}

/// At most so many characters of what somebody else wrote.
pub(super) fn clipped(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The targets with a relation in the value of one `Link` header: `<target>; rel="a b", <…>…`.
fn link_targets<'a>(value: &'a str, relation: &str) -> Vec<&'a str> {
    let mut targets = Vec::new();
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('<') {
        let Some((target, after)) = after.split_once('>') else {
            break;
        };
        // Up to the next target; a comma or "<" inside a quoted parameter does not occur here.
        let (parameters, next) = after.split_at(after.find('<').unwrap_or(after.len()));
        let matches = parameters
            .split([';', ','])
            .filter_map(|parameter| parameter.split_once('='))
            .filter(|(name, _)| name.trim().eq_ignore_ascii_case("rel"))
            .any(|(_, relations)| {
                relations
                    .trim()
                    .trim_matches('"')
                    .split_ascii_whitespace()
                    .any(|one| one.eq_ignore_ascii_case(relation))
            });
        if matches {
            targets.push(target);
        }
        rest = next;
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        let cases = [
            (r#"<https://a/1>;rel="alternate""#, vec!["https://a/1"]),
            (r#"<https://a/dir>;rel="index""#, vec![]),
            (
                r#"</1>; rel=alternate, </i>; rel="index", </2>; title="x"; rel="up Alternate""#,
                vec!["/1", "/2"],
            ),
            ("<https://a/1", vec![]),
            ("", vec![]),
        ];
        for (value, want) in cases {
            assert_eq!(link_targets(value, "alternate"), want, "{value}");
        }
    }

    #[test]
    fn excerpts_are_one_short_line() {
        assert_eq!(
            excerpt(b"<html>\n  502 Bad\tGateway"),
            "<html> 502 Bad Gateway"
        );
        assert_eq!(excerpt(&[0xff, 0xfe]), "");
        assert_eq!(
            excerpt("ä".repeat(500).as_bytes()).chars().count(),
            EXCERPT + 1
        );
    }
}
