//! The probe's verdicts on disk: one small file for each device, driver and version of the pass.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use isobit_shader::dp32::PASS_VERSION;
use serde::{Deserialize, Serialize};

use super::Verdict;
use crate::DeviceInfo;

/// What a verdict is about. All of it must be the same for the verdict to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Subject {
    name: String,
    backend: String,
    driver: String,
    driver_info: String,
    pass_version: u32,
    /// Of isobit, since another may bring another compiler for shaders.
    software: String,
}

impl Subject {
    fn new(info: &DeviceInfo) -> Self {
        Self {
            name: info.name.clone(),
            backend: info.backend.clone(),
            driver: info.driver.clone(),
            driver_info: info.driver_info.clone(),
            pass_version: PASS_VERSION,
            software: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// A file name that is hardly another's. Should it be, the verdict is not found.
    fn file(&self, cache: &Path) -> PathBuf {
        let all = format!("{self:?}");
        // FNV-1a
        let hash = all
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        cache.join(format!("{hash:016x}.json"))
    }
}

#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    subject: Subject,
    #[serde(flatten)]
    verdict: Verdict,
}

/// What was found out about a device, with this driver and this version of isobit.
pub fn recall(cache: &Path, info: &DeviceInfo) -> Option<Verdict> {
    let subject = Subject::new(info);
    let text = fs::read(subject.file(cache)).ok()?;
    let entry: Entry = serde_json::from_slice(&text).ok()?;
    (entry.subject == subject).then_some(entry.verdict)
}

/// Keeps what was found out about a device, in a folder that only its owner may write to. A later verdict replaces an
/// earlier one.
///
/// # Errors
/// The folder cannot be written to.
pub fn record(cache: &Path, info: &DeviceInfo, verdict: &Verdict) -> io::Result<()> {
    fs::create_dir_all(cache)?;
    let subject = Subject::new(info);
    let path = subject.file(cache);
    let text = serde_json::to_vec_pretty(&Entry { subject, verdict: verdict.clone() })?;
    let scratch = path.with_extension(format!("{}.new", std::process::id()));
    fs::write(&scratch, text)?;
    fs::rename(&scratch, &path)
}

/// Waits for its turn to probe, which ends when the file is closed.
pub(super) fn lock(cache: &Path) -> io::Result<fs::File> {
    fs::create_dir_all(cache)?;
    let file = fs::File::create(cache.join("lock"))?;
    file.lock()?;
    Ok(file)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use isobit_shader::Tier;

    use super::{recall, record};
    use crate::probe::{Failure, Verdict};
    use crate::{DeviceInfo, DeviceKind};

    #[test]
    fn a_verdict_is_about_one_device_and_driver() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("probe");
        let info = DeviceInfo {
            name: "adapter".to_owned(),
            backend: "Vulkan".to_owned(),
            driver: "driver".to_owned(),
            driver_info: "1.0".to_owned(),
            kind: DeviceKind::Cpu,
            memory: None,
        };
        assert_eq!(recall(&cache, &info), None);
        let failure = Failure { check: "a sum".to_owned(), detail: "wrong".to_owned() };
        let refused = Verdict { tier: Tier::B, failure: Some(failure) };
        record(&cache, &info, &refused).unwrap();
        assert_eq!(recall(&cache, &info), Some(refused));
        let updated = DeviceInfo { driver_info: "1.1".to_owned(), ..info.clone() };
        assert_eq!(recall(&cache, &updated), None);
        let granted = Verdict { tier: Tier::A, failure: None };
        record(&cache, &info, &granted).unwrap();
        assert_eq!(recall(&cache, &info), Some(granted));
        // A damaged file is no verdict.
        drop(super::lock(&cache).unwrap());
        let files = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
        let file = files.into_iter().find(|path| path.extension().is_some_and(|it| it == "json")).unwrap();
        std::fs::write(file, "{").unwrap();
        assert_eq!(recall(&cache, &info), None);
    }
}
