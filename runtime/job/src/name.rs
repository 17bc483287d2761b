//! Names of inputs, outputs and parameters.

/// The most characters a [`Name`] has.
pub const MAX_NAME: usize = 64;

/// The name of an input, an output or a parameter: 1 to 64 characters of `a-z`, `0-9`, `.`, `_` and `-`, the first a
/// letter or a digit. So as a file name it holds no path separator and does not start with a dot.
///
/// ```
/// use isobit_job::Name;
///
/// let name: Name = "photo-1.png".parse()?;
/// assert_eq!(name.as_str(), "photo-1.png");
/// assert!("../etc/passwd".parse::<Name>().is_err());
/// # Ok::<(), isobit_job::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Why text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of a variant says what it is")]
#[non_exhaustive]
pub enum NameError {
    #[error("a name has 1 to {MAX_NAME} characters, found {found}")]
    Length { found: usize },
    #[error("a name starts with a-z or 0-9, found {found:?}")]
    Start { found: char },
    #[error("a name is made of a-z, 0-9, '.', '_' and '-', found {found:?}")]
    Character { found: char },
}

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(text: &str) -> Result<(), NameError> {
    let found = text.chars().count();
    if found == 0 || found > MAX_NAME {
        return Err(NameError::Length { found });
    }
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if let Some(found) = text.chars().find(|c| !is_alphanumeric(*c) && !matches!(c, '.' | '_' | '-')) {
        return Err(NameError::Character { found });
    }
    match text.chars().next().filter(|c| !is_alphanumeric(*c)) {
        Some(found) => Err(NameError::Start { found }),
        None => Ok(()),
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Name, NameError> {
        check(&text).map(|()| Name(text))
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Name, NameError> {
        check(text).map(|()| Name(text.to_owned()))
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_text_of_the_documented_form_is_a_name(text in "[a-z0-9][a-z0-9._-]{0,63}") {
            prop_assert_eq!(text.parse::<Name>().map(String::from), Ok(text));
        }

        #[test]
        fn any_other_text_is_refused(text: String) {
            let is_name = !text.is_empty()
                && text.len() <= MAX_NAME
                && text.bytes().all(|b| b"abcdefghijklmnopqrstuvwxyz0123456789._-".contains(&b))
                && !text.starts_with(['.', '_', '-']);
            prop_assert_eq!(text.parse::<Name>().is_ok(), is_name);
        }
    }

    #[test]
    fn a_refusal_says_what_was_found() {
        let message = |text: &str| text.parse::<Name>().unwrap_err().to_string();
        assert_eq!(message(""), "a name has 1 to 64 characters, found 0");
        assert_eq!(message(&"x".repeat(65)), "a name has 1 to 64 characters, found 65");
        assert_eq!(message(".hidden"), "a name starts with a-z or 0-9, found '.'");
        assert_eq!(message("a/b"), "a name is made of a-z, 0-9, '.', '_' and '-', found '/'");
    }

    #[test]
    fn serde_checks_names_too() {
        assert!(serde_json::from_str::<Name>("\"out.png\"").is_ok());
        assert!(serde_json::from_str::<Name>("\"Out\"").is_err());
    }
}
