//! The places of a job's outputs and of its receipt: checked before the job starts, filled when it has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isobit_job::{Blob, Bytes, Hash, JobId, Name};

use crate::destination::{Destination, Identity, Sink, Target, TargetError};
use crate::spool::{Spool, folder_of};

/// Where a job's outputs and its receipt go.
#[derive(Debug, Default)]
pub struct Places {
    outputs: BTreeMap<Name, Place>,
    receipt: Option<Place>,
    begun: Mutex<Begun>,
}

/// The outputs that the workload has created so far.
#[derive(Debug, Default)]
struct Begun {
    names: BTreeSet<Name>,
    /// Files of unwanted outputs, which are kept while a wanted output is missing.
    spares: Vec<Spare>,
}

/// The file of an unwanted output; none if it is no longer kept.
type Spare = Arc<Mutex<Option<Spool>>>;

#[derive(Debug)]
struct Place {
    destination: Destination,
    target: Target,
}

/// Why places cannot be used together.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum PlaceError {
    /// One of them cannot be written.
    #[error("the {what}: {source}")]
    Target {
        /// The output or receipt that was to go there.
        what: String,
        source: TargetError,
    },
    #[error("the {first} and the {second} go to one file: {}", same(places))]
    Twice {
        first: String,
        second: String,
        /// The path as it is written for each.
        places: [Destination; 2],
    },
    #[error("the {what} would overwrite the {source_name}: {}", same(places))]
    Overwrites {
        what: String,
        source_name: String,
        /// The path as it is written for each.
        places: [Destination; 2],
    },
}

impl PlaceError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Target { source, .. } => source.hint(),
            Self::Twice { .. } | Self::Overwrites { .. } => "give each a path of its own".to_owned(),
        }
    }
}

/// The two spellings of one place, or only one if they are equal.
fn same([first, second]: &[Destination; 2]) -> String {
    if first == second { first.to_string() } else { format!("{first} is {second}") }
}

impl Places {
    /// Checks that all places can be written and that no two are one file. `sources` are the files that the job or the command
    /// reads, each with a name for messages; none of them may be overwritten.
    ///
    /// # Errors
    /// The first mistake found. Nothing on the disk has changed.
    pub fn check(
        outputs: &BTreeMap<Name, Destination>,
        receipt: Option<&Destination>,
        sources: &[(String, PathBuf)],
    ) -> Result<Self, PlaceError> {
        let mut known: Vec<(String, Destination, Identity, PathBuf)> = Vec::new();
        let mut add = |what: String, destination: &Destination| {
            let (target, identity) =
                Target::of(destination).map_err(|source| PlaceError::Target { what: what.clone(), source })?;
            let folder = match &target {
                Target::File { path, .. } => folder_of(path).to_owned(),
                Target::Sink(_) => PathBuf::new(),
            };
            for (other, spelled, there, _) in &known {
                if identity.is_same(there, &folder) {
                    let places = [spelled.clone(), destination.clone()];
                    return Err(PlaceError::Twice { first: other.clone(), second: what, places });
                }
            }
            for (name, path) in sources {
                if Identity::of_path(path).is_some_and(|there| there == identity) {
                    let places = [destination.clone(), Destination::Path(path.clone())];
                    return Err(PlaceError::Overwrites { what, source_name: name.clone(), places });
                }
            }
            known.push((what, destination.clone(), identity, folder));
            Ok(Place { destination: destination.clone(), target })
        };
        let mut places = BTreeMap::new();
        for (name, destination) in outputs {
            places.insert(name.clone(), add(format!("output {name}"), destination)?);
        }
        let receipt = receipt.map(|destination| add("receipt".to_owned(), destination)).transpose()?;
        Ok(Self { outputs: places, receipt, begun: Mutex::default() })
    }

    /// Whether an output of this name is wanted.
    #[must_use]
    pub fn wants(&self, name: &Name) -> bool {
        self.outputs.contains_key(name)
    }

    /// Whether an output or the receipt goes to standard output. If so, nothing else may be written there.
    #[must_use]
    pub fn use_stdout(&self) -> bool {
        self.all().any(|place| matches!(place.target, Target::Sink(Sink::Stdout)))
    }

    fn all(&self) -> impl Iterator<Item = &Place> {
        self.outputs.values().chain(&self.receipt)
    }

