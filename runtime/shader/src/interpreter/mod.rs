//! Runs lowered modules on the CPU.
//!
//! A module of the primitives that [`crate::dp32`] lists is compiled to a compact code, in which every register holds a word for
//! each of some hundred invocations. All invocations of a workgroup advance together, statement by statement, under a
//! mask of those that take part. So barriers need no waiting, and each instruction is one loop over plain slices.
//! Small workgroups share the lanes. Values that are the same in all lanes are computed once.
//!
//! Arithmetic is the host's IEEE 754 with the flush of profile dp32. It shares nothing with the WGSL prelude, so each
//! checks the other. No module can harm the host: addresses are checked, memory is bounded by [`MAX_STATE_BYTES`], and a
//! run ends soon after it is stopped.

mod allocate;
mod code;
mod compile;
mod lanes;
mod layout;
mod machine;
mod optimize;
mod races;
mod system;
mod varying;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use naga::valid::ModuleInfo;
use naga::{Module, Span};

use self::allocate::Registers;
use self::code::{Inst, Reg};
use self::compile::{BufferSlot, Compiler, FunctionCode, Input, WorkgroupVariable};
use self::lanes::LANE_GROUP;
use self::machine::{Access, Atomic, Machine, Unwatched, Watch, Word};
use self::races::Watching;
use crate::{KernelError, Refusal};

pub use self::races::{Race, RaceAccess, RaceMemory, RaceReport, Races};
pub use self::system::{SystemBuffers, words_of};

/// The most bytes for registers and workgroup memory of the invocations that advance together.
pub const MAX_STATE_BYTES: usize = 1 << 30;

/// Small workgroups advance together up to so many invocations, if their state is not larger than this.
const SHARED_LANES: usize = 256;
const SHARED_STATE_BYTES: usize = 16 << 20;

/// The most invocations in a workgroup.
const MAX_INVOCATIONS: u32 = 1024;

/// The run was stopped. Its writes so far remain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// The buffers of a program, as words.
#[derive(Clone, Debug, Default)]
pub struct Buffers<'a> {
    bound: BTreeMap<(u32, u32), &'a [AtomicU32]>,
}

impl<'a> Buffers<'a> {
    /// No buffers: reads give zeros, writes are lost.
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds words, the bound range only, to `@group(group) @binding(binding)`.
    pub fn bind(&mut self, group: u32, binding: u32, words: &'a [AtomicU32]) -> &mut Self {
        self.bound.insert((group, binding), words);
        self
    }
}

/// A word of a buffer that a workgroup has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// The number in `@group(n)`.
    pub group: u32,
    /// The number in `@binding(n)`.
    pub binding: u32,
    /// Words from the beginning of the bound range.
    pub word: u32,
    /// The value that the workgroup wrote last.
    pub value: u32,
    /// Whether an atomic operation other than a store or an exchange was among the writes; if so, the value depends on what
    /// others have done to the word.
    pub atomic: bool,
}

/// A compiled entry point.
pub struct Program {
    name: String,
    code: Vec<Inst>,
    spans: Vec<Span>,
    functions: Vec<FunctionCode>,
    entry: FunctionCode,
    registers: Registers,
    masks: u32,
    buffers: Vec<BufferSlot>,
    inputs: Vec<(Input, Reg)>,
    workgroup: Vec<WorkgroupVariable>,
    workgroup_words: u32,
    workgroup_size: [u32; 3],
    invocations: usize,
    /// Workgroups that advance together.
    slots: usize,
}

impl Program {
    /// Compiles the module's one compute entry point.
    ///
    /// # Errors
    /// The module is too large to run, or uses something that is not a primitive of [`crate::dp32`].
    pub fn compile(module: &Module, info: &ModuleInfo) -> Result<Self, KernelError> {
        crate::on_deep_stack("", || Self::compile_here(module, info))
    }

    fn compile_here(module: &Module, info: &ModuleInfo) -> Result<Self, Refusal> {
        let mut compiler = Compiler::compile(module, info)?;
        let invocations = compiler.workgroup_size.iter().fold(1_u32, |all, &size| all.saturating_mul(size));
        if !(1..=MAX_INVOCATIONS).contains(&invocations) {
            return Err(Refusal::new(format!(
                "a workgroup of {invocations} invocations; {MAX_INVOCATIONS} are possible"
            )));
        }
        let invocations = invocations as usize;
        let slots = (SHARED_LANES / invocations).max(1);
        let registers = allocate::allocate(&mut compiler, slots > 1);
        let entry = compiler.functions.last().cloned();
        let mut program = Self {
            name: compiler.name,
            entry: entry.ok_or_else(|| Refusal::new("the module has no compute entry point"))?,
            code: compiler.code,
            spans: compiler.spans,
            functions: compiler.functions,
            registers,
            masks: compiler.masks,
            buffers: compiler.buffers,
            inputs: compiler.inputs,
            workgroup: compiler.workgroup,
            workgroup_words: compiler.workgroup_words,
            workgroup_size: compiler.workgroup_size,
            invocations,
            slots,
        };
        while program.slots > 1 && program.state_bytes(program.slots) > SHARED_STATE_BYTES {
            program.slots /= 2;
        }
        if program.state_bytes(1) > MAX_STATE_BYTES {
            return Err(Refusal::new(format!(
                "a workgroup's variables and values need {} bytes; {MAX_STATE_BYTES} are possible",
                program.state_bytes(1)
            )));
        }
        Ok(program)
    }

