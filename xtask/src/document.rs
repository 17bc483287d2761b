//! Tables in documents, written by the command that measures them.

use std::fs;
use std::path::Path;

use crate::Failure;

const END: &str = "<!-- end measured -->\n";

/// Puts a table between the marks of `cargo xtask COMMAND` in a document of the repository.
pub fn write_table(document: &str, command: &str, table: &str) -> Result<(), Failure> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(document);
    let text = fs::read_to_string(&file).map_err(|error| format!("cannot read {document}: {error}"))?;
    let text = replaced(&text, command, table)
        .ok_or_else(|| format!("{document} has lost the lines that the table stands between"))?;
    fs::write(&file, text).map_err(|error| format!("cannot write {document}: {error}"))
}

/// The text with another table in it.
fn replaced(text: &str, command: &str, table: &str) -> Option<String> {
    let begin = begin(command);
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{begin}\n{table}\n{END}{after}"))
}

fn begin(command: &str) -> String {
    format!("<!-- begin measured: written by `cargo xtask {command}` -->\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_is_replaced() {
        let (bench, other) = (begin("bench"), begin("other"));
        let text = format!("before\n{other}kept\n{END}{bench}old\n{END}after\n");
        let expected = format!("before\n{other}kept\n{END}{bench}\nnew\n\n{END}after\n");
        assert_eq!(replaced(&text, "bench", "new\n").unwrap(), expected);
        assert!(replaced("no marks", "bench", "new").is_none());
    }

    #[test]
    fn the_documents_have_their_marks() {
        for (document, command) in [
            ("BENCHMARKS.md", "bench"),
            ("BENCHMARKS.md", "bench dp32"),
            ("BENCHMARKS.md", "bench strangers"),
            ("README.md", "divergence"),
            ("docs/acceptance.md", "acceptance"),
        ] {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(document);
            assert!(replaced(&fs::read_to_string(file).unwrap(), command, "").is_some(), "{document}");
        }
    }
}
