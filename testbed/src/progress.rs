//! How does a person see what the test bed is doing?

use std::{io::Write, time::Instant};

/// Prints one line per step to standard error, or nothing at all.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    since: Option<Instant>,
}

impl Progress {
    /// Prints each step with the seconds since now.
    pub fn shown() -> Self {
        Self {
            since: Some(Instant::now()),
        }
    }

    /// Prints only what takes long, such as building a tool.
    pub fn quiet() -> Self {
        Self { since: None }
    }

    /// A step of the normal course.
    pub fn step(&self, text: &str) {
        if let Some(since) = self.since {
            line(&format!("{:6.1}s  {text}", since.elapsed().as_secs_f64()));
        }
    }

    /// A step that takes minutes, which a person wants to know about in any case.
    pub fn long(&self, text: &str) {
        match self.since {
            Some(_) => self.step(text),
            None => line(&format!("test bed: {text}")),
        }
    }
}

fn line(text: &str) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{text}");
}
