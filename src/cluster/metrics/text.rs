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
        self.written_sample("", labels, value);
    }

    /// Append a sample whose first labels are written by [`push_labels`] already.
    pub(super) fn written_sample(
        &mut self,
        written: &str,
        labels: &[(&str, &str)],
        value: impl fmt::Display,
    ) {
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
        if !written.is_empty() || !labels.is_empty() {
            self.text.push('{');
            self.text.push_str(written);
            if !written.is_empty() && !labels.is_empty() {
                self.text.push(',');
            }
            push_labels(self.text, labels);
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

/// Append labels as they are written between braces.
pub(super) fn push_labels(text: &mut String, labels: &[(&str, &str)]) {
    for (index, (label, value)) in labels.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(label);
        text.push_str("=\"");
        push_escaped(text, value);
        text.push('"');
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
        family.written_sample("f=\"g\"", &[], 3);
        family.written_sample("f=\"g\"", &[("h", "i")], 4);
        assert_eq!(
            text,
            "# HELP a_total All.\n# TYPE a_total counter\n\
             a_total{b=\"c\\\\\\\"\\nd\",e=\"ü\"} 1\na_total 2.5\n\
             a_total{f=\"g\"} 3\na_total{f=\"g\",h=\"i\"} 4\n"
        );
    }
}
