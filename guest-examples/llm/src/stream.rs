//! Text that is written while it comes: a character whose bytes are spread over several tokens is written when it is whole.

use std::io::Write;

/// Passes on whole characters.
#[derive(Debug)]
pub struct Utf8Stream<W> {
    out: W,
    /// The start of a character.
    open: Vec<u8>,
}

impl<W: Write> Utf8Stream<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out, open: Vec::new() }
    }

    /// Takes bytes, and writes those that make whole characters. What cannot become one is replaced by U+FFFD.
    pub fn write(&mut self, bytes: &[u8]) -> isobit::Result<()> {
        self.open.extend_from_slice(bytes);
        let all = std::mem::take(&mut self.open);
        let mut text = String::new();
        let mut seen = 0;
        for chunk in all.utf8_chunks() {
            let invalid = chunk.invalid();
            seen += chunk.valid().len() + invalid.len();
            text.push_str(chunk.valid());
            // An end that only lacks bytes waits for them.
            let lacks_bytes = std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if seen == all.len() && lacks_bytes {
                self.open = invalid.to_vec();
            } else if !invalid.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        match text.is_empty() {
            true => Ok(()),
            false => Ok(self.out.write_all(text.as_bytes())?),
        }
    }

    /// Writes what is left, and ends.
    pub fn finish(mut self) -> isobit::Result<()> {
        let open = std::mem::take(&mut self.open);
        if !open.is_empty() {
            self.out.write_all("\u{fffd}".as_bytes())?;
        }
        Ok(self.out.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written after each piece, and at the end.
    fn written(pieces: &[&[u8]]) -> Vec<String> {
        let mut seen = Vec::new();
        let mut stream = Utf8Stream::new(Vec::new());
        for piece in pieces {
            stream.write(piece).unwrap();
            seen.push(String::from_utf8(std::mem::take(&mut stream.out)).unwrap());
        }
        let mut end = Vec::new();
        Utf8Stream { out: &mut end, open: stream.open }.finish().unwrap();
        seen.push(String::from_utf8(end).unwrap());
        seen
    }

    #[test]
    fn a_character_is_written_when_it_is_whole() {
        let euro = "€".as_bytes();
        assert_eq!(written(&[b"a", &euro[..1], &euro[1..2], &euro[2..], b"b"]), ["a", "", "", "€", "b", ""]);
        assert_eq!(written(&[&[b"a", &euro[..2]].concat()]), ["a", "\u{fffd}"]);
    }

    #[test]
    fn what_is_no_character_is_replaced() {
        assert_eq!(written(&[b"a\xffb"]), ["a\u{fffd}b", ""]);
        let euro = "€".as_bytes();
        assert_eq!(written(&[&euro[..2], b"x"]), ["", "\u{fffd}x", ""]);
        assert_eq!(written(&[b"\xff\xe2\x82", b"\xac"]), ["\u{fffd}", "€", ""]);
    }
}
