//! `isobit new`: a workload crate that builds and runs at once.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::failure::{Failure, Status};
use crate::printer::Printer;

/// The files of the templates, each in a folder of the template's name, and of the SDK. Made by `build.rs`.
const TEMPLATES: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/templates.rs"));
const SDK: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// The placeholder for the crate's name in the template's files.
const NAME: &str = "{{name}}";

/// Make a folder with a new workload crate
///
/// The crate holds what it needs to build, the SDK too.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  isobit new blur\n  isobit new work/blur --name my-blur\n  isobit new words --template command"
)]
pub struct New {
    /// The folder to make; it may exist if it is empty
    dir: PathBuf,
    /// The crate's name [default: that of the folder]
    #[arg(long)]
    name: Option<String>,
    /// What to begin with
    #[arg(long, value_name = "TEMPLATE", default_value = "compute")]
    template: Template,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Template {
    /// A workload with a kernel, by the SDK
    Compute,
    /// An ordinary program with `main`, with arguments, standard streams and files
    Command,
}

impl Template {
    /// The files of a new crate, by their place in it.
    fn files(self) -> impl Iterator<Item = (&'static str, &'static [u8])> {
        let (folder, sdk) = match self {
            Self::Compute => ("compute/", SDK),
            Self::Command => ("command/", [].as_slice()),
        };
        let own = TEMPLATES.iter().filter_map(move |(place, content)| Some((place.strip_prefix(folder)?, *content)));
        own.chain(sdk.iter().copied())
    }
}

#[derive(serde::Serialize)]
struct Answer<'a> {
    dir: &'a Path,
    name: &'a str,
}

impl New {
    /// Writes the crate.
    pub fn run(self, printer: &Printer) -> anyhow::Result<Status> {
        let dir = &self.dir;
        let name = match self.name {
            Some(name) => name,
            None => folder_name(dir)?,
        };
        check_name(&name)?;
        refuse_if_used(dir)?;
        for (place, content) in self.template.files() {
            write(dir, place, content, &name)?;
        }
        printer.answer(&Answer { dir, name: &name }, &dir.display())?;
        printer.note(format_args!("made the workload {name}; build it with `isobit build {}`", dir.display()));
        Ok(Status::Ok)
    }
}

/// The last part of the path, also of `.` and the like.
fn folder_name(dir: &Path) -> anyhow::Result<String> {
    let absolute = std::path::absolute(dir).with_context(|| format!("cannot use {}", dir.display()))?;
    match absolute.file_name().and_then(|name| name.to_str()) {
        Some(name) => Ok(name.to_owned()),
        None => Err(Failure::new(format!("{} gives no name for the crate", dir.display())).hint("give --name").into()),
    }
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if starts_well && name.chars().all(is_allowed) && !name.starts_with("isobit") {
        return Ok(());
    }
    Err(Failure::new(format!("{name:?} cannot be the crate's name"))
        .hint("give --name: a letter, then a-z, 0-9, '-' and '_'; not starting with isobit, which is the SDK's")
        .into())
}

fn refuse_if_used(dir: &Path) -> anyhow::Result<()> {
    let is_empty = match fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(Failure::new(format!("cannot use {}: {error}", dir.display())).into()),
        Ok(mut entries) => entries.next().is_none(),
    };
    if is_empty {
        return Ok(());
    }
    Err(Failure::new(format!("{} is not empty", dir.display())).hint("name a folder that does not exist yet").into())
}

fn write(dir: &Path, place: &str, content: &[u8], name: &str) -> anyhow::Result<()> {
    let path = dir.join(place);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let named = match std::str::from_utf8(content) {
        Ok(text) if text.contains(NAME) => text.replace(NAME, name).into_bytes(),
        _ => content.to_vec(),
    };
    fs::write(&path, named).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cargo_or_the_sdk_would_trip_over_are_refused() {
        for name in ["blur", "my-blur", "a1_b"] {
            check_name(name).unwrap();
        }
        for name in ["", "1blur", "Blur", "my blur", "-x", "../x", "isobit", "isobit-sdk"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_template_and_everything_it_stands_on_is_embedded() {
        let has = |template: Template, place: &str| template.files().any(|(embedded, _)| embedded == place);
        for place in [
            "Cargo.toml",
            "src/lib.rs",
            "vendor/isobit/sdk/Cargo.toml",
            "vendor/isobit/sdk/src/lib.rs",
            "vendor/isobit/wit/world.wit",
        ] {
            assert!(has(Template::Compute, place), "{place}");
        }
        assert!(has(Template::Command, "Cargo.toml") && has(Template::Command, "src/main.rs"));
        assert!(!Template::Command.files().any(|(place, _)| place.starts_with("vendor")));
    }
}
