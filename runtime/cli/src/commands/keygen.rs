//! `isobit keygen`: a new identity for this node.

use std::path::{Path, PathBuf};

use isobit_job::{NodeKey, SecretKey};

use crate::failure::Status;
use crate::key;
use crate::printer::Printer;

/// Make a secret key for this node and print the public one
///
/// The file can be read by its owner only. Others know this node by the public key.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  isobit keygen\n  isobit keygen -o provider.key")]
pub struct Keygen {
    /// The file to write [default: ~/.config/isobit/key]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite a key that exists
    #[arg(long)]
    force: bool,
}

#[derive(serde::Serialize)]
struct Answer<'a> {
    public_key: NodeKey,
    file: &'a Path,
}

impl Keygen {
    /// Writes the key.
    pub fn run(self, printer: &Printer) -> anyhow::Result<Status> {
        let path = match self.output {
            Some(path) => path,
            None => key::default_path()?,
        };
        let public_key = key::write(&path, &SecretKey::generate(), self.force)?;
        printer.answer(&Answer { public_key, file: &path }, &public_key)?;
        printer.note(format_args!("the secret key is in {}", path.display()));
        Ok(Status::Ok)
    }
}
