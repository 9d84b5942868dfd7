//! What must hold for durations of any shape?

use super::duration::{self, Duration};

/// Durations: what is read is written in Go's way and read again, to the second.
pub fn duration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let kept = Duration::from(text);
    assert_eq!(kept.as_str(), text);
    let Ok(value) = duration::parse(text) else {
        return;
    };
    assert_eq!(kept.parse(), Ok(value));
    let written = Duration::from(value);
    let again = written.parse();
    assert_eq!(again.map(|again| again.as_secs()), Ok(value.as_secs()));
}
