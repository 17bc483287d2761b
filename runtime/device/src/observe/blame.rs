//! Finds the cause of a word that the device and the CPU disagree about.
//!
//! The job ends in any case: the word cannot be reproduced. A race in the kernel is the renter's fault, so races are looked for
//! first, within the workgroup and then in the whole dispatch. Then the device runs the workgroup once more, alone. The device is
//! suspected only if no race was found and it is wrong again. The kernel is a stranger's, so this is only a suspicion: the
//! provider's own probe decides on it before the device is opened again.

use std::time::Duration;

use isobit_job::{Fault, FaultKind};
use isobit_shader::interpreter::Race;

use super::spot::Mismatch;
use crate::core::{Dispatch, Queue};
use crate::referee::{Replay, stopped_after};
use crate::verdicts::Suspicions;

/// How long races are looked for in the workgroup.
const WORKGROUP_TIME: Duration = Duration::from_secs(10);

/// How long races are looked for in the whole dispatch.
const DISPATCH_TIME: Duration = Duration::from_secs(2);

/// The most bytes of the text about a race.
const MAX_TEXT: usize = 500;

/// Finds the cause of a mismatch. The returned fault ends the job.
pub(super) fn blame(
    dispatch: &Dispatch,
    replay: &Replay,
    mismatch: Mismatch,
    suspicions: &Suspicions,
    queue: &mut Queue,
) -> Result<Fault, Fault> {
    let what = mismatch.to_string();
    if let Some(race) = race(dispatch, replay, mismatch.workgroup, queue) {
        tracing::warn!(target: "isobit::device", %mismatch, %race, "the kernel races");
        // The names in the text are the guest's, and may be of any length.
        let mut race = race.to_string();
        race.truncate(race.floor_char_boundary(MAX_TEXT));
        return Ok(Fault::new(FaultKind::KernelRaces, format_args!("{race}; {what}")));
    }
    if alone(dispatch, replay, mismatch, queue)? == Some(mismatch.expected) {
        tracing::warn!(target: "isobit::device", %mismatch, "alone it agrees");
        let why = "alone the workgroup agrees with the CPU, so the kernel's workgroups race, or the device erred for a moment";
        return Ok(Fault::new(FaultKind::Irreproducible, format_args!("{what}; {why}")));
    }
    tracing::error!(target: "isobit::device", %mismatch, name = queue.info().name, "miscomputed");
    if let Err(error) = suspicions.note(queue.info(), &what) {
        tracing::warn!(target: "isobit::device", %error, "the suspicion against the device could not be noted");
    }
    Ok(Fault::new(FaultKind::Miscomputed, what))
}

/// A race within the workgroup, or else one in the whole dispatch.
fn race(dispatch: &Dispatch, replay: &Replay, workgroup: [u32; 3], queue: &Queue) -> Option<Race> {
    let number = dispatch.number_of(workgroup);
    let find = |part: std::ops::Range<u64>, time| {
        let found = stopped_after(time, &queue.waits, |stop| replay.races(part, 1, u64::MAX, stop));
        found.races.into_iter().next()
    };
    find(number..number + 1, WORKGROUP_TIME).or_else(|| find(0..dispatch.count(), DISPATCH_TIME))
}

/// The word of a mismatch after its workgroup has run alone on the device, on the contents before the dispatch.
fn alone(dispatch: &Dispatch, replay: &Replay, mismatch: Mismatch, queue: &mut Queue) -> Result<Option<u32>, Fault> {
    let (group, binding) = mismatch.at;
    let Some(range) = replay.range(group, binding) else { return Ok(None) };
    let after = queue.run_alone(dispatch, &replay.contents(), mismatch.workgroup)?;
    let word = usize::try_from(mismatch.word).ok().and_then(|word| after.get(range)?.get(word));
    Ok(word.map(|word| word.load(std::sync::atomic::Ordering::Relaxed)))
}
