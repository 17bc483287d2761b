//! Finds where in a genome reads of a sequencer come from: for each read the place, on either strand, with the fewest edits. Integers only, and exact: no
//! place is left out, as none is looked for by its letters first.
//!
//! Input `genome` is FASTA, input `reads` FASTA or FASTQ; output `alignments` is SAM, a line for each read in the order of the input.
//!
//! Parameters: `errors`, the most edits that still count as found, in percent of a read's bases (default 20, at most 50); `skip` and `count`, which reads to look
//! for, so that several providers can share them (default all).

mod align;
mod patterns;
mod sequences;
mod unroll;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufWriter, Read as _, Write};

use isobit::{Buffer, Gpu, Input, Output, Pod, Zeroable};
use patterns::Text;
use sequences::{Record, reverse_complement};
use unroll::unrolled;

isobit::takes! {
    param "errors": "the most edits that still count as found, in percent of a read's bases; 20 if it is not set, at most 50",
    param "skip": "so many reads at the beginning are not looked for; 0 if it is not set",
    param "count": "so many reads are, at most; all if it is not set",
    input "genome": "FASTA",
    input "reads": "FASTA or FASTQ",
    output "alignments": "SAM",
}

/// 128 MiB, the largest binding, hold this many letters of 4 bits.
const LETTERS: usize = 2 * 128 * 1024 * 1024;

/// The longest read. A column of its matrix is kept in registers.
const LONGEST_READ: usize = 512;

/// Patterns that are searched for together. A read is two patterns, one for each strand.
const TOGETHER: usize = 4096;

/// Chunks of the genome in one dispatch: with 4096 patterns their results take 16 MiB.
const CHUNKS: usize = 512;

/// Field by field as in the WGSL.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
#[bytemuck(crate = "isobit::bytemuck")]
struct Params {
    patterns: u32,
    first_chunk: u32,
    chunks: u32,
}

/// The best of a pattern, field by field as in the WGSL.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
#[bytemuck(crate = "isobit::bytemuck")]
struct Match {
    distance: u32,
    end: u32,
}

/// Where a read was found.
#[derive(Clone, Copy)]
struct Place {
    is_reverse: bool,
    distance: u32,
    end: u32,
}

#[isobit::main]
fn main() -> Result<(), Box<dyn Error>> {
    let errors: usize = isobit::param("errors")?.unwrap_or(20);
    if errors > 50 {
        return Err(format!("errors is {errors}, but has to be at most 50 percent").into());
    }
    let genome = read("genome")?;
    sequences::distinct(&genome).map_err(|error| format!("genome: {error}"))?;
    let letters: usize = genome.iter().map(|record| record.bases.len()).sum();
    let text = Text::new(&genome).filter(|_| letters <= LETTERS);
    let text = text.ok_or_else(|| format!("the genome has {letters} bases: at most {LETTERS}"))?;
    let (skip, count) = (isobit::param("skip")?.unwrap_or(0), isobit::param("count")?.unwrap_or(usize::MAX));
    let reads: Vec<Record> = read("reads")?.into_iter().skip(skip).take(count).collect();
    if let Some(read) = reads.iter().find(|read| read.bases.len() > LONGEST_READ) {
        return Err(format!("read {} has {} bases: at most {LONGEST_READ}", read.name, read.bases.len()).into());
    }
    isobit::info!("{} reads, {} records of {letters} bases together", reads.len(), genome.len());

    let places = search(&text, &reads)?;
    let found = write(&genome, &text, &reads, &places, errors)?;
    isobit::info!("found {found} of {} reads", reads.len());
    Ok(())
}

/// The records of an input.
fn read(name: &str) -> Result<Vec<Record>, Box<dyn Error>> {
    let mut text = Vec::new();
    Input::open(name)?.read_to_end(&mut text)?;
    Ok(sequences::parse(&text).map_err(|error| format!("{name}: {error}"))?)
}

/// The best place of each read. Of equally good ones it is that of the strand as read, and there the first.
fn search(text: &Text, reads: &[Record]) -> isobit::Result<Vec<Place>> {
    let mut by_words: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, read) in reads.iter().enumerate() {
        by_words.entry(patterns::words(&read.bases)).or_default().push(index);
    }
    let gpu = Gpu::new();
    let letters = gpu.buffer_from(&text.words)?;
    let mut places = vec![Place { is_reverse: false, distance: u32::MAX, end: 0 }; reads.len()];
    let mut done = 0;
    for (words, indices) in by_words {
        let group = Group::new(gpu, &letters, text, words)?;
        for some in indices.chunks(TOGETHER / 2) {
            let forward: Vec<&[u8]> = some.iter().filter_map(|index| Some(&reads.get(*index)?.bases[..])).collect();
            let reverse: Vec<Vec<u8>> = forward.iter().map(|bases| reverse_complement(bases)).collect();
            let both: Vec<&[u8]> = forward.into_iter().chain(reverse.iter().map(Vec::as_slice)).collect();
            let found = group.search(&both)?;
            let (ahead, back) = found.split_at(found.len() / 2);
            for (index, (ahead, back)) in some.iter().zip(ahead.iter().zip(back)) {
                let is_reverse = back.distance < ahead.distance;
                let Match { distance, end } = if is_reverse { *back } else { *ahead };
                if let Some(place) = places.get_mut(*index) {
                    *place = Place { is_reverse, distance, end };
                }
            }
            done += some.len();
            isobit::progress(done as f32 / reads.len() as f32, "searched");
        }
    }
    Ok(places)
}

