//! The HTTP client and DNS look-ups.
