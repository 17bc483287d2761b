//! Steps of a task, one after the other: a headline, the time it took, a summary. A step that fails does not keep
//! the others from running.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;

/// The steps of a task so far.
#[derive(Default)]
pub struct Steps {
    done: Vec<Step>,
}

struct Step {
    name: String,
    time: Duration,
    passed: bool,
}

impl Steps {
    /// Runs a step and says whether it passed.
    pub fn run(&mut self, name: &str, step: impl FnOnce() -> Result<(), Failure>) -> bool {
        eprintln!("==> {name}");
        let start = Instant::now();
        let result = step();
        if let Err(failure) = &result {
            eprintln!("error: {failure}");
        }
        let step = Step { name: name.to_owned(), time: start.elapsed(), passed: result.is_ok() };
        eprintln!("==> {}", step.summary());
        self.done.push(step);
        result.is_ok()
    }

    /// How many steps failed.
    pub fn failed(&self) -> usize {
        self.done.iter().filter(|step| !step.passed).count()
    }

    /// One line per step.
    pub fn summary(&self) -> String {
        self.done.iter().map(|step| format!("  {}\n", step.summary())).collect()
    }
}

impl Step {
    fn summary(&self) -> String {
        let end = if self.passed { "ok" } else { "FAILED" };
        format!("{}: {end}, {:.1} s", self.name, self.time.as_secs_f64())
    }
}

/// A cargo command for this workspace.
pub fn cargo(args: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).args(args);
    // What `cargo run` tells xtask about itself. Build scripts that look at it (ring's does) would run again, and with
    // them half of the workspace, whenever cargo is called directly in between.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            cargo.env_remove(name);
        }
    }
    // Mesa's layer for choosing a device asks a display server, and complains on stderr where there is none.
    cargo.env("NODEVICE_SELECT", "1").stdin(Stdio::null());
    cargo
}

/// Runs a command to its end.
pub fn check(command: &mut Command) -> Result<(), Failure> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{}: {status}", shown(command))),
        Err(error) => Err(format!("cannot start {}: {error}", shown(command))),
    }
}

/// A command as somebody would type it.
pub fn shown(command: &Command) -> String {
    let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
    format!("`cargo {}`", args.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_counted_and_named() {
        let mut steps = Steps::default();
        steps.run("first", || Err("broken".to_owned()));
        steps.run("second", || Ok(()));
        assert_eq!(steps.failed(), 1);
        assert!(steps.summary().contains("first: FAILED"), "{}", steps.summary());
        assert!(steps.summary().contains("second: ok"), "{}", steps.summary());
    }
}
