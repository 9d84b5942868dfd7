//! Ways of proving control of a name: HTTP-01 and DNS-01.

pub mod dns01;
pub mod http01;