    /// Begins an output. An unwanted one is kept too while a wanted one is missing, because the user may have misspelled its
    /// name; otherwise its bytes are only hashed.
    ///
    /// # Errors
    /// The temporary file of a wanted output cannot be created.
    pub fn begin(&self, name: &Name) -> io::Result<Part> {
        let mut begun = lock(&self.begun);
        begun.names.insert(name.clone());
        let missing = self.outputs.keys().find(|wanted| !begun.names.contains(*wanted));
        if missing.is_none() {
            // All wanted outputs exist, so the unwanted ones are dropped: their room may be needed.
            begun.spares.drain(..).for_each(|spare| drop(lock(&spare).take()));
        }
        let part = |content| Part { name: name.clone(), hasher: blake3::Hasher::new(), size: 0, content };
        if let Some(place) = self.outputs.get(name) {
            let (spool, way) = match &place.target {
                Target::File { path, .. } => (Spool::in_folder(folder_of(path)), place.destination.to_string()),
                Target::Sink(_) => {
                    let way = format!("{}, by way of {}", place.destination, std::env::temp_dir().display());
                    (Spool::passing(), way)
                }
            };
            let spool = spool.map_err(|error| on_the_way(&way, &error))?;
            return Ok(part(Content::Wanted { spool, way }));
        }
        let spare = Arc::new(Mutex::new(missing.and_then(|missing| Spool::in_folder(&self.folder_for(missing)).ok())));
        begun.spares.push(Arc::clone(&spare));
        Ok(part(Content::Spare(spare)))
    }

    /// Forgets all outputs begun so far, because the job runs again.
    pub fn restart(&self) {
        *lock(&self.begun) = Begun::default();
    }

    /// The folder of a wanted output's file, or else the current one. Files without a place are kept there.
    fn folder_for(&self, name: &Name) -> PathBuf {
        match self.outputs.get(name).map(|place| &place.target) {
            Some(Target::File { path, .. }) => folder_of(path).to_owned(),
            _ => PathBuf::from("."),
        }
    }

    /// Puts everything in its place. `arrived` is none for a job that trapped, which has no outputs. `pour` writes a file's
    /// content to a [`Sink`].
    ///
    /// # Errors
    /// A wanted output is missing, or something could not be put in its place. The error says where the rest
    /// was put: in its place, or under a free name.
    pub fn keep(
        &self,
        arrived: Option<Vec<Part>>,
        receipt: Option<&str>,
        job: JobId,
        pour: &mut dyn FnMut(&Sink, &mut File) -> io::Result<()>,
    ) -> Result<Kept, Box<NotKept>> {
        let mut kept = Kept::default();
        let mut failed = Vec::new();
        let completed = arrived.is_some();
        let arrived = arrived.unwrap_or_default();
        let created: Vec<Name> = arrived.iter().map(|part| part.name.clone()).collect();
        let is_missing = |name: &&Name| completed && !created.contains(name);
        let missing: Vec<Name> = self.outputs.keys().filter(is_missing).cloned().collect();
        let short: String = job.to_string().chars().take(8).collect();
        let mut spare = Vec::new();
        for part in arrived {
            let spool = match part.content {
                Content::Wanted { spool, .. } => Some(spool),
                Content::Spare(spare) => lock(&spare).take(),
            };
            let Some(mut spool) = spool else { continue };
            let Some(place) = self.outputs.get(&part.name) else {
                spare.push((part.name, spool));
                continue;
            };
            match place.put(&mut spool, pour) {
                Ok(()) => drop(kept.outputs.insert(part.name, place.destination.clone())),
                Err(error) => {
                    failed.push((format!("output {}", part.name), place.destination.clone(), error));
                    spare.push((part.name, spool));
                }
            }
        }
        if !missing.is_empty() || !failed.is_empty() {
            for (name, mut spool) in spare {
                let wanted = if self.wants(&name) { Some(&name) } else { missing.first() };
                let folder = wanted.map_or_else(|| PathBuf::from("."), |name| self.folder_for(name));
                match set_aside(&mut spool, &folder, &format!("isobit-{short}-{name}")) {
                    Ok(path) => drop(kept.outputs.insert(name, Destination::Path(path))),
                    Err(error) => failed.push((format!("output {name}"), Destination::Path(folder), error)),
                }
            }
        }
        if let Some(text) = receipt {
            self.keep_receipt(text, &short, !missing.is_empty() || !failed.is_empty(), &mut kept, &mut failed, pour);
        }
        if missing.is_empty() && failed.is_empty() {
            return Ok(kept);
        }
        Err(Box::new(NotKept { missing, created, failed, kept }))
    }

