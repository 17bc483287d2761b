//! Writes the longest words of every input to output `longest`, and says on standard output where they come from.

use std::collections::BTreeSet;
use std::io::Write;

fn main() -> std::io::Result<()> {
    let count: usize = std::env::args().nth(1).and_then(|arg| arg.parse().ok()).unwrap_or(10);
    let mut words = BTreeSet::new();
    for entry in std::fs::read_dir("/in")? {
        let path = entry?.path();
        if path.is_file() {
            let text = std::fs::read_to_string(&path)?;
            println!("{}: {} words", path.display(), text.split_whitespace().count());
            words.extend(text.split_whitespace().map(|word| (usize::MAX - word.chars().count(), word.to_owned())));
        }
    }
    let mut out = std::fs::File::create("/out/longest")?;
    for (_, word) in words.iter().take(count) {
        writeln!(out, "{word}")?;
    }
    Ok(())
}
