//! What a workload declares before it runs: the names that it takes and makes.

/// Declares which parameters and inputs the workload takes and which outputs it makes, each with a short description.
///
/// `isobit inspect` shows them, and a run with another name is refused before anything runs. A kind (`param`, `input` or
/// `output`) without a declaration may have any names.
///
/// ```
/// isobit::takes! {
///     param "radius": "of the blur in pixels; 3 if it is not set, at most 64",
///     input "photo": "a PNG",
///     output "out": "the picture, a PNG of the same size",
/// }
/// ```
///
/// A name that no job could use does not compile:
///
/// ```compile_fail
/// isobit::takes! { param "Radius": "of the blur" }
/// ```
#[macro_export]
macro_rules! takes {
    ($($kind:ident $name:literal : $text:literal),* $(,)?) => {
        const _: () = {
            const TEXT: &str = ::core::concat!($($crate::__kind!($kind), " ", $name, " ", $text, "\n"),*);
            $($crate::__takes::check($name, $text);)*
            // A custom section of the module, which `isobit build` keeps.
            #[cfg(target_arch = "wasm32")]
            #[used]
            #[unsafe(link_section = "isobit:takes")]
            static TAKES: [u8; TEXT.len()] = $crate::__takes::bytes(TEXT);
            // On other targets, as in a workload's own tests, the text is not used.
            let _ = TEXT;
        };
    };
}

/// The kinds of [`takes!`], as they are written.
#[doc(hidden)]
#[macro_export]
macro_rules! __kind {
    (param) => {
        "param"
    };
    (input) => {
        "input"
    };
    (output) => {
        "output"
    };
}

/// Refuses at compile time a name or description that the host would skip.
pub const fn check(name: &str, text: &str) {
    let mut rest = name.as_bytes();
    assert!(!rest.is_empty() && rest.len() <= 64, "a name has 1 to 64 characters");
    assert!(matches!(rest, [first, ..] if first.is_ascii_alphanumeric()), "a name starts with a letter or a digit");
    while let [byte, after @ ..] = rest {
        let is_good = byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(*byte, b'.' | b'_' | b'-');
        assert!(is_good, "a name has only a-z, 0-9, '.', '_' and '-'");
        rest = after;
    }
    rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        assert!(*byte != b'\n', "a description has one line");
        rest = after;
    }
}

/// The bytes of a text, whose length is `N`.
pub const fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let mut rest = text.as_bytes();
    let mut place: &mut [u8] = &mut bytes;
    while let ([from, from_after @ ..], [to, to_after @ ..]) = (rest, place) {
        *to = *from;
        (rest, place) = (from_after, to_after);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_text() {
        const TEXT: &str = "param count how many\n";
        assert_eq!(&bytes::<{ TEXT.len() }>(TEXT), TEXT.as_bytes());
    }

    #[test]
    fn names_that_no_job_could_use_are_refused() {
        check("a-1.b_c", "anything at all");
        for (name, text) in [("", ""), ("Radius", ""), ("a b", ""), ("-a", ""), ("a", "two\nlines")] {
            assert!(std::panic::catch_unwind(|| check(name, text)).is_err(), "{name:?}");
        }
    }
}
