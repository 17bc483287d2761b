//! A kernel in a file, for the commands that take one: reading it, refusals with its source, and the values of flags about it.

use std::fmt;
use std::io::Read;
use std::path::Path;

use isobit_shader::{Diagnostic, KernelError, MAX_WGSL_BYTES};

use crate::failure::Failure;

/// Whether the kernel comes from standard input.
pub fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// What the kernel is called in messages.
pub fn name(path: &Path) -> String {
    if is_stdin(path) { "stdin".to_owned() } else { path.display().to_string() }
}

/// Reads a kernel, from standard input if the path is `-`.
///
/// # Errors
/// It cannot be read, or is not text. One that is too long is cut, but not so short that it would be taken.
pub fn read(path: &Path) -> anyhow::Result<String> {
    let cannot = |error: &dyn fmt::Display| Failure::new(format!("cannot read {}: {error}", name(path)));
    // One byte more than is allowed, to notice a kernel that is too long.
    let limit = u64::try_from(MAX_WGSL_BYTES)? + 1;
    let mut bytes = Vec::new();
    if is_stdin(path) {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
    } else {
        let file = std::fs::File::open(path).map_err(|error| cannot(&error))?;
        file.take(limit).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
    }
    Ok(String::from_utf8(bytes).map_err(|_| Failure::new(format!("{} is not text", name(path))))?)
}

/// Turns a refusal into its [`Diagnostic`]. Other errors say nothing about the kernel.
pub fn judged<T>(result: Result<T, KernelError>) -> anyhow::Result<T> {
    result.map_err(|error| match error {
        KernelError::Refused(diagnostic) => diagnostic.into(),
        KernelError::Fault(fault) => fault.into(),
    })
}

/// The message of a refusal with the source, which is named `file`.
pub fn rendered(refused: &Diagnostic, file: &str) -> String {
    let message = refused.message_in(file);
    message.strip_prefix("error: ").unwrap_or(&message).trim_end().to_owned()
}

/// A refusal as a failure, with the source, which is named `file`, if it is about a place in the kernel.
pub fn shown(refused: &Diagnostic, file: &str) -> Failure {
    if refused.location.is_some() {
        return Failure::new(rendered(refused, file));
    }
    let told = std::iter::once(&refused.reason).chain(&refused.notes).map(String::as_str);
    let failure = Failure::new(told.collect::<Vec<_>>().join(": "));
    match &refused.help {
        Some(help) => failure.hint(help),
        None => failure,
    }
}

/// Reads `x`, `x,y` or `x,y,z`.
pub fn workgroups(text: &str) -> Result<[u32; 3], String> {
    let numbers: Result<Vec<u32>, _> = text.split(',').map(str::parse).collect();
    match numbers.as_deref() {
        Ok([x]) => Ok([*x, 1, 1]),
        Ok([x, y]) => Ok([*x, *y, 1]),
        Ok([x, y, z]) => Ok([*x, *y, *z]),
        _ => Err("expected one to three numbers, such as 16 or 4,4".to_owned()),
    }
}

/// Reads `name=value`; the value is a number, or true or false.
pub fn override_value(text: &str) -> Result<(String, f64), String> {
    let (name, value) = text.split_once('=').ok_or("expected name=value, without spaces")?;
    let value = match value {
        "true" => 1.0,
        "false" => 0.0,
        number => number.parse().map_err(|_| format!("`{number}` is no number"))?,
    };
    Ok((name.to_owned(), value))
}
