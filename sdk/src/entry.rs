//! The code that `#[isobit::main]` calls, to make a Rust function the exported `run`.

use std::fmt::Display;

use crate::bindings::isobit::compute::report;

/// What the function under `#[isobit::main]` may return.
pub trait Ending {
    /// The workload's result, with the error as text.
    fn outcome(self) -> Result<(), String>;
}

impl Ending for () {
    fn outcome(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: Display> Ending for Result<(), E> {
    fn outcome(self) -> Result<(), String> {
        // The alternate form, because error types that know their causes print them all in it.
        self.map_err(|error| format!("{error:#}"))
    }
}

/// Runs a workload's entry. A panic is written to the renter's log before it ends the job as a trap.
pub fn run<T: Ending>(entry: impl FnOnce() -> T) -> Result<(), String> {
    std::panic::set_hook(Box::new(|panic| {
        report::log(report::Level::Error, &panic.to_string());
    }));
    entry().outcome()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_ends_the_workload_with_its_text() {
        let failed: Result<(), &str> = Err("no photo");
        assert_eq!(failed.outcome(), Err("no photo".to_owned()));
        assert_eq!(Ok::<(), String>(()).outcome(), Ok(()));
        assert_eq!(().outcome(), Ok(()));
    }
}
