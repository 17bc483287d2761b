//! Job specs: what is read has one canonical form and one id, and obeys the rules.

use isobit_job::{JobSpec, MAX_SPEC_JSON};

pub fn check(data: &[u8]) {
    let Ok(spec) = JobSpec::from_json(data) else { return };
    assert!(data.len() <= MAX_SPEC_JSON);
    assert_eq!(spec.check(), Ok(()));
    let canonical = spec.canonical();
    let again = JobSpec::from_json(&canonical);
    assert_eq!(again.as_ref().ok(), Some(&spec), "{again:?}");
    assert_eq!(again.map(|again| again.id()).ok(), Some(spec.id()));
}
