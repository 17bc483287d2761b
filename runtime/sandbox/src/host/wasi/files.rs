//! A command's files: its inputs below `/in`, to read, and its outputs below `/out`, to write once from front to back.

use super::super::HostState;
use super::super::io::{Failure, OutputHandle, table_full};
use super::clock::WALL_EPOCH;
use super::streams::{MAX_PIECE, Reading, StandardOutput};
use crate::ending::Ending;
use crate::fuel;
use crate::job::Input;
use isobit_job::{Fault, LogLevel, Name};
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use wasmtime_wasi::p2::bindings::sync::filesystem::types::{
    self, Advice, Descriptor, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, DirectoryEntryStream,
    Filesize, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::bindings::sync::io::streams;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

/// The directory of inputs, and that of outputs.
const IN: &str = "/in";
const OUT: &str = "/out";

/// How the name of an archive ends.
const ARCHIVE: &str = ".tar";

/// The most files and directories of all archives: 64 Ki.
pub const MAX_ARCHIVED: usize = 64 << 10;

/// The most bytes of a path.
const MAX_PATH: usize = 4096;

/// The number of the directory of inputs among the nodes.
const ROOT: usize = 0;

/// All files of a command.
pub(crate) struct Files {
    /// Directories and files below `/in`. Empty until the command asks.
    nodes: Vec<Node>,
    /// What is below `/out`.
    outputs: BTreeMap<Name, OutputHandle>,
}

enum Node {
    Directory(BTreeMap<String, usize>),
    File(Part),
}

/// A file: an input, or a part of an archive.
#[derive(Clone)]
struct Part {
    name: Name,
    input: Arc<Input>,
    begin: u64,
    size: u64,
}

/// What a descriptor stands for.
#[derive(Clone)]
enum Open {
    /// The number of a node.
    Input(usize),
    /// The directory of outputs.
    Outputs,
    Output(OutputHandle),
}

/// What a directory has that was not told yet, the next one last.
struct Listing(Vec<(DescriptorType, String)>);

impl Files {
    /// The files of a command whose standard output has this name.
    pub(crate) fn new(stdout: Name, output: OutputHandle) -> Self {
        Self { nodes: Vec::new(), outputs: BTreeMap::from([(stdout, output)]) }
    }

    /// All outputs so far.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = (&Name, &OutputHandle)> {
        self.outputs.iter()
    }

    /// Finishes all outputs.
    pub(crate) fn finish(&self) -> Result<(), Fault> {
        self.outputs.values().try_for_each(OutputHandle::finish)
    }

    fn add(&mut self, directory: usize, name: &str, node: Node) -> Option<usize> {
        let number = self.nodes.len();
        let Some(Node::Directory(children)) = self.nodes.get_mut(directory) else { return None };
        // The later of two files of one name counts, as when an archive is unpacked.
        children.insert(name.to_owned(), number);
        self.nodes.push(node);
        Some(number)
    }

    fn child(&self, directory: usize, name: &str) -> Result<usize, ErrorCode> {
        match self.nodes.get(directory) {
            Some(Node::Directory(children)) => children.get(name).copied().ok_or(ErrorCode::NoEntry),
            _ => Err(ErrorCode::NotDirectory),
        }
    }

    /// The directory of this path below another, which is made if there is none.
    fn directory(&mut self, mut at: usize, path: &[&str]) -> Option<usize> {
        for name in path {
            at = match self.child(at, name) {
                Ok(child) => child,
                Err(_) => self.add(at, name, Node::Directory(BTreeMap::new()))?,
            };
        }
        Some(at)
    }

    /// Finds all inputs, and the files of archives.
    fn look(&mut self, inputs: &BTreeMap<Name, Arc<Input>>) -> Vec<String> {
        let mut complaints = Vec::new();
        self.nodes.push(Node::Directory(BTreeMap::new()));
        for (name, input) in inputs {
            let whole = Part { name: name.clone(), input: Arc::clone(input), begin: 0, size: input.size };
            if let Some(directory) = name.as_str().strip_suffix(ARCHIVE).filter(|rest| !rest.is_empty())
                && let Err(error) = self.unpack(directory, &whole)
            {
                complaints
                    .push(format!("input {name} is only a file, because it is no archive that can be read: {error}"));
            }
            self.add(ROOT, name.as_str(), Node::File(whole));
        }
        complaints
    }

    /// Notes the files of an archive, which stay where they are.
    fn unpack(&mut self, directory: &str, whole: &Part) -> std::io::Result<()> {
        let mut found = Vec::new();
        let mut archive = tar::Archive::new(Bytes { part: whole, position: 0 });
        for entry in archive.entries_with_seek()? {
            let entry = entry?;
            if self.nodes.len().saturating_add(found.len()) >= MAX_ARCHIVED {
                return Err(std::io::Error::other(format!("all archives have more than {MAX_ARCHIVED} files")));
            }
            let kind = entry.header().entry_type();
            let path = String::from_utf8(entry.path_bytes().into_owned()).map_err(std::io::Error::other)?;
            let (begin, size) = (entry.raw_file_position(), entry.size());
            if begin.checked_add(size).is_none_or(|end| end > whole.size) {
                return Err(std::io::Error::other(format!("{path} is cut short")));
            }
            if path.len() > MAX_PATH || path.split('/').any(|name| name == "..") {
                return Err(std::io::Error::other("a path is too long, or leads out of the archive"));
            }
            if kind.is_file() || kind.is_dir() {
                found.push((path, kind.is_file().then_some((begin, size))));
            }
        }
        let Some(root) = self.directory(ROOT, &[directory]) else { return Ok(()) };
        for (path, file) in found {
            let mut names: Vec<_> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
            let Some(last) = file.and_then(|_| names.pop()) else {
                self.directory(root, &names);
                continue;
            };
            if let (Some((begin, size)), Some(directory)) = (file, self.directory(root, &names)) {
                self.add(directory, last, Node::File(Part { begin, size, ..whole.clone() }));
            }
        }
        Ok(())
    }
}

