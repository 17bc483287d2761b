//! The probe's verdicts on disk: one small file for each device, driver and version of the pass.
//!
//! A job may cast suspicion on a device. Jobs come from strangers, so a suspicion takes no tier away: it only has the device
//! probed again, once a day at most.
//!
//! A verdict applies to one version of a driver. Some drivers report no version (SwiftShader does not), so their updates go
//! unnoticed: for these, a grant of native arithmetic is valid for a day. A verdict of integers only holds until the device is
//! probed again; a device that may not be used at all is looked at again after a day.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use isobit_shader::Tier;
use isobit_shader::dp32::PASS_VERSION;
use serde::{Deserialize, Serialize};

use crate::DeviceInfo;

/// The probe's result for a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The tier in which the device runs kernels: "A", native arithmetic, or "B", integers only. None, written "none": it must
    /// not run any.
    #[serde(with = "tier")]
    pub tier: Option<Tier>,
    /// Why it did not get tier A; for a device without a tier, why it did not get tier B.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// The first wrong result of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The check that failed, such as `a product`.
    pub check: String,
    /// What went wrong, with the bits of the operands.
    pub detail: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.check, self.detail)
    }
}

/// How long a driver that reports no version counts as the one that was probed.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The device and software that a verdict applies to. All fields must be equal for the verdict to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Subject {
    name: String,
    backend: String,
    driver: String,
    driver_info: String,
    vendor_id: u32,
    device_id: u32,
    pass_version: u32,
    /// The version of isobit: another may have another shader compiler.
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

    /// The file of the verdict. Its name is a hash; if two subjects collide, the verdict of one is not found.
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
    /// When the verdict was recorded, in seconds since 1970.
    recorded: u64,
    /// A wrong result that a job has found since then: the device is probed again before the verdict is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    suspicion: Option<Failure>,
    /// When the probe last passed a device that a job had cast suspicion on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cleared: Option<u64>,
}

impl Entry {
    fn holds(&self, subject: &Subject, now: Duration) -> bool {
        let age = now.checked_sub(Duration::from_secs(self.recorded));
        let lasts = match self.verdict.tier {
            Some(Tier::A) => !subject.driver_info.is_empty(),
            Some(Tier::B) => true,
            // What was wrong may have been the moment's: memory, heat, a driver in the middle of an update.
            None => false,
        };
        self.subject == *subject && (lasts || age.is_some_and(|age| age < DAY))
    }

    /// Reads the entry of a device, whether its verdict still holds or not.
    fn read(cache: &Path, subject: &Subject) -> Option<Self> {
        let text = fs::read(subject.file(cache)).ok()?;
        let entry: Self = serde_json::from_slice(&text).ok()?;
        (entry.subject == *subject).then_some(entry)
    }

    fn write(&self, cache: &Path) -> io::Result<()> {
        fs::create_dir_all(cache)?;
        let path = self.subject.file(cache);
        let text = serde_json::to_vec_pretty(self)?;
        let scratch = path.with_extension(format!("{}.new", std::process::id()));
        fs::write(&scratch, text)?;
        open_to_all(cache, 0o755);
        open_to_all(&scratch, 0o644);
        fs::rename(&scratch, &path)
    }
}

/// Lets other users read a path, whatever the mask: a root's workers are other users. Where that cannot be, a worker finds no verdict.
fn open_to_all(path: &Path, mode: u32) {
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).ok();
    #[cfg(not(unix))]
    let _ = (path, mode);
}

/// The time since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The kept verdict on a device, with this driver and this version of isobit. None if there is none, or if a job has cast
/// suspicion on the device since.
pub fn recall(cache: &Path, info: &DeviceInfo) -> Option<Verdict> {
    recall_at(cache, info, now())
}

fn recall_at(cache: &Path, info: &DeviceInfo, now: Duration) -> Option<Verdict> {
    let subject = Subject::new(info);
    let entry = Entry::read(cache, &subject)?;
    (entry.holds(&subject, now) && entry.suspicion.is_none()).then_some(entry.verdict)
}

/// The wrong result that a job has found on a device, if the device has not been probed since.
pub fn suspicion(cache: &Path, info: &DeviceInfo) -> Option<Failure> {
    Entry::read(cache, &Subject::new(info))?.suspicion
}

