//! `cargo xtask`: what a contributor types, each command with its own set-up.
//!
//! Almost only the standard library, so that the first thing anybody runs here compiles in seconds.

mod acceptance;
mod apt;
mod bench;
mod compiler;
mod data;
mod demo;
#[cfg(unix)]
mod dist;
mod divergence;
mod document;
mod drivers;
mod fetch;
mod fresh;
#[cfg(test)]
mod house;
mod setup;
mod steps;
mod systems;
mod test;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

Commands:
  setup [--yes]          install what is missing on this machine: drivers, the wasm target, a picture
  demo [--yes] [llm]     set up, then rent the devices of this machine and compare what they claim; with llm, two of them answer a
                         question with a language model, word by word
  test [--yes] [--long]  set up, then check formatting, lints, tests and documentation
  data [--yes] [NAME]...
                         fetch real data that demo and tests work on (all, or of these names) into the cache, and print where it is
  bench [--yes] [dp32 | strangers | table [NAME] | -- ARGS...]
                         set up, then run the benchmarks (all; those of one table; none, for the last results; or with ARGS for cargo bench), and
                         write what all or those of a table found to BENCHMARKS.md
  dist [--debug] [--check]
                         build a Debian package and a tarball in target/dist; with --check, install and run both in a root of
                         their own; with --debug, of a build that takes less time
  divergence [--yes]     set up, then count what drivers compute differently, and write the table in the README
  acceptance             check public kernels, and write which are accepted to docs/acceptance.md
  fresh [SUITE] [...]    try demo and test on a Debian that has nothing but Rust; `cargo xtask fresh help` tells more

Options:
  --yes   install without asking; so it is for root and where CI is set
  --long  run the tests too that take long
";

/// Why a task stopped: text for people.
type Failure = String;

/// The command line after the command's name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    yes: bool,
    long: bool,
    /// Words of the command's own, and what stands after `--`.
    rest: Vec<String>,
}

impl Options {
    fn parse(allowed: &[&str], args: &[String]) -> Result<Self, Failure> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                known if !allowed.contains(&known) => return Err(format!("unknown argument {known:?}\n\n{USAGE}")),
                "--yes" => options.yes = true,
                "--long" => options.long = true,
                "--" => options.rest.extend(args.by_ref().cloned()),
                word => options.rest.push(word.to_owned()),
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<ExitCode, Failure> {
    let Some((command, args)) = args.split_first() else { return Err(format!("no command given\n\n{USAGE}")) };
    match command.as_str() {
        "setup" => setup::run(&Options::parse(&["--yes"], args)?)?,
        "demo" => demo::run(&Options::parse(&["--yes", "llm"], args)?)?,
        "test" => return test::run(&Options::parse(&["--yes", "--long"], args)?),
        "data" => fetch::run(&Options::parse(&fetch::arguments(), args)?)?,
        "bench" => bench::run(&Options::parse(&["--yes", "dp32", "strangers", "table", "--"], args)?)?,
        #[cfg(unix)]
        "dist" => dist::run(&Options::parse(&["--debug", "--check"], args)?)?,
        "divergence" => divergence::run(&Options::parse(&["--yes"], args)?)?,
        "acceptance" => {
            Options::parse(&[], args)?;
            acceptance::run()?;
        }
        "fresh" => return fresh::run(args),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
        }
        unknown => return Err(format!("unknown command {unknown:?}\n\n{USAGE}")),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(args: &[&str]) -> Vec<String> {
        args.iter().map(|arg| (*arg).to_owned()).collect()
    }

    #[test]
    fn what_stands_after_two_dashes_is_passed_on() {
        let options = Options::parse(&["--yes", "--"], &strings(&["--yes", "--", "matmul", "--yes"])).unwrap();
        assert!(options.yes);
        assert_eq!(options.rest, strings(&["matmul", "--yes"]));
    }

    #[test]
    fn a_word_of_the_command_is_kept() {
        assert_eq!(Options::parse(&["dp32"], &strings(&["dp32"])).unwrap().rest, strings(&["dp32"]));
        assert!(Options::parse(&["dp32"], &strings(&["dp16"])).is_err());
    }

    #[test]
    fn an_argument_of_another_command_is_refused() {
        assert!(Options::parse(&["--yes"], &strings(&["--long"])).unwrap_err().contains("--long"));
        assert!(Options::parse(&[], &strings(&["--"])).is_err());
    }
}
