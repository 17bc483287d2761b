//! Byte-level BPE (Sennrich and others, 2016; GPT-2's variant on bytes), with the vocabulary and the merges that a GGUF file has.
//!
//! A text is split at special tokens, then into words, and the bytes of a word are joined in the order of the merges.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory as _};

use crate::gguf::{Gguf, Value};

/// Lengths of special tokens that are looked for, at most.
const MOST_LENGTHS: usize = 64;

/// How words are told apart, as `tokenizer.ggml.pre` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    /// GPT-2's pattern.
    Gpt2,
    /// The same, once every digit is a word of its own.
    Smollm,
}

/// Two tokens that become one.
#[derive(Clone, Copy, Debug)]
struct Merge {
    rank: u32,
    token: u32,
}

/// Turns texts into tokens and back.
#[derive(Debug)]
pub struct Tokenizer {
    words: Words,
    /// The bytes that each token stands for; none of a special one.
    bytes: Vec<Vec<u8>>,
    /// The tokens of single bytes. Some bytes are in no text, and have none.
    of_byte: Vec<Option<u32>>,
    merges: HashMap<(u32, u32), Merge>,
    special: HashMap<String, u32>,
    /// How long special tokens are, the longest first.
    lengths: Vec<usize>,
}

impl Tokenizer {
    /// Takes the tokenizer out of a file's metadata.
    pub fn new(gguf: &Gguf) -> Result<Self, String> {
        match gguf.text("tokenizer.ggml.model")? {
            "gpt2" => {}
            other => return Err(format!("tokenizer `{other}`: only `gpt2` (byte-level BPE) is known")),
        }
        let words = match gguf.text("tokenizer.ggml.pre")? {
            "smollm" => Words::Smollm,
            "gpt-2" => Words::Gpt2,
            other => return Err(format!("pre-tokenizer `{other}`: only `smollm` and `gpt-2` are known")),
        };
        let (Some(Value::Texts(tokens)), Some(Value::Texts(merges)), Some(Value::Integers(kinds))) = (
            gguf.values.get("tokenizer.ggml.tokens"),
            gguf.values.get("tokenizer.ggml.merges"),
            gguf.values.get("tokenizer.ggml.token_type"),
        ) else {
            return Err("the model has not the arrays `tokenizer.ggml.tokens`, `.merges` and `.token_type`".to_owned());
        };
        if kinds.len() != tokens.len() {
            return Err(format!("`tokenizer.ggml.token_type` has {} entries for {} tokens", kinds.len(), tokens.len()));
        }
        Self::from_parts(words, tokens, merges, kinds)
    }

