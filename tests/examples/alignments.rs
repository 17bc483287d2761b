//! What the example search finds, found again by the plain recurrence of edit distances, cell by cell; and readers and writers of the formats it takes.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::reference::made_up;

/// A record of FASTA or FASTQ: name, bases, quality.
pub type Record = (String, Vec<u8>, Vec<u8>);

/// Reads a file of FASTA or of FASTQ.
pub fn read(path: &Path) -> Vec<Record> {
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let name = |line: &str| line[1..].split(' ').next().unwrap().to_owned();
    if text.starts_with('@') {
        let record = |four: &[&str]| (name(four[0]), four[1].into(), four[3].into());
        return lines.chunks(4).map(record).collect();
    }
    let records = text.split_terminator('>').skip(1).map(|record| record.split_once('\n').unwrap());
    records.map(|(title, bases)| (name(&format!(">{title}")), bases.replace('\n', "").into(), Vec::new())).collect()
}

/// Writes FASTA, with lines of 70 bases.
pub fn fasta(records: &[Record]) -> Vec<u8> {
    let lines = |bases: &[u8]| bases.chunks(70).flat_map(|line| [line, b"\n"].concat()).collect::<Vec<u8>>();
    records.iter().flat_map(|(name, bases, _)| [format!(">{name}\n").into_bytes(), lines(bases)].concat()).collect()
}

fn random(seed: u32, length: usize) -> Vec<u8> {
    made_up(seed).take(length).map(|value| b"ACGT"[((value + 1.0) * 2.0) as usize]).collect()
}

/// Records of several lengths, two of them with bases that are not known.
pub fn made_up_genome() -> Vec<Record> {
    let mut genome: Vec<Record> = [3000, 1, 40, 1500, 2500]
        .into_iter()
        .enumerate()
        .map(|(index, length)| (format!("chr{index}"), random(index as u32, length), Vec::new()))
        .collect();
    genome[0].1[1000..1040].fill(b'N');
    genome[3].1[7] = b'R';
    genome
}

/// Reads of the genome with edits, of both strands, of many lengths; one over the end of a record; and some of nothing.
pub fn made_up_reads(genome: &[Record]) -> Vec<Record> {
    let lengths = [1, 31, 32, 33, 64, 65, 95, 512];
    let mut reads = Vec::new();
    for (index, length) in lengths.into_iter().enumerate() {
        let (_, text, _) = &genome[[0, 3, 4][index % 3]];
        let start = (index * 101) % (text.len() - length);
        let mut bases = text[start..start + length].to_vec();
        for edit in 0..length / 15 {
            let place = edit * 15 + index % 7;
            match edit % 3 {
                0 => bases[place] = b"CATG"[index % 4],
                1 => bases.insert(place, b"GTCA"[index % 4]),
                _ => drop(bases.remove(place)),
            }
        }
        bases.truncate(length);
        if index % 2 == 1 {
            bases = reverse_complement(&bases);
        }
        reads.push((format!("read{length}"), bases, Vec::new()));
    }
    let over = [&genome[0].1[2980..], &genome[1].1[..], &genome[2].1[..20]].concat();
    let ends = [genome[2].1.clone(), genome[0].1[..50].to_vec(), genome[4].1[2450..].to_vec()];
    let others = ends.into_iter().chain([over, random(99, 90), vec![b'N'; 40]]);
    reads.extend(others.enumerate().map(|(index, bases)| (format!("other{index}"), bases, Vec::new())));
    reads
}

fn reverse_complement(bases: &[u8]) -> Vec<u8> {
    let complement = |base: &u8| match base {
        b'A' => b'T',
        b'C' => b'G',
        b'G' => b'C',
        b'T' => b'A',
        b'R' => b'Y',
        other => *other,
    };
    bases.iter().rev().map(complement).collect()
}

fn is_match(a: u8, b: u8) -> bool {
    a == b && b"ACGT".contains(&a)
}

