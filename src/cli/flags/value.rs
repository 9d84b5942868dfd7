//! What does the text of a flag mean, by the kind of its value?

use std::{
    collections::BTreeMap,
    fmt::Display,
    net::{Ipv4Addr, SocketAddr},
    ops::RangeBounds,
    str::FromStr,
    time::Duration,
};

use super::{
    FlagError, Given, Origin,
    config::Entry,
    table::{Effect, FLAGS, Flag, Kind, find},
};
use crate::{api::duration, cluster::ObjectKey};

/// The values of all flags.
pub(super) struct Values {
    given: BTreeMap<&'static str, Given>,
}

impl Values {
    /// What was `typed`, else what stands in the `file`; the rest have their defaults.
    pub(super) fn new(
        typed: BTreeMap<&'static str, Given>,
        file: BTreeMap<&'static str, Entry>,
    ) -> Self {
        let of_file = |(name, Entry { key, values })| {
            let origin = Origin::File(key);
            (name, Given { origin, values })
        };
        let mut given: BTreeMap<_, _> = file.into_iter().map(of_file).collect();
        given.extend(typed);
        Self { given }
    }

    /// Lines for the log about what was given and has no effect.
    ///
    /// # Errors
    /// Something that is not supported was asked for.
    pub(super) fn notes(&self) -> Result<Vec<String>, FlagError> {
        let mut notes = Vec::new();
        for flag in FLAGS {
            let Some(given) = self.given.get(flag.name) else {
                continue;
            };
            match flag.effect {
                Effect::Full => {}
                Effect::None(why) => {
                    if asks_for_something(flag, given)? {
                        notes.push(format!("{} has no effect: {why}", given.origin));
                    }
                }
                Effect::Refused(why) => {
                    if asks_for_something(flag, given)? {
                        return Err(error(&given.origin, why));
                    }
                }
            }
        }
        Ok(notes)
    }

    pub(super) fn text(&self, name: &'static str) -> String {
        self.get(name).values.pop().unwrap_or_default()
    }

    /// The text, unless it is empty.
    pub(super) fn some_text(&self, name: &'static str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    pub(super) fn bool(&self, name: &'static str) -> Result<bool, FlagError> {
        parse_bool(&self.text(name)).map_err(|problem| self.error(name, problem))
    }

    /// A whole number in `range`, which `want` describes.
    pub(super) fn number<N: FromStr + PartialOrd>(
        &self,
        name: &'static str,
        range: impl RangeBounds<N>,
        want: &str,
    ) -> Result<N, FlagError> {
        let text = self.text(name);
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| self.error(name, format!("{text:?} is not {want}")))
    }

    /// A duration longer than nothing.
    pub(super) fn duration(&self, name: &'static str) -> Result<Duration, FlagError> {
        let text = self.text(name);
        let value = duration::parse(&text).map_err(|problem| self.error(name, problem))?;
        match Duration::try_from(value) {
            Ok(value) if !value.is_zero() => Ok(value),
            _ => Err(self.error(name, format!("{text} must be longer than nothing"))),
        }
    }

    /// The items of a list, however they were split over commas and repetitions.
    pub(super) fn list(&self, name: &'static str) -> Vec<String> {
        items(&self.get(name).values)
    }

    /// The items of a list, each parsed.
    pub(super) fn parsed_list<T>(&self, name: &'static str) -> Result<Vec<T>, FlagError>
    where
        T: FromStr<Err: Display>,
    {
        let parse = |item: String| item.parse().map_err(|problem| self.error(name, problem));
        self.list(name).into_iter().map(parse).collect()
    }

    pub(super) fn map(&self, name: &'static str) -> Result<BTreeMap<String, String>, FlagError> {
        let pair = |item: String| match item.split_once('=') {
            Some((key, value)) => Ok((key.trim().to_owned(), value.trim().to_owned())),
            None => Err(self.error(name, format!("{item:?} is not NAME=VALUE"))),
        };
        self.list(name).into_iter().map(pair).collect()
    }

    /// An address to listen on; `:PORT` is every address of the machine.
    pub(super) fn address(&self, name: &'static str) -> Result<SocketAddr, FlagError> {
        let text = self.text(name);
        let port = |host| text.strip_prefix(host)?.parse::<u16>().ok();
        if let Some(port) = port(":") {
            return Ok((Ipv4Addr::UNSPECIFIED, port).into());
        }
        if let Some(port) = port("localhost:") {
            return Ok((Ipv4Addr::LOCALHOST, port).into());
        }
        text.parse()
            .map_err(|_| self.error(name, format!("{text:?} is not IP:PORT")))
    }

    /// An object, as NAMESPACE/NAME; `None` when the text is empty.
    pub(super) fn object(&self, name: &'static str) -> Result<Option<ObjectKey>, FlagError> {
        let Some(text) = self.some_text(name) else {
            return Ok(None);
        };
        match text.split_once('/') {
            Some((namespace, object))
                if !namespace.is_empty() && !object.is_empty() && !object.contains('/') =>
            {
                Ok(Some(ObjectKey::new(namespace, object)))
            }
            _ => Err(self.error(name, format!("{text:?} is not NAMESPACE/NAME"))),
        }
    }

    pub(super) fn error(&self, name: &'static str, problem: impl Display) -> FlagError {
        error(&self.get(name).origin, problem)
    }

    fn get(&self, name: &'static str) -> Given {
        self.given.get(name).cloned().unwrap_or_else(|| Given {
            origin: Origin::Default(name),
            values: find(name)
                .map(|flag| flag.default.to_owned())
                .into_iter()
                .collect(),
        })
    }
}

fn error(origin: &Origin, problem: impl Display) -> FlagError {
    FlagError::Value {
        origin: origin.to_string(),
        problem: problem.to_string(),
    }
}

/// Whether a value was given that is more than nothing or `false`.
fn asks_for_something(flag: &Flag, given: &Given) -> Result<bool, FlagError> {
    let mut items = items(&given.values);
    match flag.kind {
        Kind::Bool => {
            let last = items.pop().unwrap_or_default();
            parse_bool(&last).map_err(|problem| error(&given.origin, problem))
        }
        Kind::Duration | Kind::List | Kind::Map | Kind::Number | Kind::Text => {
            Ok(!items.is_empty())
        }
    }
}

fn items(values: &[String]) -> Vec<String> {
    let parts = values.iter().flat_map(|value| value.split(','));
    let parts = parts.map(str::trim).filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

/// The spellings that Go's flags take.
fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}