    /// Writes the receipt to its place. If something else failed, it is kept even if it is not wanted, because it cannot be
    /// produced again.
    fn keep_receipt(
        &self,
        text: &str,
        short: &str,
        in_trouble: bool,
        kept: &mut Kept,
        failed: &mut Vec<(String, Destination, io::Error)>,
        pour: &mut dyn FnMut(&Sink, &mut File) -> io::Result<()>,
    ) {
        let written = |mut spool: Spool| {
            spool.file()?.write_all(text.as_bytes())?;
            io::Result::Ok(spool)
        };
        if let Some(place) = &self.receipt {
            let spool = match &place.target {
                Target::File { path, .. } => Spool::in_folder(folder_of(path)),
                Target::Sink(_) => Spool::passing(),
            };
            let put = spool.and_then(written).and_then(|mut spool| place.put(&mut spool, pour));
            match put {
                Ok(()) => return kept.receipt = Some(place.destination.clone()),
                Err(error) => failed.push(("receipt".to_owned(), place.destination.clone(), error)),
            }
        } else if !in_trouble {
            return;
        }
        let folder = self.outputs.keys().next().map_or_else(|| PathBuf::from("."), |name| self.folder_for(name));
        let aside = Spool::passing()
            .and_then(written)
            .and_then(|mut spool| set_aside(&mut spool, &folder, &format!("isobit-{short}-receipt.json")));
        match aside {
            Ok(path) => kept.receipt = Some(Destination::Path(path)),
            Err(error) => failed.push(("receipt".to_owned(), Destination::Path(folder), error)),
        }
    }
}

impl Place {
    fn put(&self, spool: &mut Spool, pour: &mut dyn FnMut(&Sink, &mut File) -> io::Result<()>) -> io::Result<()> {
        match &self.target {
            Target::File { path, permissions } => {
                // A folder, device or link that was created there meanwhile is not replaced.
                match std::fs::symlink_metadata(path) {
                    Ok(found) if !found.is_file() => Err(io::Error::other("it is no regular file any more")),
                    _ => spool.put(path, true, permissions.clone()),
                }
            }
            Target::Sink(sink) => {
                let file = spool.file()?;
                file.rewind()?;
                pour(sink, file)
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The error with the destination of the bytes in its message.
fn on_the_way(way: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{way}: {error}"))
}

/// Gives a file a free name, in `folder` or, if that fails, in the system's temporary folder.
fn set_aside(spool: &mut Spool, folder: &Path, name: &str) -> io::Result<PathBuf> {
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for folder in [folder.to_owned(), std::env::temp_dir()] {
        for number in 1..100_u32 {
            let name = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
            let path = folder.join(name);
            match spool.put_elsewhere(&path) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    last = error;
                    break;
                }
            }
        }
    }
    Err(last)
}

/// Where the outputs and the receipt were put.
#[derive(Debug, Default)]
pub struct Kept {
    /// The outputs.
    pub outputs: BTreeMap<Name, Destination>,
    /// The receipt, if it was kept.
    pub receipt: Option<Destination>,
}

/// A wanted output is missing, or something could not be put in its place. The job has run; `kept` says where its results are.
#[derive(Debug)]
pub struct NotKept {
    /// Wanted outputs that the workload did not create.
    pub missing: Vec<Name>,
    /// Outputs that the workload created.
    pub created: Vec<Name>,
    /// What could not be put in its place, that place, and why.
    pub failed: Vec<(String, Destination, io::Error)>,
    /// Where everything else was put.
    pub kept: Kept,
}

impl NotKept {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        if self.missing.is_empty() {
            "move what was kept to where you want it; the job need not run again".to_owned()
        } else {
            "correct the name in -o NAME=PATH; what was kept need not be computed again".to_owned()
        }
    }
}

impl fmt::Display for NotKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list(names: &[Name]) -> Vec<&str> {
            names.iter().map(Name::as_str).collect()
        }
        let mut gap = "";
        if !self.missing.is_empty() {
            let created = if self.created.is_empty() { "none".to_owned() } else { list(&self.created).join(", ") };
            write!(f, "the workload created no output `{}`; it created: {created}", list(&self.missing).join("`, `"))?;
            gap = "; ";
        }
        for (what, place, error) in &self.failed {
            write!(f, "{gap}cannot write the {what} to {place}: {error}")?;
            gap = "; ";
        }
        for (name, place) in &self.kept.outputs {
            write!(f, "{gap}output {name} is in {place}")?;
        }
        if let Some(place) = &self.kept.receipt {
            write!(f, "{gap}the receipt is in {place}")?;
        }
        Ok(())
    }
}