/// The fewest edits between all of the pattern and some part of the text, and the first end of such a part.
fn nearest(pattern: &[u8], text: &[u8]) -> (usize, usize) {
    let mut column: Vec<usize> = (0..=pattern.len()).collect();
    let mut best = (usize::MAX, 0);
    for (end, letter) in text.iter().enumerate() {
        let mut diagonal = column[0];
        for row in 1..=pattern.len() {
            let replaced = diagonal + usize::from(!is_match(pattern[row - 1], *letter));
            diagonal = column[row];
            column[row] = replaced.min(column[row] + 1).min(column[row - 1] + 1);
        }
        if column[pattern.len()] < best.0 {
            best = (column[pattern.len()], end + 1);
        }
    }
    best
}

/// Checks SAM: every read is there, in order; the edits of each that was found are as many as stated; and of the reads that `is_searched` chooses by
/// their index there is no better place, and no equally good one before. Returns how many were found.
pub fn check(
    sam: &[u8],
    genome: &[Record],
    reads: &[Record],
    errors: usize,
    is_searched: impl Fn(usize) -> bool,
) -> usize {
    let sam = String::from_utf8(sam.to_vec()).unwrap();
    let (header, lines): (Vec<&str>, Vec<&str>) = sam.lines().partition(|line| line.starts_with('@'));
    let sequences = genome.iter().map(|(name, bases, _)| format!("@SQ\tSN:{name}\tLN:{}", bases.len()));
    assert_eq!(header, ["@HD\tVN:1.6\tSO:unsorted".to_owned()].into_iter().chain(sequences).collect::<Vec<_>>());
    assert_eq!(lines.len(), reads.len());
    let texts: HashMap<&str, &[u8]> = genome.iter().map(|(name, bases, _)| (name.as_str(), bases.as_slice())).collect();
    let mut found = 0;
    for (index, (line, (name, bases, quality))) in lines.iter().zip(reads).enumerate() {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(fields[0], name);
        let is_reverse = fields[1] == "16";
        let (mut sequence, mut shown) = (bases.clone(), quality.clone());
        if is_reverse {
            sequence = reverse_complement(bases);
            shown.reverse();
        }
        assert_eq!(fields[9].as_bytes(), sequence, "{name}");
        assert_eq!(fields[10].as_bytes(), if shown.is_empty() { b"*" } else { shown.as_slice() }, "{name}");

        let mut place = None;
        if fields[1] != "4" {
            found += 1;
            let start = fields[3].parse::<usize>().unwrap() - 1;
            let (edits, covered) = edits(&sequence, &texts[fields[2]][start..], fields[5]);
            assert_eq!(fields[11], format!("NM:i:{edits}"), "{name}");
            assert!(edits * 100 <= errors * bases.len(), "{name}");
            place = Some((edits, is_reverse, fields[2], start + covered));
        }
        if is_searched(index) {
            let strands = [(false, bases.clone()), (true, reverse_complement(bases))];
            let places = strands.iter().flat_map(|(is_reverse, pattern)| {
                genome.iter().map(|(record, text, _)| {
                    let (distance, end) = nearest(pattern, text);
                    (distance, *is_reverse, record.as_str(), end)
                })
            });
            // The first of equally good ones.
            let best = places.min_by_key(|(distance, ..)| *distance).unwrap();
            let is_near = best.0 * 100 <= errors * bases.len();
            assert_eq!(place, is_near.then_some(best), "{name}");
        }
    }
    found
}

/// How many edits a CIGAR makes between a sequence and the beginning of a text, and how many letters of the text it covers. Each `=` and `X` has to be right.
fn edits(sequence: &[u8], text: &[u8], cigar: &str) -> (usize, usize) {
    let (mut edits, mut row, mut column) = (0, 0, 0);
    for run in cigar.split_inclusive(|letter: char| !letter.is_ascii_digit()) {
        let (length, kind) = run.split_at(run.len() - 1);
        for _ in 0..length.parse().unwrap() {
            match kind {
                "=" | "X" => {
                    assert_eq!(is_match(sequence[row], text[column]), kind == "=", "{cigar}");
                    (row, column) = (row + 1, column + 1);
                }
                "I" => row += 1,
                "D" => column += 1,
                other => panic!("{other} in {cigar}"),
            }
            edits += usize::from(kind != "=");
        }
    }
    assert_eq!(row, sequence.len(), "{cigar}");
    (edits, column)
}
