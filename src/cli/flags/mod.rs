//! The flags of `certwright controller`: first what was typed, then what it means.
//!
//! A value comes from the command line, else from the environment, else from the configuration
//! file, else it is the default. Errors name the place it came from.

mod config;
mod controllers;
mod gates;
mod settings;
mod table;
mod value;

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::{Arg, ArgAction, ArgMatches, Command, parser::ValueSource};

pub use self::{
    config::ConfigError,
    controllers::Controller,
    gates::Gates,
    settings::{
        ApiServer, Deletion, Dns01, Http01, LeaderElection, Settings, SolverBackend, Waits,
    },
};
use self::{
    config::Entry,
    table::{FLAGS, Flag, Kind},
    value::Values,
};

/// What was typed after `certwright controller`, or set in the environment.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    given: BTreeMap<&'static str, Given>,
}

/// The values of a flag and where they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    origin: Origin,
    values: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Default(&'static str),
    File(String),
    Flag(&'static str),
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default(name) | Self::Flag(name) => write!(f, "--{name}"),
            Self::File(key) => write!(f, "{key} in the configuration file"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// Flags that certwright cannot start with.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    /// A value that the flag cannot have, or that is not supported.
    #[error("{origin}: {problem}")]
    Value {
        /// The flag, variable or key.
        origin: String,
        /// What is wrong, and what to write instead.
        problem: String,
    },
    /// The configuration file cannot be read.
    #[error("read configuration file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The configuration file says something that is not understood.
    #[error("configuration file {}: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What.
        #[source]
        source: ConfigError,
    },
}

impl Flags {
    /// What they mean, together with the configuration file they name.
    ///
    /// # Errors
    /// The file cannot be read, a value does not parse, or something is asked for that is not
    /// supported.
    pub fn settings(&self) -> Result<Settings, FlagError> {
        let path = self
            .given
            .get("config")
            .and_then(|given| given.values.first());
        let file = match path.filter(|path| !path.is_empty()) {
            Some(path) => read_file(Path::new(path))?,
            None => BTreeMap::new(),
        };
        Settings::of(&Values::new(self.given.clone(), file))
    }
}

fn read_file(path: &Path) -> Result<BTreeMap<&'static str, Entry>, FlagError> {
    let limit = u64::try_from(config::MAX_BYTES).unwrap_or(u64::MAX);
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(limit).read_to_string(&mut text))
        .map_err(|source| FlagError::Read {
            path: path.to_owned(),
            source,
        })?;
    config::read(&text).map_err(|source| FlagError::Config {
        path: path.to_owned(),
        source,
    })
}

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        FLAGS
            .iter()
            .fold(command, |command, flag| command.arg(arg(flag)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn arg(flag: &'static Flag) -> Arg {
    let help = if flag.default.is_empty() {
        flag.help.to_owned()
    } else {
        format!("{} [default: {}]", flag.help, flag.default)
    };
    let arg = Arg::new(flag.name)
        .long(flag.name)
        .env(flag.variable())
        .hide_env(true)
        .allow_hyphen_values(true)
        .help(help);
    let arg = if flag.name == "v" {
        arg.short('v')
    } else {
        arg
    };
    match flag.kind {
        Kind::Bool => arg
            .action(ArgAction::Set)
            .overrides_with(flag.name)
            .value_name("BOOL")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        Kind::List | Kind::Map => arg.action(ArgAction::Append).value_name("LIST"),
        Kind::Duration => single(arg, flag).value_name("DURATION"),
        Kind::Number => single(arg, flag).value_name("N"),
        Kind::Text => single(arg, flag).value_name("TEXT"),
    }
}

/// The last one counts, as for cert-manager: charts append to what is there.
fn single(arg: Arg, flag: &Flag) -> Arg {
    arg.action(ArgAction::Set).overrides_with(flag.name)
}

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut this = Self::default();
        this.update_from_arg_matches(matches)?;
        Ok(this)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for flag in FLAGS {
            let origin = match matches.value_source(flag.name) {
                Some(ValueSource::CommandLine) => Origin::Flag(flag.name),
                Some(ValueSource::EnvVariable) => Origin::Variable(flag.variable()),
                _ => continue,
            };
            let values = matches.get_many::<String>(flag.name).unwrap_or_default();
            let given = Given {
                origin,
                values: values.cloned().collect(),
            };
            self.given.insert(flag.name, given);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