    /// The bytes that so many workgroups need to advance together.
    fn state_bytes(&self, slots: usize) -> usize {
        let lanes = (self.invocations * slots).next_multiple_of(LANE_GROUP);
        let each = (self.registers.each as usize).saturating_add(self.masks as usize).saturating_mul(lanes);
        let shared = self.registers.all.len().saturating_add((self.workgroup_words as usize).saturating_mul(slots));
        each.saturating_add(shared).saturating_mul(4)
    }

    /// Runs a dispatch of so many workgroups, on all cores.
    ///
    /// # Errors
    /// `stop` became true. It is checked before each instruction.
    pub fn run(&self, buffers: &Buffers<'_>, workgroups: [u32; 3], stop: &AtomicBool) -> Result<(), Stopped> {
        self.run_part(buffers, workgroups, 0..count(workgroups), stop)
    }

    /// Runs part of a dispatch: those of its workgroups whose number, counted along x, then y, then z, is in `part`.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn run_part(
        &self,
        buffers: &Buffers<'_>,
        workgroups: [u32; 3],
        part: Range<u64>,
        stop: &AtomicBool,
    ) -> Result<(), Stopped> {
        let [x, y, _] = workgroups.map(u64::from);
        let end = part.end.min(count(workgroups));
        if part.start >= end {
            return Ok(());
        }
        let bound = self.bound(buffers);
        let slots = self.slots as u64;
        let batches = (end - part.start).div_ceil(slots);
        let next = AtomicU64::new(0);
        let work = || {
            let mut machine = Machine::new(self, bound.clone(), self.slots);
            let mut ids = Vec::with_capacity(self.slots);
            loop {
                let batch = next.fetch_add(1, Ordering::Relaxed);
                if batch >= batches || stop.load(Ordering::Relaxed) {
                    return;
                }
                let first = part.start + batch * slots;
                ids.clear();
                ids.extend((first..end.min(first + slots)).map(|index| workgroup_id(index, x, y)));
                if machine.run(&ids, workgroups, stop, &mut Unwatched).is_err() {
                    return;
                }
            }
        };
        let memory = 2 * MAX_STATE_BYTES / self.state_bytes(self.slots).max(1);
        let workers = rayon::current_num_threads().min(memory).min(usize::try_from(batches).unwrap_or(usize::MAX));
        if workers <= 1 {
            work();
        } else {
            rayon::scope(|scope| (0..workers).for_each(|_| scope.spawn(|_| work())));
        }
        if stop.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
    }

    /// Runs one workgroup of a dispatch alone and returns its writes. It reads and writes `buffers`, which are the caller's
    /// copy of the buffers before the dispatch.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn run_workgroup(
        &self,
        buffers: &Buffers<'_>,
        workgroup: [u32; 3],
        workgroups: [u32; 3],
        stop: &AtomicBool,
    ) -> Result<Vec<Write>, Stopped> {
        let mut machine = Machine::new(self, self.bound(buffers), 1);
        let mut log = WriteLog::default();
        machine.run(&[workgroup], workgroups, stop, &mut log)?;
        let writes = log.writes.into_iter().filter_map(|((buffer, word), (value, atomic))| {
            let BufferSlot { group, binding, .. } = *self.buffers.get(buffer as usize)?;
            Some(Write { group, binding, word, value, atomic })
        });
        Ok(writes.collect())
    }

    /// As [`Program::run_part`], but one workgroup after the other, while `races` looks for invocations that race.
    /// Use new `races` for each dispatch.
    ///
    /// # Errors
    /// As [`Program::run`].
    pub fn run_part_watched(
        &self,
        buffers: &Buffers<'_>,
        workgroups: [u32; 3],
        part: Range<u64>,
        stop: &AtomicBool,
        races: &mut Races,
    ) -> Result<(), Stopped> {
        let [x, y, _] = workgroups.map(u64::from);
        let mut machine = Machine::new(self, self.bound(buffers), 1);
        for index in part.start..part.end.min(count(workgroups)) {
            if stop.load(Ordering::Relaxed) {
                return Err(Stopped);
            }
            let id = workgroup_id(index, x, y);
            races.enter(id);
            machine.run(&[id], workgroups, stop, &mut Watching { program: self, races })?;
        }
        Ok(())
    }

    fn bound<'a>(&self, buffers: &Buffers<'a>) -> Vec<&'a [AtomicU32]> {
        let bound = self.buffers.iter().map(|slot| buffers.bound.get(&(slot.group, slot.binding)).copied());
        bound.map(Option::unwrap_or_default).collect()
    }
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("code", &self.code).finish_non_exhaustive()
    }
}

/// How many workgroups a dispatch has: at most 2⁴⁸ within WebGPU's limits.
fn count(workgroups: [u32; 3]) -> u64 {
    workgroups.iter().fold(1, |count: u64, &side| count.saturating_mul(u64::from(side)))
}

fn workgroup_id(index: u64, x: u64, y: u64) -> [u32; 3] {
    [index % x, index / x % y, index / x / y].map(|id| u32::try_from(id).unwrap_or(u32::MAX))
}

/// Remembers the last write to each word of the buffers.
#[derive(Default)]
struct WriteLog {
    writes: BTreeMap<(u32, u32), (u32, bool)>,
}

impl Watch for WriteLog {
    const WATCHES: bool = true;

    fn access(&mut self, _place: usize, _lane: usize, word: Word, access: Access, atomic: Option<Atomic>) {
        if let (Word::Buffer(buffer, word), Access::Write(value)) = (word, access) {
            let (last, any_atomic) = self.writes.entry((buffer, word)).or_default();
            *last = value;
            *any_atomic |= atomic.is_some_and(|atomic| atomic != Atomic::Ordered);
        }
    }

    fn barrier(&mut self, _storage: bool, _workgroup: bool) {}
}
