//! The probe's verdicts on disk: one small file for each device, driver and version of the pass.
//!
//! A verdict is about a driver's version. Some drivers report none (SwiftShader does not), and an update of theirs goes unseen: so a
//! grant of native arithmetic is good for a day then. What was found to be wrong holds until the device is probed again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use isobit_shader::Tier;
use isobit_shader::dp32::PASS_VERSION;
use serde::{Deserialize, Serialize};

use super::{Failure, Verdict};
use crate::DeviceInfo;

/// How long a driver without a version is taken to be the one that was probed.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a verdict is about. All of it must be the same for the verdict to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Subject {
    name: String,
    backend: String,
    driver: String,
    driver_info: String,
    vendor_id: u32,
    device_id: u32,
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
            vendor_id: info.vendor_id,
            device_id: info.device_id,
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
    /// When that was, in seconds since 1970.
    recorded: u64,
}

impl Entry {
    fn holds(&self, subject: &Subject, now: Duration) -> bool {
        let age = now.checked_sub(Duration::from_secs(self.recorded));
        let lasts = !subject.driver_info.is_empty() || self.verdict.tier != Some(Tier::A);
        self.subject == *subject && (lasts || age.is_some_and(|age| age < DAY))
    }
}

/// Since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// What was found out about a device, with this driver and this version of isobit.
pub fn recall(cache: &Path, info: &DeviceInfo) -> Option<Verdict> {
    recall_at(cache, info, now())
}

fn recall_at(cache: &Path, info: &DeviceInfo, now: Duration) -> Option<Verdict> {
    let subject = Subject::new(info);
    let text = fs::read(subject.file(cache)).ok()?;
    let entry: Entry = serde_json::from_slice(&text).ok()?;
    entry.holds(&subject, now).then_some(entry.verdict)
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
    let entry = Entry { subject, verdict: verdict.clone(), recorded: now().as_secs() };
    let text = serde_json::to_vec_pretty(&entry)?;
    let scratch = path.with_extension(format!("{}.new", std::process::id()));
    fs::write(&scratch, text)?;
    fs::rename(&scratch, &path)
}

/// Takes from a device the tier in which it has miscomputed. It gets none back that it had lost before.
pub(crate) fn demote(cache: &Path, info: &DeviceInfo, from: Tier, failure: Failure) -> io::Result<()> {
    let tier = match from {
        Tier::A => Some(Tier::B),
        Tier::B => None,
    };
    let unusable = |verdict: Verdict| verdict.tier.is_none();
    if recall(cache, info).is_some_and(unusable) {
        return Ok(());
    }
    record(cache, info, &Verdict { tier, failure: Some(failure) })
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

    use super::{DAY, demote, now, recall, recall_at, record};
    use crate::probe::{Failure, Verdict};
    use crate::{DeviceInfo, DeviceKind};

    fn info() -> DeviceInfo {
        DeviceInfo {
            name: "adapter".to_owned(),
            backend: "Vulkan".to_owned(),
            driver: "driver".to_owned(),
            driver_info: "1.0".to_owned(),
            vendor_id: 1,
            device_id: 2,
            kind: DeviceKind::Cpu,
            memory: None,
        }
    }

    fn failure() -> Failure {
        Failure { check: "a sum".to_owned(), detail: "wrong".to_owned() }
    }

    #[test]
    fn a_driver_without_a_version_keeps_native_arithmetic_for_a_day() {
        let cache = tempfile::tempdir().unwrap();
        let [versioned, nameless] = ["1.0", ""].map(|text| DeviceInfo { driver_info: text.to_owned(), ..info() });
        let granted = Verdict { tier: Some(Tier::A), failure: None };
        for info in [&versioned, &nameless] {
            record(cache.path(), info, &granted).unwrap();
            assert_eq!(recall(cache.path(), info), Some(granted.clone()));
        }
        let tomorrow = now() + DAY;
        assert_eq!(recall_at(cache.path(), &versioned, tomorrow), Some(granted));
        assert_eq!(recall_at(cache.path(), &nameless, tomorrow), None);
        // Nor does a clock that was put back make it last longer.
        assert_eq!(recall_at(cache.path(), &nameless, now() - DAY), None);
        demote(cache.path(), &nameless, Tier::A, failure()).unwrap();
        assert_eq!(recall_at(cache.path(), &nameless, tomorrow).unwrap().tier, Some(Tier::B));
    }

    #[test]
    fn a_device_loses_one_tier_after_the_other_and_gets_none_back() {
        let cache = tempfile::tempdir().unwrap();
        let tier = || recall(cache.path(), &info()).unwrap().tier;
        for (from, left) in [(Tier::A, Some(Tier::B)), (Tier::A, Some(Tier::B)), (Tier::B, None), (Tier::A, None)] {
            demote(cache.path(), &info(), from, failure()).unwrap();
            assert_eq!(tier(), left);
        }
    }

    #[test]
    fn a_verdict_is_about_one_device_and_driver() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("probe");
        let info = info();
        assert_eq!(recall(&cache, &info), None);
        let refused = Verdict { tier: Some(Tier::B), failure: Some(failure()) };
        record(&cache, &info, &refused).unwrap();
        assert_eq!(recall(&cache, &info), Some(refused));
        let updated = DeviceInfo { driver_info: "1.1".to_owned(), ..info.clone() };
        assert_eq!(recall(&cache, &updated), None);
        assert_eq!(recall(&cache, &DeviceInfo { device_id: 3, ..info.clone() }), None);
        let granted = Verdict { tier: Some(Tier::A), failure: None };
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
