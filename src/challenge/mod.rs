//! The ACME Challenge resource.
