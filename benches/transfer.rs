//! 256 MiB to the device and back: by the guest's four bulk calls, and by every way that plain wgpu has. Each transfer
//! is complete when its time is taken, and what it moves is in memory: the guest's or ours, or a file in memory.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "benchmarks may panic")]

mod support;

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use isobit_sandbox::Sandbox;
use support::{Contender, Guest, MIB, Plain, Sink, time};
use wgpu::{BufferUsages, MapMode};

const SIZE: usize = 256 * MIB;

/// Files are read in pieces of this size, which stay in the core's cache until they are copied on.
const PIECE: usize = MIB / 4;

fn transfer(criterion: &mut Criterion) {
    let folder = support::folder();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    support::file(&input, SIZE);
    support::file(&output, SIZE);
    let mut guest = Guest::new(&Sandbox::new().unwrap(), &support::probe("probe"));
    let plain = Baseline::new();
    let data = RefCell::new(vec![1; SIZE]);
    let mut measure = |call, input: &[(&str, &Path)], contenders: Vec<Contender<'_>>| {
        let output = output.clone();
        let job = || {
            let output = output.clone();
            guest.probe(call, 1, SIZE, input, Sink(move || Rewriter::open(&output)))
        };
        let job: Contender<'_> = ("isobit", Box::new(job));
        support::compare(criterion, call, 20, std::iter::once(job).chain(contenders).collect());
    };

    let write = |target: &mut Target<'_>| target.copy_from_slice(&data.borrow());
    measure(
        "write",
        &[],
        vec![
            ("wgpu-mapped", Box::new(|| time(|| plain.upload_mapped(write)))),
            ("wgpu-staging", Box::new(|| time(|| plain.upload_staging(write)))),
            ("wgpu-queue", Box::new(|| time(|| plain.upload_queue(&data.borrow())))),
        ],
    );
    let read = |bytes: &[u8]| data.borrow_mut().copy_from_slice(bytes);
    measure(
        "read",
        &[],
        vec![
            ("wgpu-mapped", Box::new(|| time(|| plain.download_mapped(read)))),
            ("wgpu-staging", Box::new(|| time(|| plain.download_staging(read)))),
        ],
    );
    let source = File::open(&input).unwrap();
    let load = |target: &mut Target<'_>| load(&source, target);
    measure(
        "load-from",
        &[("in", &input)],
        vec![
            ("wgpu-mapped", Box::new(|| time(|| plain.upload_mapped(load)))),
            ("wgpu-staging", Box::new(|| time(|| plain.upload_staging(load)))),
        ],
    );
    let target = RefCell::new(Rewriter::open(&output));
    let append = |bytes: &[u8]| target.borrow_mut().write_all(bytes).unwrap();
    measure(
        "append-to",
        &[],
        vec![
            ("wgpu-mapped", Box::new(|| time(|| plain.download_mapped(append)))),
            ("wgpu-staging", Box::new(|| time(|| plain.download_staging(append)))),
        ],
    );
}

type Target<'a> = wgpu::WriteOnly<'a, [u8]>;

/// Brings a file to mapped memory, which may be written to but not read.
fn load(file: &File, target: &mut Target<'_>) {
    let mut piece = vec![0; PIECE];
    for at in (0..SIZE).step_by(PIECE) {
        file.read_exact_at(&mut piece, at as u64).unwrap();
        target.slice(at..at + PIECE).copy_from_slice(&piece);
    }
}

/// Writes the same 256 MiB of a file again and again, so that the file's memory is there from the start.
struct Rewriter {
    file: File,
    position: usize,
}

impl Rewriter {
    fn open(path: &Path) -> Self {
        Self { file: File::options().write(true).open(path).unwrap(), position: 0 }
    }
}

impl Write for Rewriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.file.write_at(data, self.position as u64)?;
        self.position = (self.position + written) % SIZE;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Plain wgpu with one buffer to move to and from.
struct Baseline {
    plain: Plain,
    buffer: wgpu::Buffer,
    /// Stays with us, as a program that reads back more than once would have it.
    readback: wgpu::Buffer,
}

impl Baseline {
    fn new() -> Self {
        let plain = Plain::open();
        let direct =
            if plain.mappable { BufferUsages::MAP_READ | BufferUsages::MAP_WRITE } else { BufferUsages::empty() };
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST | direct;
        let buffer = plain.buffer(SIZE, usage, false);
        let readback = plain.buffer(SIZE, BufferUsages::MAP_READ | BufferUsages::COPY_DST, false);
        Self { plain, buffer, readback }
    }

    /// Into the buffer's own memory. Where that cannot be mapped, through staging memory.
    fn upload_mapped(&self, fill: impl FnOnce(&mut Target<'_>)) {
        if !self.plain.mappable {
            return self.upload_staging(fill);
        }
        self.plain.map(&self.buffer, MapMode::Write);
        fill(&mut self.buffer.get_mapped_range_mut(..).unwrap().slice(..));
        self.buffer.unmap();
    }

    fn upload_staging(&self, fill: impl FnOnce(&mut Target<'_>)) {
        let staging = self.plain.buffer(SIZE, BufferUsages::MAP_WRITE | BufferUsages::COPY_SRC, true);
        fill(&mut staging.get_mapped_range_mut(..).unwrap().slice(..));
        staging.unmap();
        self.plain.copy(&staging, &self.buffer);
        self.plain.wait();
    }

    fn upload_queue(&self, data: &[u8]) {
        self.plain.queue.write_buffer(&self.buffer, 0, data);
        self.plain.queue.submit([]);
        self.plain.wait();
    }

    fn download_mapped(&self, take: impl FnOnce(&[u8])) {
        if !self.plain.mappable {
            return self.download_staging(take);
        }
        self.plain.map(&self.buffer, MapMode::Read);
        take(&self.buffer.get_mapped_range(..).unwrap());
        self.buffer.unmap();
    }

    fn download_staging(&self, take: impl FnOnce(&[u8])) {
        self.plain.copy(&self.buffer, &self.readback);
        self.plain.map(&self.readback, MapMode::Read);
        take(&self.readback.get_mapped_range(..).unwrap());
        self.readback.unmap();
    }
}

criterion_group!(benches, transfer);
criterion_main!(benches);