/// Reads an input from a position of its own.
struct Bytes<'a> {
    part: &'a Part,
    position: u64,
}

impl Read for Bytes<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let read = self.part.input.read_at(bytes, self.position)?;
        self.position = self.position.saturating_add(read as u64);
        Ok(read)
    }
}

impl Seek for Bytes<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.part.size.checked_add_signed(offset),
        };
        self.position = position.ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

/// The table has what descriptors stand for under the type that the interface has for them.
fn opened(descriptor: &Resource<Descriptor>) -> Resource<Open> {
    Resource::new_borrow(descriptor.rep())
}

fn ended(ending: Ending) -> FsError {
    FsError::trap(ending.raise())
}

/// Names of a path, resolved but for the first of them.
fn names(path: &str) -> Result<Vec<&str>, ErrorCode> {
    if path.len() > MAX_PATH {
        return Err(ErrorCode::NameTooLong);
    }
    if path.starts_with('/') {
        return Err(ErrorCode::NotPermitted);
    }
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop().ok_or(ErrorCode::NotPermitted)?;
            }
            name => names.push(name),
        }
    }
    Ok(names)
}

impl HostState {
    fn files(&mut self) -> FsResult<&mut Files> {
        self.files.as_mut().ok_or_else(|| ErrorCode::NotPermitted.into())
    }

    fn opened(&self, descriptor: &Resource<Descriptor>) -> FsResult<Open> {
        Ok(self.table.get(&opened(descriptor))?.clone())
    }

    fn open(&mut self, open: Open) -> FsResult<Resource<Descriptor>> {
        Ok(Resource::new_own(self.keep(open)?.rep()))
    }

