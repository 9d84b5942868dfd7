//! The ACME Order resource.
