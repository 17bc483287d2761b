//! Changes of a text, and the way back from a place in the new text to the guest's own.

use naga::Span;

use super::lexer::Place;

/// Replacements, in any order. If two overlap, the one that begins first applies; if both begin at one place, the longer one.
#[derive(Default)]
pub(crate) struct Edits {
    replacements: Vec<(Place, String)>,
    bytes: usize,
}

impl Edits {
    pub(crate) fn replace(&mut self, place: Place, text: impl Into<String>) {
        let text = text.into();
        self.bytes += text.len();
        self.replacements.push((place, text));
    }

    /// Inserts `text` at the start of `place`.
    pub(crate) fn insert(&mut self, place: Place, text: impl Into<String>) {
        self.replace(Place { start: place.start, end: place.start }, text);
    }

    /// Bytes of all replacements.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The changed text. Lines stay lines: a replacement ends with the line breaks of what it replaces.
    pub(crate) fn apply(mut self, source: &str) -> (String, Map) {
        // An insertion comes before a replacement at the same place.
        self.replacements
            .sort_by_key(|(place, _)| (place.start, place.end > place.start, std::cmp::Reverse(place.end)));
        let mut text = String::with_capacity(source.len() + self.bytes);
        let mut map = Map::default();
        let mut done = 0;
        for (place, replacement) in self.replacements {
            if place.start < done {
                continue;
            }
            text.push_str(source.get(done..place.start).unwrap_or_default());
            let start = text.len();
            text.push_str(&replacement);
            let replaced = source.get(place.start..place.end).unwrap_or_default();
            text.extend(replaced.chars().filter(|character| *character == '\n'));
            map.pieces.push(Piece { new: Place { start, end: text.len() }, old: place });
            done = place.end;
        }
        text.push_str(source.get(done..).unwrap_or_default());
        (text, map)
    }
}

struct Piece {
    new: Place,
    old: Place,
}

/// Where the pieces of a changed text come from.
#[derive(Default)]
pub(crate) struct Map {
    pieces: Vec<Piece>,
}

impl Map {
    pub(crate) fn is_identity(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The place in the source of a place in the changed text.
    pub(crate) fn back(&self, span: Span) -> Span {
        match span.to_range() {
            Some(range) => Span::from(self.offset(range.start, false)..self.offset(range.end, true)),
            None => span,
        }
    }

    /// An offset within a replacement maps to the start or the end of the text that it replaces.
    fn offset(&self, offset: usize, is_end: bool) -> usize {
        let is_before = |piece: &Piece| if is_end { piece.new.start < offset } else { piece.new.start <= offset };
        let Some(piece) = self.pieces.partition_point(is_before).checked_sub(1).and_then(|at| self.pieces.get(at))
        else {
            return offset;
        };
        match offset.checked_sub(piece.new.end) {
            Some(after) if after > 0 || is_end || piece.new.end == offset => piece.old.end + after,
            _ if is_end => piece.old.end,
            _ => piece.old.start,
        }
    }
}
