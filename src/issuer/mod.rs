//! One file per kind of issuer.