    fn keep<T: Send + 'static>(&mut self, item: T) -> FsResult<Resource<T>> {
        self.table.push(item).map_err(|error| FsError::trap(table_full(error)))
    }

    /// The file of this descriptor, to be read.
    fn part(&mut self, descriptor: &Resource<Descriptor>) -> FsResult<Part> {
        match self.opened(descriptor)? {
            Open::Input(node) => match self.files()?.nodes.get(node) {
                Some(Node::File(part)) => Ok(part.clone()),
                _ => Err(ErrorCode::IsDirectory.into()),
            },
            Open::Outputs => Err(ErrorCode::IsDirectory.into()),
            Open::Output(_) => Err(ErrorCode::BadDescriptor.into()),
        }
    }

    /// The output of this descriptor, to be written at this place.
    fn output(&self, descriptor: &Resource<Descriptor>, offset: Option<u64>) -> FsResult<OutputHandle> {
        match self.opened(descriptor)? {
            // Bytes of an output are sent while they are made, so none can be changed.
            Open::Output(output) if offset.is_some_and(|offset| offset != output.size()) => {
                Err(ErrorCode::InvalidSeek.into())
            }
            Open::Output(output) => Ok(output),
            Open::Input(_) => Err(ErrorCode::ReadOnly.into()),
            Open::Outputs => Err(ErrorCode::IsDirectory.into()),
        }
    }

    /// What lies at a path below a descriptor.
    fn find(&mut self, descriptor: &Resource<Descriptor>, path: &str) -> FsResult<Open> {
        self.charge(path.len() as u64, fuel::BYTE).map_err(ended)?;
        let names = names(path)?;
        let open = self.opened(descriptor)?;
        let files = self.files()?;
        match (open, names.as_slice()) {
            (open, []) => Ok(open),
            (Open::Input(node), names) => {
                Ok(Open::Input(names.iter().try_fold(node, |node, name| files.child(node, name))?))
            }
            (Open::Outputs, [name]) => {
                let output = files.outputs.get(*name).ok_or(ErrorCode::NoEntry)?;
                Ok(Open::Output(output.clone()))
            }
            (Open::Outputs, _) => Err(ErrorCode::NoEntry.into()),
            (Open::Output(_), _) => Err(ErrorCode::NotDirectory.into()),
        }
    }

    /// Makes the file of an output.
    fn make(&mut self, name: &str) -> FsResult<Open> {
        let name: Name = name.parse().map_err(|_| ErrorCode::Invalid)?;
        let output = self.create_output(&name).map_err(|failure| match failure {
            Failure::Guest(_) => ErrorCode::Quota.into(),
            Failure::End(error) => FsError::trap(error),
        })?;
        self.files()?.outputs.insert(name, output.clone());
        Ok(Open::Output(output))
    }

    fn described(&mut self, open: &Open) -> FsResult<DescriptorStat> {
        let time = Some(Datetime { seconds: WALL_EPOCH.as_secs(), nanoseconds: 0 });
        let (type_, size) = match open {
            Open::Outputs => (DescriptorType::Directory, 0),
            Open::Output(output) => (DescriptorType::RegularFile, output.size()),
            Open::Input(node) => match self.files()?.nodes.get(*node) {
                Some(Node::File(part)) => (DescriptorType::RegularFile, part.size),
                _ => (DescriptorType::Directory, 0),
            },
        };
        Ok(DescriptorStat {
            type_,
            link_count: 1,
            size,
            data_access_timestamp: time,
            data_modification_timestamp: time,
            status_change_timestamp: time,
        })
    }

    /// Two files have the same number if they are the same.
    fn number(&self, open: &Open) -> u64 {
        match open {
            Open::Input(node) => *node as u64,
            Open::Outputs => u64::MAX,
            Open::Output(output) => {
                let outputs = self.files.iter().flat_map(|files| files.outputs.values());
                let at = outputs.take_while(|other| !other.is(output)).count() as u64;
                (1 << 32) | at
            }
        }
    }
}

impl preopens::Host for HostState {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let Some(files) = &mut self.files else { return Ok(Vec::new()) };
        if files.nodes.is_empty() {
            let complaints = files.look(&self.inputs);
            let found = files.nodes.len() as u64;
            for complaint in complaints {
                self.reporter.log(LogLevel::Warn, &complaint);
            }
            self.charge(found, fuel::HOST_CALL.into()).map_err(Ending::raise)?;
        }
        let directories = [(Open::Input(ROOT), IN), (Open::Outputs, OUT)];
        let open = |(open, path): (Open, &str)| {
            let handle = self.table.push(open).map_err(table_full)?;
            Ok((Resource::new_own(handle.rep()), path.to_owned()))
        };
        directories.map(open).into_iter().collect()
    }
}

impl types::Host for HostState {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<types::ErrorCode> {
        Ok(error.downcast()?.into())
    }

    fn filesystem_error_code(&mut self, error: Resource<streams::Error>) -> wasmtime::Result<Option<types::ErrorCode>> {
        // The only error of a file that is the command's own: see `StandardOutput`.
        let error = self.table.get(&error)?.downcast_ref::<std::io::Error>();
        let is_quota = error.is_some_and(|error| error.kind() == std::io::ErrorKind::QuotaExceeded);
        Ok(is_quota.then_some(types::ErrorCode::Quota))
    }
}

impl types::HostDescriptor for HostState {
    fn advise(&mut self, _: Resource<Descriptor>, _: Filesize, _: Filesize, _: Advice) -> FsResult<()> {
        Ok(())
    }

    fn sync_data(&mut self, descriptor: Resource<Descriptor>) -> FsResult<()> {
        self.sync(descriptor)
    }

    fn get_flags(&mut self, descriptor: Resource<Descriptor>) -> FsResult<DescriptorFlags> {
        Ok(match self.opened(&descriptor)? {
            Open::Input(_) => DescriptorFlags::READ,
            Open::Output(_) => DescriptorFlags::WRITE,
            Open::Outputs => DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY,
        })
    }

