//! What is one event, before it is sent?

use std::borrow::Cow;

use crate::cluster::events::EventType;

/// What a user is told about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether somebody should look.
    pub kind: EventType,
    /// In one word.
    pub reason: Cow<'static, str>,
    /// In a sentence.
    pub message: String,
}

impl Event {
    /// An event that needs nobody.
    pub fn normal(reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            kind: EventType::Normal,
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// An event that somebody should look at.
    pub fn warning(reason: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            kind: EventType::Warning,
            reason: reason.into(),
            message: message.into(),
        }
    }
}
