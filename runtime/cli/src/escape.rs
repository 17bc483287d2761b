//! Text from guests, peers and files, made harmless before a terminal sees it.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Characters that move the cursor, switch colours, or make text read differently from how it is stored.
fn is_harmful(c: char) -> bool {
    // Controls of C0 and C1, and the marks that reorder text (Unicode standard annex 9).
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Text of any number of lines: line breaks and tabs stay, every other control character is written as
/// `\u{1b}`.
pub fn lines(text: &str) -> Cow<'_, str> {
    escape(text, |c| is_harmful(c) && c != '\n' && c != '\t')
}

/// Text that has to stay on one line, such as a message within a line of ours.
pub fn line(text: &str) -> Cow<'_, str> {
    escape(text, is_harmful)
}

/// JSON in which all harmful characters are escaped; serialization escapes only those that JSON demands. The others can
/// occur only inside strings.
pub fn json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(|c| is_harmful(c) && c != '\n') {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_harmful(c) && c != '\n' {
            // No harmful character lies beyond U+FFFF.
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

fn escape(text: &str, harmful: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&harmful) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if harmful(c) {
            escaped.extend(c.escape_unicode());
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_is_left_alone() {
        assert!(matches!(lines("größe\t3\n"), Cow::Borrowed("größe\t3\n")));
        assert!(matches!(line("größe"), Cow::Borrowed("größe")));
    }

    #[test]
    fn what_drives_a_terminal_is_shown_instead_of_done() {
        assert_eq!(lines("\u{1b}[2Jgone\r\n"), "\\u{1b}[2Jgone\\u{d}\n");
        assert_eq!(line("a\nerror: b"), "a\\u{a}error: b");
        assert_eq!(line("\u{9b}31m \u{202e}gnp.exe"), "\\u{9b}31m \\u{202e}gnp.exe");
    }

    #[test]
    fn json_stays_json() {
        let text = "\u{9b}31m\u{7f}\u{202e}\u{1b}";
        let json_text = serde_json::to_string(text).unwrap();
        let escaped = json(&json_text);
        assert!(escaped.is_ascii());
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
    }
}
