//! Reads FASTA and FASTQ. Nothing in a file is trusted; every error names its line.

use std::collections::HashSet;

/// The longest name that SAM can hold.
const LONGEST_NAME: usize = 254;

/// One sequence of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The first word after `>` or `@`.
    pub name: String,
    /// Upper-case letters of IUPAC's code for nucleotides.
    pub bases: Vec<u8>,
    /// How sure the sequencer was of each base, as FASTQ has it; empty in FASTA.
    pub quality: Vec<u8>,
}

/// A line without its end, and its number, from 1.
type Line<'a> = (usize, &'a [u8]);

/// Parses FASTA, or FASTQ with four lines to a record; the first byte tells which. There is at least one record, and each has at
/// least one base.
///
/// # Errors
/// What is wrong, with the number of the line.
pub fn parse(text: &[u8]) -> Result<Vec<Record>, String> {
    let lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut lines = lines.enumerate().map(|(index, line)| (index + 1, line));
    match text.first() {
        Some(b'>') => fasta(&mut lines),
        Some(b'@') => fastq(&mut lines),
        Some(other) => Err(format!(
            "line 1: starts with {}, but FASTA starts with `>` and FASTQ with `@`; is the file compressed?",
            shown(*other)
        )),
        None => Err("the file is empty".to_owned()),
    }
}

/// Fails if two records have one name.
///
/// # Errors
/// Names the record.
pub fn distinct(records: &[Record]) -> Result<(), String> {
    let mut names = HashSet::new();
    match records.iter().find(|record| !names.insert(&record.name)) {
        Some(record) => Err(format!("two records are called {}", record.name)),
        None => Ok(()),
    }
}

/// The bases of the other strand, in its own direction.
pub fn reverse_complement(bases: &[u8]) -> Vec<u8> {
    const CODE: &[u8] = b"ACGTUNRYKMSWBDHV";
    const COMPLEMENT: &[u8] = b"TGCAANYRMKSWVHDB";
    let complement = |base: &u8| CODE.iter().position(|it| it == base).and_then(|index| COMPLEMENT.get(index)).copied();
    bases.iter().rev().map(|base| complement(base).unwrap_or(b'N')).collect()
}

fn fasta<'a>(lines: &mut impl Iterator<Item = Line<'a>>) -> Result<Vec<Record>, String> {
    let mut records: Vec<Record> = Vec::new();
    let mut last = 0;
    for (number, line) in lines {
        if let Some(title) = line.strip_prefix(b">") {
            complete(records.last(), last)?;
            records.push(Record { name: name(title, number)?, bases: Vec::new(), quality: Vec::new() });
            last = number;
        } else if let Some(record) = records.last_mut() {
            extend(&mut record.bases, line, number)?;
        }
    }
    complete(records.last(), last)?;
    Ok(records)
}

/// Fails if the record that began in this line has no base.
fn complete(record: Option<&Record>, line: usize) -> Result<(), String> {
    match record {
        Some(record) if record.bases.is_empty() => Err(format!("line {line}: {} has no base", record.name)),
        _ => Ok(()),
    }
}

fn fastq<'a>(lines: &mut impl Iterator<Item = Line<'a>>) -> Result<Vec<Record>, String> {
    let mut records = Vec::new();
    while let Some((number, line)) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let Some(title) = line.strip_prefix(b"@") else {
            let found = line.first().map_or_else(String::new, |byte| shown(*byte));
            return Err(format!("line {number}: starts with {found}, but a record of FASTQ starts with `@`"));
        };
        let name = name(title, number)?;
        let mut next = |what: &str| lines.next().ok_or_else(|| format!("line {number}: {name} ends before its {what}"));
        let mut bases = Vec::new();
        let (number, line) = next("bases")?;
        extend(&mut bases, line, number)?;
        if bases.is_empty() {
            return Err(format!("line {number}: {name} has no base"));
        }
        let (number, line) = next("separator")?;
        if line.first() != Some(&b'+') {
            return Err(format!("line {number}: no `+` after the bases of {name}, which have to be in one line"));
        }
        let (number, quality) = next("quality")?;
        if quality.len() != bases.len() {
            return Err(format!(
                "line {number}: {name} has {} bases, but the quality of {}",
                bases.len(),
                quality.len()
            ));
        }
        if let Some(other) = quality.iter().find(|byte| !byte.is_ascii_graphic()) {
            return Err(format!("line {number}: {} is no quality: they are from `!` to `~`", shown(*other)));
        }
        records.push(Record { name, bases, quality: quality.to_vec() });
    }
    Ok(records)
}