    fn from_parts(words: Words, tokens: &[String], merges: &[String], kinds: &[i64]) -> Result<Self, String> {
        let byte_of = alphabet();
        let (mut bytes, mut special, mut numbers) = (Vec::new(), HashMap::new(), HashMap::new());
        for (number, (token, kind)) in (0..).zip(tokens.iter().zip(kinds)) {
            // Control tokens and those that the model's makers added stand for themselves, and only where they are whole.
            if matches!(kind, 3 | 4) {
                if !token.is_empty() {
                    special.insert(token.clone(), number);
                }
                bytes.push(Vec::new());
                continue;
            }
            let meant: Option<Vec<u8>> = token.chars().map(|char| byte_of.get(&char).copied()).collect();
            let meant = meant.ok_or_else(|| format!("token {number}, {token:?}, is not written in bytes"))?;
            numbers.entry(meant.clone()).or_insert(number);
            bytes.push(meant);
        }
        let of_byte = (0..=u8::MAX).map(|byte| numbers.get(&vec![byte]).copied());
        let of_byte: Vec<Option<u32>> = of_byte.collect();
        if let Some(letter) = (b' '..=b'~').find(|byte| of_byte.get(usize::from(*byte)).copied().flatten().is_none()) {
            return Err(format!("the vocabulary has no token for {:?}", char::from(letter)));
        }
        let spelled =
            |part: &str| -> Option<Vec<u8>> { part.chars().map(|char| byte_of.get(&char).copied()).collect() };
        let mut known = HashMap::with_capacity(merges.len());
        for (rank, merge) in (0..).zip(merges) {
            let joined = || {
                let (left, right) = merge.split_once(' ')?;
                let (left, right) = (spelled(left)?, spelled(right)?);
                let joined = [left.as_slice(), right.as_slice()].concat();
                Some(((*numbers.get(&left)?, *numbers.get(&right)?), *numbers.get(&joined)?))
            };
            let (pair, token) =
                joined().ok_or_else(|| format!("merge {rank}, {merge:?}, does not join tokens to a token"))?;
            known.entry(pair).or_insert(Merge { rank, token });
        }
        let lengths: BTreeSet<Reverse<usize>> = special.keys().map(|token| Reverse(token.len())).collect();
        if lengths.len() > MOST_LENGTHS {
            return Err(format!("special tokens of {} lengths, at most {MOST_LENGTHS} are known", lengths.len()));
        }
        let lengths = lengths.into_iter().map(|Reverse(length)| length).collect();
        Ok(Self { words, bytes, of_byte, merges: known, special, lengths })
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes that a token stands for; none if it is a special one.
    pub fn bytes(&self, token: u32) -> &[u8] {
        usize::try_from(token).ok().and_then(|token| self.bytes.get(token)).map_or(&[], Vec::as_slice)
    }

    /// How a special token is written.
    pub fn special_text(&self, token: u32) -> Option<String> {
        self.special.iter().find(|(_, number)| **number == token).map(|(text, _)| text.clone())
    }

    /// The tokens of a text. Special ones count where they are written out.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some((before, token, after)) = self.next_special(rest) {
            self.encode_plain(before, &mut tokens);
            tokens.push(token);
            rest = after;
        }
        self.encode_plain(rest, &mut tokens);
        tokens
    }

    /// The first special token, the longest where several start, with what is before and after it.
    fn next_special<'a>(&self, text: &'a str) -> Option<(&'a str, u32, &'a str)> {
        text.char_indices().find_map(|(at, _)| {
            let (before, from) = text.split_at_checked(at)?;
            self.lengths.iter().find_map(|length| {
                let (token, after) = from.split_at_checked(*length)?;
                Some((before, *self.special.get(token)?, after))
            })
        })
    }

    fn encode_plain(&self, text: &str, tokens: &mut Vec<u32>) {
        match self.words {
            Words::Gpt2 => words(text, |word| self.encode_word(word, tokens)),
            Words::Smollm => {
                let mut rest = text;
                while let Some(at) = rest.find(is_number) {
                    let (before, from) = rest.split_at(at);
                    words(before, |word| self.encode_word(word, tokens));
                    let digit = from.chars().next().map_or(0, char::len_utf8);
                    let (digit, after) = from.split_at(digit);
                    self.encode_word(digit, tokens);
                    rest = after;
                }
                words(rest, |word| self.encode_word(word, tokens));
            }
        }
    }

    /// Joins the pair of the lowest rank, the first where several have it, until none is left.
    fn encode_word(&self, word: &str, tokens: &mut Vec<u32>) {
        // As in other implementations, bytes that the model has no token for are left out.
        let of_byte = |byte: u8| self.of_byte.get(usize::from(byte)).copied().flatten();
        let mut parts = Parts::new(word.bytes().filter_map(of_byte).collect());
        let mut open = BinaryHeap::new();
        let consider = |parts: &Parts, left: usize, open: &mut BinaryHeap<_>| {
            let Some((pair, right)) = parts.pair(left) else { return };
            if let Some(merge) = self.merges.get(&pair) {
                open.push(Reverse((merge.rank, left, right, pair, merge.token)));
            }
        };
        for left in 0..parts.len() {
            consider(&parts, left, &mut open);
        }
        while let Some(Reverse((_, left, right, pair, token))) = open.pop() {
            // A pair of which one was joined with another meanwhile is no more.
            if parts.pair(left) == Some((pair, right)) {
                let before = parts.join(left, right, token);
                consider(&parts, left, &mut open);
                if let Some(before) = before {
                    consider(&parts, before, &mut open);
                }
            }
        }
        tokens.extend(parts.tokens());
    }
}