impl std::error::Error for NotKept {}

/// An output that is being written: hashed and counted on the way. Dropping it leaves nothing behind.
pub struct Part {
    name: Name,
    hasher: blake3::Hasher,
    size: u64,
    content: Content,
}

/// Where the bytes of an output are.
enum Content {
    /// In a temporary file for the output's place, which `way` describes in errors.
    Wanted { spool: Spool, way: String },
    /// In the file of an unwanted output, while it is kept.
    Spare(Spare),
}

impl Part {
    /// The output's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Hash and size of what was written so far.
    #[must_use]
    pub fn blob(&self) -> Blob {
        Blob { hash: Hash::from(self.hasher.finalize()), size: Bytes::saturating_from(self.size) }
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("name", &self.name).field("size", &self.size).finish_non_exhaustive()
    }
}

impl Write for Part {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.write_all(data).map(|()| data.len())
    }

    fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        match &mut self.content {
            Content::Wanted { spool, way } => {
                spool.file().and_then(|file| file.write_all(data)).map_err(|error| on_the_way(way, &error))?;
            }
            Content::Spare(spare) => {
                let mut spare = lock(spare);
                let written = spare.as_mut().map(|spool| spool.file().and_then(|file| file.write_all(data)));
                // The output is unwanted, so a failure to write it does not end the job.
                if written.is_some_and(|written| written.is_err()) {
                    *spare = None;
                }
            }
        }
        self.hasher.update(data);
        self.size += data.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn places(folder: &Path, wanted: &[&str]) -> Places {
        let outputs = wanted.iter().map(|text| (name(text), folder.join(text).into())).collect();
        Places::check(&outputs, None, &[]).unwrap()
    }

    fn is_kept(part: &Part) -> bool {
        matches!(&part.content, Content::Spare(spare) if lock(spare).is_some())
    }

    #[test]
    fn what_nobody_asked_for_is_kept_only_while_something_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path(), &["a", "b"]);
        let mut early = places.begin(&name("x")).unwrap();
        early.write_all(b"early").unwrap();
        places.begin(&name("a")).unwrap();
        assert!(is_kept(&early) && is_kept(&places.begin(&name("y")).unwrap()));
        // All wanted outputs exist now, so the unwanted ones are dropped.
        places.begin(&name("b")).unwrap();
        assert!(!is_kept(&early) && !is_kept(&places.begin(&name("z")).unwrap()));
        early.write_all(b" and late").unwrap();
        assert_eq!(early.blob(), Blob::of(b"early and late"));
        // After a restart, none of them has been created.
        places.restart();
        assert!(is_kept(&places.begin(&name("x")).unwrap()));
    }

    #[test]
    fn everything_that_could_be_put_in_its_place_is_there_when_something_could_not() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path(), &["a", "b"]);
        let parts = ["a", "b"].map(|text| {
            let mut part = places.begin(&name(text)).unwrap();
            part.write_all(text.as_bytes()).unwrap();
            part
        });
        std::fs::create_dir(folder.path().join("a")).unwrap();
        let job = JobId(Hash::of(b"job"));
        let error = places.keep(Some(parts.into()), Some("receipt"), job, &mut |_, _| Ok(())).unwrap_err();
        assert_eq!(std::fs::read(folder.path().join("b")).unwrap(), b"b");
        let Some(Destination::Path(kept)) = error.kept.outputs.get(&name("a")) else { panic!("{error}") };
        assert_eq!(std::fs::read(kept).unwrap(), b"a");
        let Some(Destination::Path(receipt)) = &error.kept.receipt else { panic!("{error}") };
        assert_eq!(std::fs::read(receipt).unwrap(), b"receipt");
        for path in [kept, receipt] {
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        }
    }
}
