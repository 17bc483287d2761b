//! What kernels get: texts and patterns as words of bits, and a text cut into chunks.

use std::ops::Range;

use isobit::{Pod, Zeroable};

use crate::align::code;
use crate::sequences::Record;

/// Bases in a word of a pattern.
pub const WORD: usize = 32;

/// Turns of loops that a chunk may take: lavapipe ends all loops of an invocation, without a word, after 65 535.
const TURNS: usize = 60_000;

/// A part of the text, field by field as in the WGSL.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[bytemuck(crate = "isobit::bytemuck")]
pub struct Chunk {
    start: u32,
    first: u32,
    end: u32,
}

/// All records, one after the other.
pub struct Text {
    /// Eight letters in a word.
    pub words: Vec<u32>,
    /// Where each record is.
    pub records: Vec<Range<u32>>,
}

impl Text {
    /// `None` if there are more letters than numbers for them.
    pub fn new(records: &[Record]) -> Option<Self> {
        let mut text = Self { words: Vec::new(), records: Vec::new() };
        let mut start = 0_u32;
        for record in records {
            let end = start.checked_add(u32::try_from(record.bases.len()).ok()?)?;
            text.records.push(start..end);
            start = end;
        }
        let mut codes = records.iter().flat_map(|record| &record.bases).map(|base| code(*base)).peekable();
        while codes.peek().is_some() {
            let eight = codes.by_ref().take(8).enumerate();
            text.words.push(eight.fold(0, |word, (index, code)| word | code << (4 * index)));
        }
        Some(text)
    }

    /// Cuts the text into chunks for patterns of so many words. No chunk reaches over the end of a record.
    ///
    /// A match of a pattern of `m` letters takes at most `m` edits, as all of it could be inserted, and so covers at most 2 `m` letters: with these before
    /// its first end, a chunk finds the distance of each of its ends.
    pub fn chunks(&self, words: usize) -> Vec<Chunk> {
        let before = 2 * WORD * words;
        let most = TURNS / (words + 1) - before;
        // A sixteenth of the work is done twice.
        let step = (16 * before).min(most);
        let number = |letters: usize| u32::try_from(letters).unwrap_or(u32::MAX);
        let of_record = |record: &Range<u32>| {
            let Range { start, end } = record.clone();
            (start..end).step_by(step).map(move |first| Chunk {
                start: first.saturating_sub(number(before)).max(start),
                first,
                end: first.saturating_add(number(step)).min(end),
            })
        };
        self.records.iter().flat_map(of_record).collect()
    }

    /// The record that has the letter before `end`.
    pub fn record_before(&self, end: u32) -> Option<(usize, &Range<u32>)> {
        let index = self.records.partition_point(|record| record.end < end);
        self.records.get(index).map(|record| (index, record))
    }
}

/// How many words a pattern takes.
pub fn words(pattern: &[u8]) -> usize {
    pattern.len().div_ceil(WORD)
}

/// The patterns, of `words` words each, as the kernel reads them: of each word three planes, of each plane a word of each pattern.
pub fn planes(patterns: &[&[u8]], words: usize) -> Vec<u32> {
    let plane = |pattern: &[u8], word: usize, bit: fn(u32) -> u32| -> u32 {
        let letters = pattern.chunks(WORD).nth(word).unwrap_or_default();
        letters.iter().enumerate().fold(0, |plane, (index, base)| plane | bit(code(*base)) << index)
    };
    let bits: [fn(u32) -> u32; 3] = [|code| code & 1, |code| code >> 1 & 1, |code| u32::from(code < 4)];
    let all = (0..words).flat_map(|word| bits.map(|bit| (word, bit)));
    all.flat_map(|(word, bit)| patterns.iter().map(move |pattern| plane(pattern, word, bit))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(records: &[usize]) -> Text {
        let record = |length: &usize| Record { name: "a".to_owned(), bases: vec![b'G'; *length], quality: Vec::new() };
        Text::new(&records.iter().map(record).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn chunks_cover_every_end_once_and_reach_back_far_enough() {
        for words in 1..=16 {
            let text = text(&[1, 70_000, 9]);
            let chunks = text.chunks(words);
            let mut next = 0;
            for chunk in &chunks {
                assert_eq!(chunk.first, next);
                next = chunk.end;
                let (_, record) = text.record_before(chunk.end).unwrap();
                assert_eq!(
                    chunk.start,
                    chunk.first.saturating_sub(64 * u32::try_from(words).unwrap()).max(record.start)
                );
                assert!((chunk.end - chunk.start) as usize * (words + 1) <= TURNS);
            }
            assert_eq!(next, 70_010);
        }
    }

    #[test]
    fn letters_are_packed_from_the_lowest_bits() {
        let record = Record { name: "a".to_owned(), bases: b"ACGTNACGU".to_vec(), quality: Vec::new() };
        assert_eq!(Text::new(&[record]).unwrap().words, [0x2104_3210, 3]);
        assert_eq!(planes(&[b"ACGTN", b"T"], 1), [0b1010, 1, 0b1100, 1, 0b1111, 1]);
        let long = [b'C'; 33];
        assert_eq!(planes(&[&long], 2), [u32::MAX, 0, u32::MAX, 1, 0, 1]);
    }

    #[test]
    fn an_end_belongs_to_the_record_of_the_letter_before_it() {
        let text = text(&[3, 4]);
        let index = |end| text.record_before(end).map(|(index, _)| index);
        assert_eq!([1, 3, 4, 7].map(index), [Some(0), Some(0), Some(1), Some(1)]);
        assert_eq!(index(8), None);
    }
}
