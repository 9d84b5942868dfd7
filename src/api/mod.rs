//! What users write: the custom resources, their conditions, durations and rules. No I/O.