/// Keeps a verdict in `cache`, which should be a folder that only its owner may write to. A later verdict replaces an
/// earlier one, and clears the device of suspicion.
///
/// # Errors
/// The folder cannot be written to.
pub fn record(cache: &Path, info: &DeviceInfo, verdict: &Verdict) -> io::Result<()> {
    let subject = Subject::new(info);
    let recorded = now().as_secs();
    let before = Entry::read(cache, &subject);
    let cleared = before.and_then(|before| before.suspicion.map(|_| recorded).or(before.cleared));
    Entry { subject, verdict: verdict.clone(), recorded, suspicion: None, cleared }.write(cache)
}

/// The most characters of what a job says of a device.
const MAX_DETAIL: usize = 1000;

/// A job's finding: the device's results differed from the CPU's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspicion {
    subject: Subject,
    /// The tier that the device ran in.
    #[serde(with = "tier")]
    tier: Option<Tier>,
    what: Failure,
}

impl Suspicion {
    /// The same about the same device, in the words of a job.
    #[must_use]
    pub fn in_words(mut self, what: &str) -> Self {
        self.what.detail = what.chars().take(MAX_DETAIL).collect();
        self
    }

    /// Casts suspicion on the device: it is probed again when it is next opened, unless the probe has cleared it of another suspicion
    /// within the last day. Says whether it is.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn note(&self, cache: &Path) -> io::Result<bool> {
        let (subject, failure) = (self.subject.clone(), self.what.clone());
        let verdict = Verdict { tier: self.tier, failure: None };
        let entry = Entry::read(cache, &subject);
        let entry = entry.unwrap_or(Entry { subject, verdict, recorded: 0, suspicion: None, cleared: None });
        let age = |since| now().checked_sub(Duration::from_secs(since));
        if entry.cleared.and_then(age).is_some_and(|age| age < DAY) {
            let name = self.subject.name.as_str();
            tracing::warn!(target: "isobit::device", name, %failure, "not probed again: it was cleared today");
            return Ok(false);
        }
        Entry { suspicion: Some(failure), ..entry }.write(cache).map(|()| true)
    }
}

/// Whom a device that was opened in a tier tells of suspicions.
#[derive(Clone, Default)]
pub(crate) enum Suspicions {
    /// Nobody: verdicts are not kept.
    #[default]
    Dropped,
    /// They are noted next to the verdicts.
    Kept(PathBuf, Tier),
    /// Whoever may write there.
    Told(Arc<dyn Fn(&str) + Send + Sync>, Tier),
}

impl std::fmt::Debug for Suspicions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Dropped => "Dropped",
            Self::Kept(..) => "Kept",
            Self::Told(..) => "Told",
        })
    }
}

impl Suspicions {
    pub(crate) fn kept_in(cache: Option<&Path>, tier: Tier) -> Self {
        cache.map_or(Self::Dropped, |cache| Self::Kept(cache.to_owned(), tier))
    }

    /// They are told, where they would have been kept.
    pub(crate) fn told(self, tell: Arc<dyn Fn(&str) + Send + Sync>) -> Self {
        match self {
            Self::Dropped => Self::Dropped,
            Self::Kept(_, tier) | Self::Told(_, tier) => Self::Told(tell, tier),
        }
    }

    /// What a suspicion against a device would be, before there is one.
    pub(crate) fn against(&self, info: &DeviceInfo) -> Option<Suspicion> {
        let (Self::Kept(_, tier) | Self::Told(_, tier)) = self else { return None };
        let what = Failure { check: "a job".to_owned(), detail: String::new() };
        Some(Suspicion { subject: Subject::new(info), tier: Some(*tier), what })
    }

    /// Notes that in a job the device's results differed from the CPU's.
    pub(crate) fn note(&self, info: &DeviceInfo, what: &str) -> io::Result<()> {
        let Some(suspicion) = self.against(info).map(|suspicion| suspicion.in_words(what)) else { return Ok(()) };
        match self {
            Self::Kept(cache, _) => drop(suspicion.note(cache)?),
            Self::Told(tell, _) => tell(what),
            Self::Dropped => {}
        }
        Ok(())
    }
}

/// Locks `cache` for probing, until the returned file is closed. Calls `waits` if another process holds the lock.
pub(crate) fn lock(cache: &Path, waits: impl FnOnce()) -> io::Result<fs::File> {
    fs::create_dir_all(cache)?;
    let file = fs::File::create(cache.join("lock"))?;
    if let Err(fs::TryLockError::WouldBlock) = file.try_lock() {
        waits();
        file.lock()?;
    }
    Ok(file)
}

