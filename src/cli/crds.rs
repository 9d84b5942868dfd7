//! `certwright crds`: which definitions does the API server need?

use std::io::{self, Write};
use std::path::PathBuf;

use crate::api::crd;

/// Prints the CustomResourceDefinitions, or writes one file for each.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Folder to write one file per definition into, instead of printing them.
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
}

/// Why the definitions could not be given.
#[derive(Debug, thiserror::Error)]
pub enum CrdsError {
    /// The definition does not become YAML.
    #[error("cannot write {name} as YAML: {source}")]
    Yaml {
        /// Name of the definition.
        name: String,
        /// What went wrong.
        source: serde_saphyr::ser::Error,
    },
    /// The definitions cannot be printed.
    #[error("cannot print the definitions: {0}")]
    Print(#[source] io::Error),
    /// A file or its folder cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

/// Does what the arguments say.
///
/// # Errors
/// When the output cannot be written.
pub fn run(args: &Args, out: &mut impl Write) -> Result<(), CrdsError> {
    for definition in crd::all() {
        let text = crd::yaml(&definition).map_err(|source| CrdsError::Yaml {
            name: crd::file_name(&definition),
            source,
        })?;
        let Some(folder) = &args.output_dir else {
            write!(out, "---\n{text}").map_err(CrdsError::Print)?;
            continue;
        };
        let write_error = |path: &PathBuf| {
            let path = path.clone();
            move |source| CrdsError::Write { path, source }
        };
        std::fs::create_dir_all(folder).map_err(write_error(folder))?;
        let path = folder.join(crd::file_name(&definition));
        std::fs::write(&path, text).map_err(write_error(&path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_one_document_per_kind() {
        let mut out = vec![];
        run(&Args::default(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches("\n---\n").count() + 1, 7);
        assert!(text.starts_with("---\n"));
        assert_eq!(
            text.matches("\nkind: CustomResourceDefinition\n").count(),
            7
        );
    }
}
