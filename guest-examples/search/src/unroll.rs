//! Writes out the loops of the kernel over the words of a pattern, so that each word has variables of its own: arrays are not kept in registers everywhere.

/// The line that says how many words there are.
const WORDS: &str = "const WORDS = 4u;";

/// The kernel for patterns of so many words. In it each `var NAME: array<u32, WORDS>;` becomes a variable for each word, and each loop over `w` becomes its body for
/// each word, where `NAME[w]` is the word's variable.
pub fn unrolled(kernel: &str, words: usize) -> String {
    let mut out = String::new();
    let mut lines = kernel.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim_start();
        let indent = line.get(..line.len() - trimmed.len()).unwrap_or_default();
        if let Some(name) = trimmed.strip_prefix("var ").and_then(|rest| rest.strip_suffix(": array<u32, WORDS>;")) {
            (0..words).for_each(|word| out += &format!("{indent}var {name}_{word}: u32;\n"));
        } else if trimmed == "for (var w = 0u; w < WORDS; w++) {" {
            let end = format!("{indent}}}");
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
            for word in 0..words {
                // The braces keep each word's constants apart.
                out += &format!("{indent}{{\n{indent}    const w = {word}u;\n");
                body.iter().for_each(|line| out += &format!("{}\n", line.replace("[w]", &format!("_{word}"))));
                out += &format!("{end}\n");
            }
        } else {
            let line = if line == WORDS { format!("const WORDS = {words}u;") } else { line.to_owned() };
            out += &format!("{line}\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_valid_wgsl_as_it_is_and_for_each_number_of_words() {
        let kernel = include_str!("search.wgsl");
        let valid = |text: &str| {
            let module = naga::front::wgsl::parse_str(text).unwrap();
            naga::valid::Validator::new(Default::default(), Default::default()).validate(&module).unwrap();
        };
        valid(kernel);
        for words in 1..=16 {
            let text = unrolled(kernel, words);
            assert!(text.contains(&format!("const WORDS = {words}u;")) && !text.contains("[w]"), "{text}");
            // Three variables for what a pattern has, and two for a column.
            assert_eq!(text.matches(": u32;\n").count(), 5 * words);
            valid(&text);
        }
    }
}