mod tier {
    use isobit_shader::Tier;
    use serde::{Deserialize, Deserializer, Serializer, de};

    #[expect(clippy::trivially_copy_pass_by_ref, clippy::ref_option, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(tier: &Option<Tier>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match tier {
            Some(Tier::A) => "A",
            Some(Tier::B) => "B",
            None => "none",
        })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Tier>, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "A" => Ok(Some(Tier::A)),
            "B" => Ok(Some(Tier::B)),
            "none" => Ok(None),
            other => Err(de::Error::unknown_variant(other, &["A", "B", "none"])),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use isobit_shader::Tier;

    use super::{DAY, Failure, Subject, Suspicion, Verdict, now, recall, recall_at, record, suspicion};
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
            classes: Vec::new(),
        }
    }

    fn failure() -> Failure {
        Failure { check: "a sum".to_owned(), detail: "wrong".to_owned() }
    }

    fn suspect(cache: &std::path::Path, info: &DeviceInfo, tier: Tier, what: Failure) -> std::io::Result<()> {
        Suspicion { subject: Subject::new(info), tier: Some(tier), what }.note(cache).map(drop)
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
        // A clock that was set back does not make it last longer.
        assert_eq!(recall_at(cache.path(), &nameless, now() - DAY), None);
        let refused = Verdict { tier: Some(Tier::B), failure: Some(failure()) };
        record(cache.path(), &nameless, &refused).unwrap();
        assert_eq!(recall_at(cache.path(), &nameless, tomorrow), Some(refused));
    }

    #[test]
    fn a_device_that_may_not_be_used_is_looked_at_again_after_a_day() {
        let cache = tempfile::tempdir().unwrap();
        let excluded = Verdict { tier: None, failure: Some(failure()) };
        record(cache.path(), &info(), &excluded).unwrap();
        assert_eq!(recall(cache.path(), &info()), Some(excluded));
        assert_eq!(recall_at(cache.path(), &info(), now() + DAY), None);
    }

    #[test]
    fn a_suspicion_has_a_device_probed_again_once_a_day() {
        let cache = tempfile::tempdir().unwrap();
        let cache = cache.path();
        let granted = Verdict { tier: Some(Tier::A), failure: None };
        record(cache, &info(), &granted).unwrap();
        suspect(cache, &info(), Tier::A, failure()).unwrap();
        assert_eq!((recall(cache, &info()), suspicion(cache, &info())), (None, Some(failure())));
        // The probe passes it: further suspicions have no effect today.
        record(cache, &info(), &granted).unwrap();
        suspect(cache, &info(), Tier::A, failure()).unwrap();
        assert_eq!((recall(cache, &info()), suspicion(cache, &info())), (Some(granted), None));
        // Another verdict does not change that; a day later suspicions have an effect again.
        let refused = Verdict { tier: Some(Tier::B), failure: Some(failure()) };
        record(cache, &info(), &refused).unwrap();
        suspect(cache, &info(), Tier::B, failure()).unwrap();
        assert_eq!(recall(cache, &info()), Some(refused));
        let file = super::Subject::new(&info()).file(cache);
        let text = std::fs::read_to_string(&file).unwrap();
        let mut entry: serde_json::Value = serde_json::from_str(&text).unwrap();
        entry["cleared"] = 1000.into();
        std::fs::write(&file, entry.to_string()).unwrap();
        suspect(cache, &info(), Tier::B, failure()).unwrap();
        assert_eq!(suspicion(cache, &info()), Some(failure()));
    }

    #[test]
    fn a_suspicion_holds_where_no_verdict_is_kept() {
        let cache = tempfile::tempdir().unwrap();
        suspect(cache.path(), &info(), Tier::A, failure()).unwrap();
        assert_eq!((recall(cache.path(), &info()), suspicion(cache.path(), &info())), (None, Some(failure())));
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
        // A damaged file counts as no verdict.
        drop(super::lock(&cache, || ()).unwrap());
        let files = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
        let file = files.into_iter().find(|path| path.extension().is_some_and(|it| it == "json")).unwrap();
        std::fs::write(file, "{").unwrap();
        assert_eq!(recall(&cache, &info), None);
    }
}