/// The first word of a title.
fn name(title: &[u8], number: usize) -> Result<String, String> {
    let word = title.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    if word.is_empty() {
        return Err(format!("line {number}: a record without a name"));
    }
    if word.len() > LONGEST_NAME {
        return Err(format!("line {number}: a name of {} bytes: at most {LONGEST_NAME}", word.len()));
    }
    match word.iter().find(|byte| !byte.is_ascii_graphic() || **byte == b'@') {
        Some(byte) => {
            Err(format!("line {number}: {} in a name: names are of printable ASCII without `@`", shown(*byte)))
        }
        None => Ok(word.iter().map(|byte| char::from(*byte)).collect()),
    }
}

/// Appends the bases in a line, as upper-case letters.
fn extend(bases: &mut Vec<u8>, line: &[u8], number: usize) -> Result<(), String> {
    let line = line.trim_ascii_end();
    bases.try_reserve(line.len()).map_err(|_| format!("line {number}: no memory for so many bases"))?;
    for byte in line {
        let base = byte.to_ascii_uppercase();
        if !b"ACGTUNRYKMSWBDHV".contains(&base) {
            return Err(format!(
                "line {number}: {} is no base: they are A, C, G, T and IUPAC's other letters",
                shown(*byte)
            ));
        }
        bases.push(base);
    }
    Ok(())
}

/// A byte for a message.
fn shown(byte: u8) -> String {
    if byte.is_ascii_graphic() { format!("`{}`", char::from(byte)) } else { format!("byte {byte:#04x}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, bases: &str, quality: &str) -> Record {
        Record { name: name.to_owned(), bases: bases.into(), quality: quality.into() }
    }

    #[test]
    fn records_of_both_formats_are_read() {
        let found = parse(b">a first one\nACgt\r\nn\n\n>b\nTTU").unwrap();
        assert_eq!(found, [record("a", "ACGTN", ""), record("b", "TTU", "")]);
        let found = parse(b"@r1 x\nACG\n+r1\n@~!\n\n@r2\r\nT\r\n+\r\n+\r\n").unwrap();
        assert_eq!(found, [record("r1", "ACG", "@~!"), record("r2", "T", "+")]);
    }

    #[test]
    fn the_other_strand_is_read_backwards() {
        assert_eq!(reverse_complement(b"AACGTNRUX"), b"NAYNACGTT");
    }

    #[test]
    fn every_broken_file_is_refused_with_its_line() {
        let long = format!(">{}\nA", "n".repeat(255));
        let corpus: [(&[u8], &str); 20] = [
            (b"", "the file is empty"),
            (b"\x1f\x8b\x08", "line 1: starts with byte 0x1f"),
            (b"ACGT", "line 1: starts with `A`"),
            (b">", "line 1: a record without a name"),
            (b"> a\nACGT", "line 1: a record without a name"),
            (b">a", "line 1: a has no base"),
            (b">a\nAC\n>b\n\n>c\nA", "line 3: b has no base"),
            (b">a\nAC-T", "line 2: `-` is no base"),
            (b">a\nAC\n\0", "line 3: byte 0x00 is no base"),
            (b">a\nA C", "line 2: byte 0x20 is no base"),
            (b">a\xff\nAC", "line 1: byte 0xff in a name"),
            (long.as_bytes(), "line 1: a name of 255 bytes"),
            (b"@r", "line 1: r ends before its bases"),
            (b"@r\nAC", "line 1: r ends before its separator"),
            (b"@r\nAC\n+", "line 1: r ends before its quality"),
            (b"@r\n\n+\n", "line 2: r has no base"),
            (b"@r\nAC\nGT\n+\n####", "line 3: no `+` after the bases of r"),
            (b"@r\nAC\n+\n#", "line 4: r has 2 bases, but the quality of 1"),
            (b"@r\nAC\n+\n# ", "line 4: byte 0x20 is no quality"),
            (b"@r\nAC\n+\n##\nr2\n", "line 5: starts with `r`"),
        ];
        for (text, expected) in corpus {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(expected), "{error} instead of {expected}");
        }
        let twice = parse(b">a\nA\n>a\nC").unwrap();
        assert_eq!(distinct(&twice).unwrap_err(), "two records are called a");
    }

    #[test]
    fn no_file_that_is_cut_off_or_has_a_byte_changed_panics() {
        let file = b"@r1 x\nACG\n+r1\n@~!\n@r2\nT\n+\n+\n>";
        for end in 0..=file.len() {
            let _ = parse(&file[..end]);
            for byte in [0, b'\n', b'@', b'>', b'+', 0xff] {
                let mut broken = file.to_vec();
                broken.insert(end, byte);
                let _ = parse(&broken);
            }
        }
    }
}