    fn get_type(&mut self, descriptor: Resource<Descriptor>) -> FsResult<DescriptorType> {
        let open = self.opened(&descriptor)?;
        Ok(self.described(&open)?.type_)
    }

    fn set_size(&mut self, descriptor: Resource<Descriptor>, size: Filesize) -> FsResult<()> {
        self.output(&descriptor, Some(size)).map(drop)
    }

    fn set_times(&mut self, descriptor: Resource<Descriptor>, _: NewTimestamp, _: NewTimestamp) -> FsResult<()> {
        // All files have one fixed time.
        self.output(&descriptor, None).map(drop)
    }

    fn read(
        &mut self,
        descriptor: Resource<Descriptor>,
        length: Filesize,
        offset: Filesize,
    ) -> FsResult<(Vec<u8>, bool)> {
        let part = self.part(&descriptor)?;
        let left = part.size.saturating_sub(offset);
        let size = usize::try_from(length.min(left)).unwrap_or(usize::MAX).min(MAX_PIECE);
        self.charge(size as u64, fuel::BYTE).map_err(ended)?;
        let mut bytes = vec![0; size];
        let read = part.input.read_exact_at(&mut bytes, part.begin.saturating_add(offset));
        read.map_err(|error| ended(Ending::Fault(Fault::storage("the input could not be read", &error))))?;
        Ok((bytes, size as u64 == left))
    }

    fn write(&mut self, descriptor: Resource<Descriptor>, bytes: Vec<u8>, offset: Filesize) -> FsResult<Filesize> {
        let output = self.output(&descriptor, Some(offset))?;
        let appended = output.append(&bytes).map_err(ended)?;
        appended.map_err(|_| ErrorCode::Quota)?;
        Ok(bytes.len() as u64)
    }

    fn read_directory(&mut self, descriptor: Resource<Descriptor>) -> FsResult<Resource<DirectoryEntryStream>> {
        let open = self.opened(&descriptor)?;
        let files = self.files()?;
        let mut entries: Vec<_> = match open {
            Open::Outputs => files.outputs.keys().map(|name| (DescriptorType::RegularFile, name.to_string())).collect(),
            Open::Input(node) => match files.nodes.get(node) {
                Some(Node::Directory(children)) => {
                    let kind = |node: &usize| match files.nodes.get(*node) {
                        Some(Node::File(_)) => DescriptorType::RegularFile,
                        _ => DescriptorType::Directory,
                    };
                    children.iter().map(|(name, node)| (kind(node), name.clone())).collect()
                }
                _ => return Err(ErrorCode::NotDirectory.into()),
            },
            Open::Output(_) => return Err(ErrorCode::NotDirectory.into()),
        };
        entries.reverse();
        self.charge(entries.len() as u64, fuel::ITEM).map_err(ended)?;
        Ok(Resource::new_own(self.keep(Listing(entries))?.rep()))
    }

    fn sync(&mut self, descriptor: Resource<Descriptor>) -> FsResult<()> {
        match self.opened(&descriptor)? {
            Open::Output(output) => output.flush().map_err(ended),
            _ => Ok(()),
        }
    }

    fn create_directory_at(&mut self, _: Resource<Descriptor>, _: String) -> FsResult<()> {
        Err(ErrorCode::NotPermitted.into())
    }

    fn stat(&mut self, descriptor: Resource<Descriptor>) -> FsResult<DescriptorStat> {
        let open = self.opened(&descriptor)?;
        self.described(&open)
    }

    fn stat_at(&mut self, descriptor: Resource<Descriptor>, _: PathFlags, path: String) -> FsResult<DescriptorStat> {
        let open = self.find(&descriptor, &path)?;
        self.described(&open)
    }

    fn set_times_at(
        &mut self,
        _: Resource<Descriptor>,
        _: PathFlags,
        _: String,
        _: NewTimestamp,
        _: NewTimestamp,
    ) -> FsResult<()> {
        Err(ErrorCode::NotPermitted.into())
    }

    fn link_at(
        &mut self,
        _: Resource<Descriptor>,
        _: PathFlags,
        _: String,
        _: Resource<Descriptor>,
        _: String,
    ) -> FsResult<()> {
        Err(ErrorCode::NotPermitted.into())
    }

