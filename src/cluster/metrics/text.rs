//! How a sample is written in Prometheus' text format, version 0.0.4.

use std::fmt::{self, Write as _};

/// What a family of samples is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Counter,
    Gauge,
}

/// Writes one family of samples; the head comes with the first sample, so that there is none
/// without.
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
    help: &'static str,
    kind: Type,
    started: bool,
}

impl<'a> Family<'a> {
    /// The family `name`, to be appended to `text`.
    pub(super) fn new(
        text: &'a mut String,
        name: &'static str,
        help: &'static str,
        kind: Type,
    ) -> Self {
        Self {
            text,
            name,
            help,
            kind,
            started: false,
        }
    }

    /// Append a sample.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl fmt::Display) {
        if !self.started {
            self.started = true;
            let kind = match self.kind {
                Type::Counter => "counter",
                Type::Gauge => "gauge",
            };
            let (name, help) = (self.name, self.help);
            let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        }
        self.text.push_str(self.name);
        for (index, (label, value)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            self.text.push_str(label);
            self.text.push_str("=\"");
            push_escaped(self.text, value);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

fn push_escaped(text: &mut String, value: &str) {
    for char in value.chars() {
        match char {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            char => text.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_one_head_and_escaped_values() {
        let mut text = String::new();
        Family::new(&mut text, "nothing", "Nothing.", Type::Gauge);
        let mut family = Family::new(&mut text, "a_total", "All.", Type::Counter);
        family.sample(&[("b", "c\\\"\nd"), ("e", "ü")], 1);
        family.sample(&[], 2.5);
        assert_eq!(
            text,
            "# HELP a_total All.\n# TYPE a_total counter\n\
             a_total{b=\"c\\\\\\\"\\nd\",e=\"ü\"} 1\na_total 2.5\n"
        );
    }
}
