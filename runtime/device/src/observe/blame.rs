//! What to make of a word that the device and the CPU disagree about.
//!
//! The job ends in any case: nobody could reproduce the word. A kernel that races is the renter's doing, so races are looked for first, in
//! the workgroup and among the others of its dispatch. Then the device runs the workgroup once more, alone. Only where no race was
//! found and the device is wrong again does it speak against the device; and as the kernel is a stranger's, it is no more than
//! a suspicion, on which the provider's own probe decides before the device is opened again.

use std::time::Duration;

use isobit_job::{Fault, FaultKind};
use isobit_shader::interpreter::Race;

use super::spot::Mismatch;
use crate::core::{Dispatch, Queue};
use crate::referee::{Replay, stopped_after};
use crate::verdicts::Suspicions;

/// How long races are looked for in the workgroup, which has been interpreted before in a tenth of that.
const WORKGROUP_TIME: Duration = Duration::from_secs(10);

/// How long they are looked for among workgroups.
const DISPATCH_TIME: Duration = Duration::from_secs(2);

/// Bytes of the text about a race.
const MAX_TEXT: usize = 500;

/// Finds out who is to blame for a mismatch. What it returns ends the job.
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
        // Its names are the guest's, and as long as it likes.
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

/// A race of the workgroup's invocations, or else one that has to do with others.
fn race(dispatch: &Dispatch, replay: &Replay, workgroup: [u32; 3], queue: &Queue) -> Option<Race> {
    let number = dispatch.number_of(workgroup);
    let find = |part: std::ops::Range<u64>, time| {
        let found = stopped_after(time, &queue.waits, |stop| replay.races(part, 1, u64::MAX, stop));
        found.races.into_iter().next()
    };
    find(number..number + 1, WORKGROUP_TIME).or_else(|| find(0..dispatch.count(), DISPATCH_TIME))
}

/// The word of a mismatch after its workgroup has run alone on the device, on the buffers as they were.
fn alone(dispatch: &Dispatch, replay: &Replay, mismatch: Mismatch, queue: &mut Queue) -> Result<Option<u32>, Fault> {
    let (group, binding) = mismatch.at;
    let Some(range) = replay.range(group, binding) else { return Ok(None) };
    let after = queue.run_alone(dispatch, &replay.contents(), mismatch.workgroup)?;
    let word = usize::try_from(mismatch.word).ok().and_then(|word| after.get(range)?.get(word));
    Ok(word.map(|word| word.load(std::sync::atomic::Ordering::Relaxed)))
}