    fn open_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        _: PathFlags,
        path: String,
        how: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let writes = flags.contains(DescriptorFlags::WRITE);
        let found = match self.find(&descriptor, &path) {
            Ok(_) if how.contains(OpenFlags::CREATE | OpenFlags::EXCLUSIVE) => return Err(ErrorCode::Exist.into()),
            Ok(found) => found,
            Err(error) => {
                let code = error.downcast_ref().copied();
                let in_outputs = matches!(self.opened(&descriptor)?, Open::Outputs);
                match names(&path)?.as_slice() {
                    [name]
                        if in_outputs
                            && how.contains(OpenFlags::CREATE)
                            && matches!(code, Some(ErrorCode::NoEntry)) =>
                    {
                        self.make(name)?
                    }
                    _ => return Err(error),
                }
            }
        };
        let is_directory = self.described(&found)?.type_ == DescriptorType::Directory;
        if how.contains(OpenFlags::DIRECTORY) && !is_directory {
            return Err(ErrorCode::NotDirectory.into());
        }
        match &found {
            Open::Input(_) if writes || how.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE) => {
                return Err(ErrorCode::ReadOnly.into());
            }
            // What was written is sent already.
            Open::Output(output) if how.contains(OpenFlags::TRUNCATE) && output.size() > 0 => {
                return Err(ErrorCode::NotPermitted.into());
            }
            Open::Input(node) => {
                if let Some(Node::File(part)) = self.files()?.nodes.get(*node) {
                    let name = part.name.clone();
                    self.unread_inputs.remove(&name);
                }
            }
            _ => {}
        }
        self.open(found)
    }

    fn drop(&mut self, descriptor: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Open>::new_own(descriptor.rep()))?;
        Ok(())
    }

    fn readlink_at(&mut self, descriptor: Resource<Descriptor>, path: String) -> FsResult<String> {
        self.find(&descriptor, &path)?;
        Err(ErrorCode::Invalid.into())
    }

    fn remove_directory_at(&mut self, _: Resource<Descriptor>, _: String) -> FsResult<()> {
        Err(ErrorCode::NotPermitted.into())
    }

    fn rename_at(&mut self, _: Resource<Descriptor>, _: String, _: Resource<Descriptor>, _: String) -> FsResult<()> {
        Err(ErrorCode::NotPermitted.into())
    }

    fn symlink_at(&mut self, _: Resource<Descriptor>, _: String, _: String) -> FsResult<()> {
        Err(ErrorCode::NotPermitted.into())
    }

    fn unlink_file_at(&mut self, _: Resource<Descriptor>, _: String) -> FsResult<()> {
        Err(ErrorCode::NotPermitted.into())
    }

    fn read_via_stream(
        &mut self,
        descriptor: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<streams::InputStream>> {
        let part = self.part(&descriptor)?;
        let end = part.begin.saturating_add(part.size);
        let stream = Reading::new(part.input, part.begin.saturating_add(offset), end, &self.fuel);
        let stream: DynInputStream = Box::new(stream);
        self.keep(stream)
    }

    fn write_via_stream(
        &mut self,
        descriptor: Resource<Descriptor>,
        offset: Filesize,
    ) -> FsResult<Resource<streams::OutputStream>> {
        let output = self.output(&descriptor, Some(offset))?;
        let stream: DynOutputStream = Box::new(StandardOutput(output));
        self.keep(stream)
    }

    fn append_via_stream(&mut self, descriptor: Resource<Descriptor>) -> FsResult<Resource<streams::OutputStream>> {
        let output = self.output(&descriptor, None)?;
        let stream: DynOutputStream = Box::new(StandardOutput(output));
        self.keep(stream)
    }

    fn is_same_object(&mut self, a: Resource<Descriptor>, b: Resource<Descriptor>) -> wasmtime::Result<bool> {
        let (a, b) = (self.table.get(&opened(&a))?, self.table.get(&opened(&b))?);
        Ok(self.number(a) == self.number(b))
    }

    fn metadata_hash(&mut self, descriptor: Resource<Descriptor>) -> FsResult<MetadataHashValue> {
        let open = self.opened(&descriptor)?;
        Ok(MetadataHashValue { lower: self.number(&open), upper: 0 })
    }

    fn metadata_hash_at(
        &mut self,
        descriptor: Resource<Descriptor>,
        _: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        let open = self.find(&descriptor, &path)?;
        Ok(MetadataHashValue { lower: self.number(&open), upper: 0 })
    }
}

impl types::HostDirectoryEntryStream for HostState {
    fn read_directory_entry(&mut self, stream: Resource<DirectoryEntryStream>) -> FsResult<Option<DirectoryEntry>> {
        let listing = self.table.get_mut(&Resource::<Listing>::new_borrow(stream.rep()))?;
        Ok(listing.0.pop().map(|(type_, name)| DirectoryEntry { type_, name }))
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Listing>::new_own(stream.rep()))?;
        Ok(())
    }
}
