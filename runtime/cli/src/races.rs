//! The race detector's findings, for people and in JSON.

use std::fmt;

use isobit_device::{Race, RaceAccess, RaceMemory, RaceReport, SourceLocation};
use serde::Serialize;

use crate::escape;
use crate::failure::Status;

/// The races of a job. A width in the format is that of the column of labels.
#[derive(Serialize)]
pub struct Races<'a> {
    found: Vec<Found<'a>>,
    /// There were more than `found`.
    more_found: bool,
    /// Whether all words that were touched were followed; false if they were too many.
    all_memory_followed: bool,
    #[serde(skip)]
    report: &'a RaceReport,
}

#[derive(Serialize)]
struct Found<'a> {
    entry_point: &'a str,
    memory: Memory<'a>,
    /// Index of the word: in a buffer from the start of the bound range, in a variable among its scalars.
    word: u32,
    /// The earlier access first.
    accesses: [Access; 2],
}

#[derive(Serialize)]
#[serde(untagged)]
enum Memory<'a> {
    Buffer { group: u32, binding: u32 },
    Workgroup { variable: &'a str },
}

#[derive(Serialize)]
struct Access {
    workgroup: [u32; 3],
    local_invocation: [u32; 3],
    global_invocation: [u32; 3],
    writes: bool,
    atomic: bool,
    location: Option<Location>,
}

#[derive(Serialize)]
struct Location {
    line: u32,
    column: u32,
    offset: u32,
    length: u32,
}

impl<'a> Races<'a> {
    pub fn new(report: &'a RaceReport) -> Self {
        Self {
            found: report.races.iter().map(Found::from).collect(),
            more_found: report.more,
            all_memory_followed: !report.unfollowed,
            report,
        }
    }

    /// Whether the answer is yes (there are none), no, or unknown.
    pub fn status(&self) -> Status {
        match self.report {
            RaceReport { races, more: false, unfollowed, .. } if races.is_empty() => {
                if *unfollowed {
                    Status::CouldNot
                } else {
                    Status::Ok
                }
            }
            _ => Status::No,
        }
    }
}

impl<'a> From<&'a Race> for Found<'a> {
    fn from(race: &'a Race) -> Self {
        let memory = match &race.memory {
            RaceMemory::Buffer { group, binding } => Memory::Buffer { group: *group, binding: *binding },
            RaceMemory::Workgroup(variable) => Memory::Workgroup { variable },
        };
        let [first, second] = &race.accesses;
        let accesses = [Access::from(first), Access::from(second)];
        Self { entry_point: &race.entry_point, memory, word: race.word, accesses }
    }
}

impl From<&RaceAccess> for Access {
    fn from(access: &RaceAccess) -> Self {
        let location = |SourceLocation { line, column, offset, length }| Location { line, column, offset, length };
        Self {
            workgroup: access.workgroup,
            local_invocation: access.local,
            global_invocation: access.invocation,
            writes: access.writes,
            atomic: access.atomic,
            location: access.location.map(location),
        }
    }
}

impl fmt::Display for Races<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RaceReport { races, more, unfollowed, .. } = self.report;
        let width = f.width().unwrap_or(9);
        for race in races {
            writeln!(f, "{:<width$}{}", "race", escape::line(&race.to_string()))?;
        }
        let rest = match (races.is_empty(), unfollowed) {
            (true, false) => "none",
            (true, true) => "unknown: none found, but so many words were touched that not all were followed",
            (false, true) => "perhaps others: so many words were touched that not all were followed",
            (false, false) => "",
        };
        if *more {
            writeln!(f, "{:<width$}more than these {}", "races", races.len())?;
        }
        if rest.is_empty() { Ok(()) } else { writeln!(f, "{:<width$}{rest}", "races") }
    }
}
