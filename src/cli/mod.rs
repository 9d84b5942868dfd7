//! The command line, one file per subcommand.

pub mod crds;
pub mod flags;
pub mod logging;
