//! What went wrong with a request to the API server, and what to do about it.

use std::{error::Error, fmt};

use kube::{Resource, core::Status};
use serde_json::error::Category;

use crate::cluster::{driver::Class, key::ObjectKey};

/// A request to the API server that failed: says the operation and the object.
#[derive(Debug)]
pub struct RequestError {
    /// What was tried: `get`, `create`, `patch status of`, ….
    pub operation: &'static str,
    /// The kind of the object, as in manifests.
    pub kind: String,
    /// The object.
    pub object: ObjectKey,
    /// What the client or the server said.
    pub source: Box<kube::Error>,
}

impl RequestError {
    /// The request `operation` on `object` of kind `K` failed with `source`.
    pub fn new<K: Resource<DynamicType = ()>>(
        operation: &'static str,
        object: &ObjectKey,
        source: kube::Error,
    ) -> Self {
        Self {
            operation,
            kind: K::kind(&()).into_owned(),
            object: object.clone(),
            source: Box::new(source),
        }
    }

    /// `object` of kind `K` is not what it was when it was looked at: look again.
    pub fn stale<K: Resource<DynamicType = ()>>(object: &ObjectKey) -> Self {
        let status = Status {
            code: 409,
            message: "it has changed".to_owned(),
            ..Status::default()
        };
        Self::new::<K>("use", object, kube::Error::Api(Box::new(status)))
    }

    /// The HTTP status the API server answered with, if it did.
    pub fn status(&self) -> Option<u16> {
        match &*self.source {
            kube::Error::Api(status) => Some(status.code),
            _ => None,
        }
    }

    /// Whether nothing new may be created because the namespace is being deleted.
    pub fn is_namespace_ending(&self) -> bool {
        let kube::Error::Api(status) = &*self.source else {
            return false;
        };
        let mut causes = status.details.iter().flat_map(|details| &details.causes);
        causes.any(|cause| cause.reason == "NamespaceTerminating")
    }

    /// Whether the object changed or went away between reading and writing it.
    pub fn is_conflict(&self) -> bool {
        matches!(self.status(), Some(404 | 409))
    }

    /// How to go on.
    pub fn class(&self) -> Class {
        match self.status() {
            Some(404 | 409) => Class::Conflict,
            Some(401 | 403) => Class::Refused,
            Some(408 | 429) => Class::Transient,
            Some(400..=499) => Class::Misconfigured,
            _ => Class::Transient,
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            operation,
            kind,
            object,
            source,
        } = self;
        write!(f, "{operation} {kind} {object}: {}", reason(source))
    }
}

impl Error for RequestError {
    /// What lies behind a failed connection. The answer of the server is in the text already, and
    /// says no more in its long form, or too much.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &*self.source {
            kube::Error::Api(_) | kube::Error::SerdeError(_) => None,
            other => other.source(),
        }
    }
}

/// The message alone: `kube::Error` repeats the whole status in its own text.
fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        // Its text quotes what is wrong, and that may be key material.
        kube::Error::SerdeError(error) => format!(
            "the answer cannot be read: {} error at line {} column {}",
            match error.classify() {
                Category::Io => "input",
                Category::Syntax => "syntax",
                Category::Data => "data",
                Category::Eof => "length",
            },
            error.line(),
            error.column()
        ),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;

    use super::*;

    #[test]
    fn an_answer_that_cannot_be_read_is_not_quoted() {
        let key = ObjectKey::new("web", "www-tls");
        let source = serde_json::from_str::<Secret>(r#"{"data": "a private key"}"#).unwrap_err();
        assert!(source.to_string().contains("a private key"), "{source}");
        let error = RequestError::new::<Secret>("get", &key, kube::Error::SerdeError(source));
        assert!(error.source().is_none());
        assert_eq!(
            error.to_string(),
            "get Secret web/www-tls: the answer cannot be read: data error at line 1 column 24"
        );
    }

    #[test]
    fn the_status_tells_how_to_go_on() {
        let table = [
            (400, Class::Misconfigured),
            // An API server that has just started does not know the rights yet.
            (401, Class::Refused),
            (403, Class::Refused),
            (404, Class::Conflict),
            (409, Class::Conflict),
            (422, Class::Misconfigured),
            (429, Class::Transient),
            (500, Class::Transient),
            (503, Class::Transient),
        ];
        for (code, class) in table {
            let status = Status {
                code,
                ..Status::default()
            };
            let source = kube::Error::Api(Box::new(status));
            let error = RequestError::new::<Secret>("get", &ObjectKey::new("ns", "a"), source);
            assert_eq!(error.class(), class, "{code}");
        }
    }
}
