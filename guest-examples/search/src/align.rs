//! How a pattern lies at the end of a part of a text, when its edit distance there is known: a banded matrix, and the way back through it.

/// An alignment.
#[derive(Debug, PartialEq, Eq)]
pub struct Alignment {
    /// Letters of the text that it covers.
    pub covered: usize,
    /// The edits in the order of the text, as SAM writes them: `=` equal, `X` replaced, `I` only in the pattern, `D` only in the text.
    pub cigar: String,
}

/// Whether two bases match: only the four letters do, each with itself.
fn matches(a: u8, b: u8) -> bool {
    code(a) == code(b) && code(a) < 4
}

/// The number of a base in kernels: A, C, G and T (or U) are 0 to 3, and everything else is 4, which matches nothing.
pub fn code(base: u8) -> u32 {
    match base {
        b'A' => 0,
        b'C' => 1,
        b'G' => 2,
        b'T' | b'U' => 3,
        _ => 4,
    }
}

/// The alignment of all of `pattern` with the end of `text` that takes `distance` edits, the least there is for that end; `None` if that end takes
/// more. Of several it is the one that covers nearest to as many letters as the pattern has, with replaced letters rather than others.
pub fn align(pattern: &[u8], text: &[u8], distance: usize) -> Option<Alignment> {
    // Row i has the distances of the last i letters of the pattern to the last j of the text, for j from i - distance to i + distance:
    // other cells cost more than there are edits.
    let width = 2 * distance + 1;
    let far = distance + 1;
    let mut cells = vec![far; (pattern.len() + 1) * width];
    let at = |cells: &[usize], i: usize, j: usize| -> usize {
        let column = (j + distance).checked_sub(i).filter(|column| *column < width);
        column.and_then(|column| cells.get(i * width + column)).copied().unwrap_or(far)
    };
    let from_end = |letters: &[u8], index: usize| letters.iter().rev().nth(index).copied().unwrap_or_default();
    let replaced = |i: usize, j: usize| usize::from(!matches(from_end(pattern, i - 1), from_end(text, j - 1)));
    for i in 0..=pattern.len() {
        for j in i.saturating_sub(distance)..=(i + distance).min(text.len()) {
            let mut least = if i == 0 { j } else { at(&cells, i - 1, j) + 1 };
            if i > 0 && j > 0 {
                least = least.min(at(&cells, i - 1, j - 1) + replaced(i, j));
            }
            if j > 0 {
                least = least.min(at(&cells, i, j - 1) + 1);
            }
            if let Some(cell) = cells.get_mut(i * width + j + distance - i) {
                *cell = least;
            }
        }
    }

    let m = pattern.len();
    let ends = m.saturating_sub(distance)..=(m + distance).min(text.len());
    let covered = ends.filter(|j| at(&cells, m, *j) == distance).min_by_key(|j| (j.abs_diff(m), *j))?;
    let (mut i, mut j) = (m, covered);
    let mut edits = Vec::new();
    while i > 0 || j > 0 {
        let here = at(&cells, i, j);
        let edit = if i > 0 && j > 0 && at(&cells, i - 1, j - 1) + replaced(i, j) == here {
            let edit = if replaced(i, j) == 0 { '=' } else { 'X' };
            (i, j) = (i - 1, j - 1);
            edit
        } else if i > 0 && at(&cells, i - 1, j) + 1 == here {
            i -= 1;
            'I'
        } else {
            j = j.checked_sub(1)?;
            'D'
        };
        edits.push(edit);
    }
    let runs = edits.chunk_by(|a, b| a == b).filter_map(|run| Some(format!("{}{}", run.len(), run.first()?)));
    Some(Alignment { covered, cigar: runs.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_found_on_the_way_back() {
        let cigar = |pattern: &str, text: &str, distance| {
            let found = align(pattern.as_bytes(), text.as_bytes(), distance)?;
            Some((found.covered, found.cigar))
        };
        let some = |covered, cigar: &str| Some((covered, cigar.to_owned()));
        assert_eq!(cigar("ACGT", "GGACGT", 0), some(4, "4="));
        assert_eq!(cigar("ACGT", "GGACCT", 1), some(4, "2=1X1="));
        assert_eq!(cigar("ACGTA", "GGACTA", 1), some(4, "2=1I2="));
        assert_eq!(cigar("ACTA", "GGACGTA", 1), some(5, "2=1D2="));
        assert_eq!(cigar("NN", "NN", 2), some(2, "2X"));
        assert_eq!(cigar("ACGT", "", 4), some(0, "4I"));
        assert_eq!(cigar("ACGT", "TTTT", 1), None);
    }
}
