//! Finds the folders of caches, and says why a device could not be opened.

use std::path::PathBuf;

use isobit_device::OpenError;

use crate::failure::Failure;

/// `$XDG_CACHE_HOME/isobit/NAME`, or `~/.cache/isobit/NAME`. None if there is no home folder.
pub fn cache(name: &str) -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("isobit").join(name))
}

/// Where the verdicts of the probe are.
pub fn verdicts() -> Option<PathBuf> {
    cache("probe")
}

/// A command's error for a device that could not be opened.
pub fn no_device(error: OpenError) -> anyhow::Error {
    Failure::new(error.to_string()).hint(error.hint()).into()
}