/// The tokens of a word in a list, of which joined ones leave.
struct Parts {
    tokens: Vec<Option<u32>>,
    before: Vec<Option<usize>>,
    after: Vec<Option<usize>>,
}

impl Parts {
    fn new(tokens: Vec<u32>) -> Self {
        let count = tokens.len();
        Self {
            tokens: tokens.into_iter().map(Some).collect(),
            before: (0..count).map(|at| at.checked_sub(1)).collect(),
            after: (0..count).map(|at| Some(at + 1).filter(|next| *next < count)).collect(),
        }
    }

    fn len(&self) -> usize {
        self.tokens.len()
    }

    fn token(&self, at: usize) -> Option<u32> {
        self.tokens.get(at).copied().flatten()
    }

    /// The pair that starts at `left`, and where its other part is.
    fn pair(&self, left: usize) -> Option<((u32, u32), usize)> {
        let right = self.after.get(left).copied().flatten()?;
        Some(((self.token(left)?, self.token(right)?), right))
    }

    /// Makes a pair one token, at its left; what is before it.
    fn join(&mut self, left: usize, right: usize, token: u32) -> Option<usize> {
        let after = self.after.get(right).copied().flatten();
        set(&mut self.tokens, left, Some(token));
        set(&mut self.tokens, right, None);
        set(&mut self.after, left, after);
        if let Some(after) = after {
            set(&mut self.before, after, Some(left));
        }
        self.before.get(left).copied().flatten()
    }

    fn tokens(&self) -> impl Iterator<Item = u32> {
        self.tokens.iter().filter_map(|token| *token)
    }
}

fn set<T>(items: &mut [T], at: usize, item: T) {
    if let Some(place) = items.get_mut(at) {
        *place = item;
    }
}

/// The characters that stand for bytes in vocabularies: those that can be seen stand for themselves, the others follow from U+0100 on.
fn alphabet() -> BTreeMap<char, u8> {
    let is_seen = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let seen = (0..=u8::MAX).filter(|byte| is_seen(*byte)).map(|byte| (char::from(byte), byte));
    let others = ('\u{100}'..).zip((0..=u8::MAX).filter(|byte| !is_seen(*byte)));
    seen.chain(others).collect()
}

fn is_letter(char: char) -> bool {
    char.general_category_group() == GeneralCategoryGroup::Letter
}

fn is_number(char: char) -> bool {
    char.general_category_group() == GeneralCategoryGroup::Number
}

/// Neither letter nor number nor space.
fn is_mark(char: char) -> bool {
    !char.is_whitespace() && !is_letter(char) && !is_number(char)
}

/// Splits a text by GPT-2's pattern:
/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
fn words<'a>(text: &'a str, mut word: impl FnMut(&'a str)) {
    let mut rest = text;
    while !rest.is_empty() {
        // Every alternative takes something, and all characters are in one of them.
        let length = next_word(rest).clamp(1, rest.len());
        let Some((next, after)) = rest.split_at_checked(length) else { return };
        word(next);
        rest = after;
    }
}

/// How long the first word is, in bytes.
fn next_word(text: &str) -> usize {
    const CONTRACTIONS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];
    if let Some(found) = CONTRACTIONS.into_iter().find(|end| text.starts_with(end)) {
        return found.len();
    }
    let bare = text.strip_prefix(' ').unwrap_or(text);
    let prefix = text.len() - bare.len();
    for kind in [is_letter, is_number, is_mark] {
        let run = run(bare, kind);
        if run > 0 {
            return prefix + run;
        }
    }
    // Spaces: all but the last, which goes with the word that follows; all where none follows, or where there is only one.
    let spaces = run(text, char::is_whitespace);
    let last = text.get(..spaces).and_then(|spaces| spaces.chars().next_back()).map_or(0, char::len_utf8);
    if spaces == text.len() || spaces == last { spaces } else { spaces - last }
}

