//! `isobit man`: manual pages, made from the same source as `--help`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::failure::Status;
use crate::printer::Printer;

/// Write manual pages
///
/// Prints the main page on stdout; with -o, writes one page per command into a folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  isobit man | man -l -\n  isobit man -o ~/.local/share/man/man1")]
pub struct Man {
    /// The folder for the pages; made if it does not exist
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

#[derive(serde::Serialize)]
struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<String>,
    files: Vec<PathBuf>,
}

impl Man {
    /// Prints or writes the pages of `isobit` and all its commands.
    pub fn run(self, isobit: clap::Command, printer: &Printer) -> anyhow::Result<Status> {
        match self.output {
            None => {
                let mut page = Vec::new();
                clap_mangen::Man::new(isobit).render(&mut page)?;
                let page = String::from_utf8(page)?;
                printer.answer(&Answer { page: Some(page.clone()), files: Vec::new() }, &page)?;
            }
            Some(dir) => {
                let files =
                    write_pages(isobit, &dir).with_context(|| format!("cannot write pages in {}", dir.display()))?;
                let list: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
                printer.answer(&Answer { page: None, files }, &list.join("\n"))?;
            }
        }
        Ok(Status::Ok)
    }
}

fn write_pages(isobit: clap::Command, dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    fs::create_dir_all(dir)?;
    let mut root = isobit.disable_help_subcommand(true);
    // Gives subcommands their full names.
    root.build();
    let (mut files, mut left) = (Vec::new(), vec![&root]);
    while let Some(command) = left.pop() {
        let is_shown = |command: &&clap::Command| !command.is_hide_set() && command.get_name() != "help";
        left.extend(command.get_subcommands().filter(is_shown));
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
        let mut page = Vec::new();
        clap_mangen::Man::new(command.clone()).title(name.clone()).render(&mut page)?;
        let file = dir.join(format!("{name}.1"));
        fs::write(&file, page)?;
        files.push(file);
    }
    Ok(files)
}