/// The kernels for patterns of one number of words, and the genome as they take it.
struct Group<'a> {
    gpu: Gpu,
    search: isobit::Kernel,
    choose: isobit::Kernel,
    letters: &'a Buffer<u32>,
    chunks: Buffer<patterns::Chunk>,
    words: usize,
}

impl<'a> Group<'a> {
    fn new(gpu: Gpu, letters: &'a Buffer<u32>, text: &Text, words: usize) -> isobit::Result<Self> {
        let module = gpu.module(&unrolled(include_str!("search.wgsl"), words))?;
        let chunks = gpu.buffer_from(&text.chunks(words))?;
        Ok(Self { gpu, search: module.kernel("search")?, choose: module.kernel("choose")?, letters, chunks, words })
    }

    /// The best match of each pattern.
    fn search(&self, patterns: &[&[u8]]) -> isobit::Result<Vec<Match>> {
        let gpu = self.gpu;
        let lengths: Vec<u32> = patterns.iter().map(|it| u32::try_from(it.len())).collect::<Result<_, _>>()?;
        let lengths = gpu.buffer_from(&lengths)?;
        let planes = gpu.buffer_from(&patterns::planes(patterns, self.words))?;
        let best = gpu.buffer_from(&vec![Match { distance: u32::MAX, end: 0 }; patterns.len()])?;
        let found = gpu.buffer::<Match>(patterns.len() * self.chunks.len().min(CHUNKS))?;
        for first in (0..self.chunks.len()).step_by(CHUNKS) {
            let chunks = CHUNKS.min(self.chunks.len() - first);
            let params = Params {
                patterns: u32::try_from(patterns.len())?,
                first_chunk: u32::try_from(first)?,
                chunks: u32::try_from(chunks)?,
            };
            let mut batch = gpu.batch();
            self.search
                .dispatch()
                .bind(0, self.letters)
                .bind(1, &self.chunks)
                .bind(2, &lengths)
                .bind(3, &planes)
                .bind(4, &found)
                .uniform(6, &params)
                .threads(chunks * patterns.len())
                .record(&mut batch)?;
            self.choose
                .dispatch()
                .bind(4, &found)
                .bind(5, &best)
                .uniform(6, &params)
                .threads(patterns.len())
                .record(&mut batch)?;
            batch.submit()?;
        }
        best.read()
    }
}

/// Writes SAM, and returns how many reads were found.
fn write(
    genome: &[Record],
    text: &Text,
    reads: &[Record],
    places: &[Place],
    errors: usize,
) -> Result<usize, Box<dyn Error>> {
    let mut out = BufWriter::with_capacity(1 << 20, Output::create("alignments")?);
    writeln!(out, "@HD\tVN:1.6\tSO:unsorted")?;
    for record in genome {
        writeln!(out, "@SQ\tSN:{}\tLN:{}", record.name, record.bases.len())?;
    }
    let mut found = 0;
    for (read, place) in reads.iter().zip(places) {
        let is_near = u64::from(place.distance) * 100 <= (errors * read.bases.len()) as u64;
        let (sequence, quality) = if is_near && place.is_reverse {
            (reverse_complement(&read.bases), read.quality.iter().rev().copied().collect())
        } else {
            (read.bases.clone(), read.quality.clone())
        };
        let fields = if is_near {
            found += 1;
            aligned(genome, text, &sequence, *place).ok_or("an alignment has other edits than the device counted")?
        } else {
            "4\t*\t0\t0\t*\t*\t0\t0".to_owned()
        };
        let quality: &[u8] = if quality.is_empty() { b"*" } else { &quality };
        write!(out, "{}\t{fields}\t", read.name)?;
        out.write_all(&sequence)?;
        out.write_all(b"\t")?;
        out.write_all(quality)?;
        match is_near {
            true => writeln!(out, "\tNM:i:{}", place.distance)?,
            false => writeln!(out)?,
        }
    }
    out.flush()?;
    Ok(found)
}

/// SAM's fields of a read that was found, from FLAG to TLEN.
fn aligned(genome: &[Record], text: &Text, sequence: &[u8], place: Place) -> Option<String> {
    let (index, range) = text.record_before(place.end)?;
    let record = genome.get(index)?;
    let end = (place.end - range.start) as usize;
    let alignment = align::align(sequence, record.bases.get(..end)?, place.distance as usize)?;
    let flag = if place.is_reverse { 16 } else { 0 };
    let position = end - alignment.covered + 1;
    // 255: nothing is known of how likely the place is the wrong one.
    Some(format!("{flag}\t{}\t{position}\t255\t{}\t*\t0\t0", record.name, alignment.cigar))
}
