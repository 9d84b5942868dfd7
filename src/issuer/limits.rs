//! Which limits hold at a CA, unless the issuer says others?

use std::{fmt, str::FromStr};

use jiff::SignedDuration;

use crate::api::duration::Duration;

/// At most so many in any such time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many; at least one.
    pub count: u32,
    /// In how long; more than nothing.
    pub period: SignedDuration,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.period.as_hours();
        match self.period == SignedDuration::from_hours(hours) {
            true => write!(f, "{} per {hours} h", self.count),
            false => write!(f, "{} per {:#}", self.count, self.period),
        }
    }
}

/// The limits of one account. What is `None` is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Orders.
    pub orders: Option<Limit>,
    /// Certificates for names of one registered domain, or for one address.
    pub domain: Option<Limit>,
    /// Certificates for exactly the same names.
    pub same_names: Option<Limit>,
    /// Validations of one name that fail.
    pub failures: Option<Limit>,
}

/// Servers whose published limits are known: Let's Encrypt, <https://letsencrypt.org/docs/rate-limits/>.
const LETS_ENCRYPT: &str = "acme-v02.api.letsencrypt.org";
const LETS_ENCRYPT_STAGING: &str = "acme-staging-v02.api.letsencrypt.org";

/// Whether the server at `url` is one of Let's Encrypt's.
pub fn is_lets_encrypt(url: &str) -> bool {
    matches!(host(url), Some(LETS_ENCRYPT | LETS_ENCRYPT_STAGING))
}

fn host(url: &str) -> Option<&str> {
    url.strip_prefix("https://")?.split(['/', ':']).next()
}

impl Limits {
    /// Those of the server at `url`, or those that `text` says instead: `none`, or like
    /// `orders=300/3h,domain=50/168h,same-names=5/168h,failures=5/1h`, each of them optional.
    ///
    /// # Errors
    /// What is wrong with `text`.
    pub fn of(url: &str, text: Option<&str>) -> Result<Self, SettingsError> {
        match text.map(str::trim) {
            Some("none") => Ok(Self::default()),
            Some(text) => text.parse(),
            None => Ok(Self::published(url)),
        }
    }

    fn published(url: &str) -> Self {
        let hours = |count, hours| {
            Some(Limit {
                count,
                period: SignedDuration::from_hours(hours),
            })
        };
        match host(url) {
            Some(LETS_ENCRYPT) => Self {
                orders: hours(300, 3),
                domain: hours(50, 7 * 24),
                same_names: hours(5, 7 * 24),
                failures: hours(5, 1),
            },
            Some(LETS_ENCRYPT_STAGING) => Self {
                orders: hours(1500, 3),
                domain: None,
                same_names: hours(30_000, 7 * 24),
                failures: hours(200, 1),
            },
            Some(_) | None => Self::default(),
        }
    }

    /// Those that hold even for what the CA exempts from the others.
    pub fn of_failures(self) -> Self {
        Self {
            failures: self.failures,
            ..Self::default()
        }
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl FromStr for Limits {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let mut limits = Self::default();
        for part in text.split(',') {
            let part = part.trim();
            let wrong = || SettingsError(part.to_owned());
            let (name, limit) = part.split_once('=').ok_or_else(wrong)?;
            let place = match name {
                "orders" => &mut limits.orders,
                "domain" => &mut limits.domain,
                "same-names" => &mut limits.same_names,
                "failures" => &mut limits.failures,
                _ => return Err(wrong()),
            };
            let (count, period) = limit.split_once('/').ok_or_else(wrong)?;
            let count: u32 = count.parse().map_err(|_| wrong())?;
            let period = Duration::from(period).parse().map_err(|_| wrong())?;
            if count == 0 || !period.is_positive() || place.is_some() {
                return Err(wrong());
            }
            *place = Some(Limit { count, period });
        }
        Ok(limits)
    }
}

/// A text that says no limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "annotation certwright.io/rate-limits: {0:?} is no limit: write none, or a list like \
     orders=300/3h,domain=50/168h,same-names=5/168h,failures=5/1h"
)]
pub struct SettingsError(String);