/// How many bytes at the start of a text are characters of a kind.
fn run(text: &str, kind: impl Fn(char) -> bool) -> usize {
    text.find(|char| !kind(char)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        let mut all = Vec::new();
        words(text, |word| all.push(word));
        assert_eq!(all.concat(), text);
        all
    }

    #[test]
    fn texts_are_split_as_gpt_2s_pattern_says() {
        assert_eq!(split("Hello, world!  It's 2024."), ["Hello", ",", " world", "!", " ", " It", "'s", " 2024", "."]);
        assert_eq!(split("a\n\n  b \t"), ["a", "\n\n ", " b", " \t"]);
        assert_eq!(split("a\nb"), ["a", "\n", "b"]);
        assert_eq!(split("été 𝟙² don't 'tis"), ["été", " 𝟙²", " don", "'t", " '", "tis"]);
        assert_eq!(split("e\u{301}!"), ["e", "\u{301}!"]);
        assert!(split("").is_empty());
    }

    /// All bytes, two joined ones, and a special token.
    fn small(words: Words) -> Tokenizer {
        let characters: BTreeMap<u8, char> = alphabet().into_iter().map(|(char, byte)| (byte, char)).collect();
        let mut tokens: Vec<String> = characters.values().map(char::to_string).collect();
        tokens.extend(["ab", "bc", "abc", "Ġa", "<|end|>", "<|end|>>"].map(str::to_owned));
        let mut kinds = vec![1; tokens.len()];
        kinds[260] = 3;
        kinds[261] = 4;
        let merges = ["b c", "a b", "a bc", "Ġ a"].map(str::to_owned);
        Tokenizer::from_parts(words, &tokens, &merges, &kinds).unwrap()
    }

    #[test]
    fn pairs_are_joined_by_rank_and_then_from_the_left() {
        let it = small(Words::Gpt2);
        assert_eq!(it.encode("abc"), [258]);
        assert_eq!(it.encode("ab"), [256]);
        assert_eq!(it.encode("ababc"), [256, 258]);
        assert_eq!(it.encode("a ab"), [97, 32, 256], "`a b` comes before `Ġ a`");
        assert_eq!(it.encode("a ac"), [97, 259, 99]);
        assert_eq!(it.bytes(258), b"abc");
        assert_eq!(it.bytes(259), b" a");
        assert!(it.bytes(260).is_empty() && it.bytes(u32::MAX).is_empty());
        let long = "ab".repeat(100_000);
        assert_eq!(it.encode(&long).len(), 100_000);
    }

    #[test]
    fn special_tokens_are_found_before_words() {
        let it = small(Words::Smollm);
        assert_eq!(it.encode("ab<|end|>c<|end"), [[256, 260, 99].as_slice(), &it.encode("<|end")].concat());
        assert_eq!(it.encode("<|end|>>"), [261]);
        assert_eq!(it.encode("12"), [49, 50]);
        assert!(it.encode("").is_empty());
    }

    #[test]
    fn vocabularies_that_do_not_fit_are_refused_by_name() {
        let characters: Vec<String> = alphabet().keys().map(char::to_string).collect();
        let kinds = vec![1; characters.len()];
        let refused = |tokens: &[String], merges: &[&str]| {
            let merges: Vec<String> = merges.iter().map(|merge| (*merge).to_owned()).collect();
            Tokenizer::from_parts(Words::Gpt2, tokens, &merges, &kinds[..tokens.len()]).unwrap_err()
        };
        assert!(refused(&characters[1..], &[]).contains("no token for '!'"));
        assert!(refused(&characters, &["a b"]).contains("merge 0, \"a b\""));
        assert!(refused(&characters, &["ab"]).contains("merge 0"));
        assert!(refused(&["a b".to_owned()], &[]).contains("token 0, \"a b\""));
    }
}
