//! How long is a duration that a user wrote?

use std::borrow::Cow;
use std::fmt;

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Lifetime asked for where the user names none: 90 days.
pub const DEFAULT_LIFETIME: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Shortest lifetime that may be asked for.
pub const MIN_LIFETIME: SignedDuration = SignedDuration::from_hours(1);
/// Shortest time before expiry at which renewal may be asked for.
pub const MIN_RENEW_BEFORE: SignedDuration = SignedDuration::from_mins(5);

/// A duration in Go's syntax, such as `2160h` or `1h30m`, kept as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Duration(String);

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// No number where one is needed.
    #[error("{0:?} is no duration: write numbers with units h, m or s, such as 2160h or 1h30m")]
    Syntax(String),
    /// A unit that does not exist, such as `d`.
    #[error("{text:?} is no duration: unit {unit:?} is unknown, use h, m or s (a day is 24h)")]
    Unit {
        /// The whole text.
        text: String,
        /// The unit in it.
        unit: String,
    },
    /// Longer than 64 bits of nanoseconds, some 292 years.
    #[error("{0:?} is too long for a duration")]
    TooLong(String),
}

impl Duration {
    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value. Fractions of a nanosecond are cut off.
    ///
    /// # Errors
    /// When the text is not in Go's syntax, or longer than Go can hold.
    pub fn parse(&self) -> Result<SignedDuration, DurationError> {
        parse(&self.0)
    }
}

impl From<&str> for Duration {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Duration {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<SignedDuration> for Duration {
    /// Written as Go writes it: `2160h0m0s`, `1m30s`; parts of a second are cut off.
    fn from(value: SignedDuration) -> Self {
        let seconds = value.as_secs().unsigned_abs();
        let sign = if value.as_secs() < 0 { "-" } else { "" };
        let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        Self(match (h, m) {
            (0, 0) => format!("{sign}{s}s"),
            (0, _) => format!("{sign}{m}m{s}s"),
            _ => format!("{sign}{h}h{m}m{s}s"),
        })
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// Parses a duration as Go's `time.ParseDuration` does.
///
/// # Errors
/// When the text is not in that syntax, or longer than Go can hold.
pub fn parse(text: &str) -> Result<SignedDuration, DurationError> {
    let syntax = || DurationError::Syntax(text.to_owned());
    let too_long = || DurationError::TooLong(text.to_owned());
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(SignedDuration::ZERO);
    }
    if rest.is_empty() {
        return Err(syntax());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(syntax());
        }
        let end = after
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let nanos = match unit {
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60 * 1_000_000_000,
            "h" => 3_600 * 1_000_000_000,
            "" => return Err(syntax()),
            _ => {
                return Err(DurationError::Unit {
                    text: text.to_owned(),
                    unit: unit.to_owned(),
                });
            }
        };
        let part = amount(whole, fraction, nanos).ok_or_else(too_long)?;
        total = total
            .checked_add(part)
            .filter(|t| *t <= i128::from(i64::MAX))
            .ok_or_else(too_long)?;
        rest = after;
    }
    let total = i64::try_from(total).map_err(|_| too_long())?;
    Ok(SignedDuration::from_nanos(if negative {
        -total
    } else {
        total
    }))
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    )
}

/// `whole.fraction` times `nanos`; `None` when that is too much.
fn amount(whole: &str, fraction: &str, nanos: i128) -> Option<i128> {
    // More digits than this are below a nanosecond of an hour.
    const DIGITS: usize = 15;
    let digits = |text: &str| {
        if text.is_empty() {
            Some(0)
        } else {
            text.parse::<i128>().ok()
        }
    };
    let fraction = fraction.get(..DIGITS.min(fraction.len()))?;
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let part = digits(fraction)?.checked_mul(nanos)? / scale;
    digits(whole)?.checked_mul(nanos)?.checked_add(part)
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        let nanos = [
            ("0", 0),
            ("-0", 0),
            ("0s", 0),
            ("5s", 5_000_000_000),
            ("2160h", 7_776_000_000_000_000),
            ("2160h0m0s", 7_776_000_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("1h15m30.918273645s", 4_530_918_273_645),
            ("-1m", -60_000_000_000),
            ("+1m", 60_000_000_000),
            ("3us", 3_000),
            ("3µs", 3_000),
            ("3μs", 3_000),
            ("1.9999999999999999999ns", 1),
            ("9223372036854775807ns", i64::MAX),
        ];
        for (text, want) in nanos {
            assert_eq!(parse(text), Ok(SignedDuration::from_nanos(want)), "{text}");
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        for text in [
            "", "-", "+", ".", "h", "1", "1h2", "-.h", "--1h", "+-1h", "1h ", " 1h", "1 h",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        let unit = DurationError::Unit {
            text: "90d".into(),
            unit: "d".into(),
        };
        assert_eq!(parse("90d"), Err(unit));
        for text in [
            "9223372036854775808ns",
            "99999999999999999999999999999999999999999h",
            "2562048h",
        ] {
            assert_eq!(
                parse(text),
                Err(DurationError::TooLong(text.into())),
                "{text}"
            );
        }
    }

    #[test]
    fn writes_what_go_writes() {
        for (value, want) in [
            (DEFAULT_LIFETIME, "2160h0m0s"),
            (SignedDuration::from_secs(90), "1m30s"),
            (SignedDuration::from_secs(0), "0s"),
            (SignedDuration::from_secs(-3600), "-1h0m0s"),
        ] {
            assert_eq!(Duration::from(value).as_str(), want);
            assert_eq!(Duration::from(value).parse(), Ok(value));
        }
    }

    #[test]
    fn keeps_the_text() {
        let text = serde_json::json!("2160h");
        let duration: Duration = serde_json::from_value(text.clone()).unwrap();
        assert_eq!(serde_json::to_value(duration).unwrap(), text);
    }
}
