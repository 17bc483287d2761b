//! Opens devices for commands, after the probe, and finds the folders of caches.

use std::path::{Path, PathBuf};

use isobit_device::probe::Verdict;
use isobit_device::{Device, DeviceSelector, OpenError};

use crate::failure::Failure;
use crate::printer::Printer;
use crate::probing::{InChild, Watch};

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

/// Opens a device, which is probed if it is not known yet.
pub fn open(selector: &DeviceSelector, printer: &Printer) -> anyhow::Result<Device> {
    let (device, verdict) = probed(selector, verdicts().as_deref(), printer)?;
    if let Some(Verdict { failure: Some(failure), .. }) = verdict {
        printer.detail(format_args!("{} computes with integers only: {failure}", device.info().name));
    }
    Ok(device)
}

/// As [`open`], and returns the verdict too, which is then stored in `verdicts`.
pub fn probed(
    selector: &DeviceSelector,
    verdicts: Option<&Path>,
    printer: &Printer,
) -> anyhow::Result<(Device, Option<Verdict>)> {
    let mut watch = Watch::new(printer);
    let mut told = |event| watch.show(event);
    let opened = isobit_device::open_probed(selector, verdicts, &mut InChild::new(selector, verdicts, &mut told));
    opened.map_err(no_device)
}

/// A command's error for a device that could not be opened.
pub fn no_device(error: OpenError) -> anyhow::Error {
    Failure::new(error.to_string()).hint(error.hint()).into()
}
