//! When does a schedule in the words of cron come round?

use jiff::civil::{Date, DateTime, Time};

use super::every::Every;

/// What cron calls a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Schedule {
    /// By the clock on the wall.
    Clock(Clock),
    /// After a delay.
    Every(Every),
}

/// Minute, hour, day of the month, month, day of the week. Each is a set of bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether a day must fit both in the month and in the week: one of them is open.
    both: bool,
}

/// The values of a field, and their names from the first on.
struct Field {
    first: u32,
    last: u32,
    names: &'static [&'static str],
}

const MINUTE: Field = Field {
    first: 0,
    last: 59,
    names: &[],
};
const HOUR: Field = Field {
    first: 0,
    last: 23,
    names: &[],
};
const DAY: Field = Field {
    first: 1,
    last: 31,
    names: &[],
};
const MONTH: Field = Field {
    first: 1,
    last: 12,
    names: &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
};
const WEEKDAY: Field = Field {
    first: 0,
    last: 6,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

impl Schedule {
    /// Reads five fields, one of the words that stand for some, or `@every` and a duration.
    ///
    /// # Errors
    /// Says what is wrong with which part.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        match text.strip_prefix("@every ") {
            Some(delay) => Every::parse(delay).map(Self::Every),
            None => Clock::parse(text).map(Self::Clock),
        }
    }
}

impl Clock {
    fn parse(text: &str) -> Result<Self, String> {
        let text = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(
                "it does not have five fields, as in \"0 3 * * sat\", and is not @daily, @every 1h \
                 or the like"
                    .to_owned(),
            );
        };
        let (minutes, _) = MINUTE.parse(minute)?;
        let (hours, _) = HOUR.parse(hour)?;
        let (days, any_day) = DAY.parse(day)?;
        let (months, _) = MONTH.parse(month)?;
        let (weekdays, any_weekday) = WEEKDAY.parse(weekday)?;
        Ok(Self {
            minutes,
            hours,
            days,
            months,
            weekdays,
            both: any_day || any_weekday,
        })
    }

    /// The first time from `from` on and before `until`.
    pub(super) fn next(&self, from: DateTime, until: DateTime) -> Option<DateTime> {
        let mut date = from.date();
        while date <= until.date() {
            let found = self
                .times(date)
                .find(|time| *time >= from)
                .filter(|time| *time < until);
            if found.is_some() {
                return found;
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// The last time up to `until`, and not before `from`.
    pub(super) fn last(&self, from: DateTime, until: DateTime) -> Option<DateTime> {
        let mut date = until.date();
        while date >= from.date() {
            let found = self
                .times(date)
                .filter(|time| *time <= until)
                .last()
                .filter(|time| *time >= from);
            if found.is_some() {
                return found;
            }
            date = date.yesterday().ok()?;
        }
        None
    }

    /// The times of a day, in order.
    fn times(&self, date: Date) -> impl Iterator<Item = DateTime> {
        let hours = if self.holds(date) { self.hours } else { 0 };
        let hours = (0..24).filter(move |hour| is_in(*hour, hours));
        let minutes = self.minutes;
        hours.flat_map(move |hour| {
            let minutes = (0..60).filter(move |minute| is_in(*minute, minutes));
            minutes.filter_map(move |minute| {
                let time = Time::new(hour, minute, 0, 0).ok()?;
                Some(date.to_datetime(time))
            })
        })
    }

    fn holds(&self, date: Date) -> bool {
        let day = is_in(date.day(), self.days);
        let weekday = is_in(date.weekday().to_sunday_zero_offset(), self.weekdays);
        let fits = match self.both {
            true => day && weekday,
            false => day || weekday,
        };
        fits && is_in(date.month(), self.months)
    }
}

fn is_in(value: i8, set: u64) -> bool {
    u32::try_from(value)
        .ok()
        .and_then(|value| set.checked_shr(value))
        .is_some_and(|set| set & 1 == 1)
}

impl Field {
    /// The values of a list, and whether one of its parts is open. A comma too many is no harm.
    fn parse(&self, text: &str) -> Result<(u64, bool), String> {
        let mut all = (0, false);
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (set, is_open) = self.part(part)?;
            all = (all.0 | set, all.1 || is_open);
        }
        match all {
            (0, _) => Err(self.wrong(text)),
            all => Ok(all),
        }
    }

    /// `*`, `1`, `1-5`, and each with a step: `*/2`, `1-5/2`, and `1/2` from 1 to the last.
    fn part(&self, part: &str) -> Result<(u64, bool), String> {
        let wrong = || self.wrong(part);
        let (range, step) = match part.split_once('/') {
            None => (part, None),
            Some((range, step)) => (range, Some(step.parse::<u32>().map_err(|_| wrong())?)),
        };
        let is_open = matches!(range, "*" | "?");
        let (from, to) = match range.split_once('-') {
            _ if is_open => (self.first, self.last),
            Some((from, to)) => (
                self.value(from).ok_or_else(wrong)?,
                self.value(to).ok_or_else(wrong)?,
            ),
            None => {
                let from = self.value(range).ok_or_else(wrong)?;
                (from, if step.is_some() { self.last } else { from })
            }
        };
        let step = step.unwrap_or(1);
        if from > to || step == 0 {
            return Err(wrong());
        }
        let set = (from..=to)
            .filter(|value| (value - from) % step == 0)
            .fold(0, |set, value| set | 1 << value);
        Ok((set, is_open && step == 1))
    }

    fn wrong(&self, part: &str) -> String {
        format!("{part:?} is not within {} to {}", self.first, self.last)
    }

    fn value(&self, text: &str) -> Option<u32> {
        let name = self
            .names
            .iter()
            .zip(self.first..)
            .find(|(name, _)| name.eq_ignore_ascii_case(text));
        let value = match name {
            Some((_, value)) => value,
            None => text.parse().ok()?,
        };
        Some(value).filter(|value| (self.first..=self.last).contains(value))
    }
}
