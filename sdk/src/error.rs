//! The crate's error type, for errors of the host and of the crate itself.

use std::fmt;

use crate::SourceLocation;
use crate::bindings::isobit::compute::{gpu, io};

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed. Trouble of the provider's own never shows up here: it ends the job.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A rule of WebGPU or WGSL is broken.
    Validation {
        /// What is wrong; for WGSL with the source line and a caret below it.
        message: String,
        /// Where in the WGSL source, if it is about one place in it.
        location: Option<SourceLocation>,
    },
    /// The job's device memory would not hold the request.
    OutOfMemory {
        /// Bytes asked for.
        requested: u64,
        /// Bytes in use by the job.
        in_use: u64,
        /// The job's limit on device memory, in bytes.
        maximum: u64,
    },
    /// A limit of the job or of the device would be broken.
    LimitExceeded {
        /// The limit's name, as in the job spec or in WebGPU.
        limit: String,
        /// The most that is allowed.
        maximum: u64,
        /// What was asked for.
        requested: u64,
    },
    /// The job has no input of this name.
    InputNotFound(String),
    /// An output of this name was created before.
    OutputExists(String),
    /// This is not a valid name for an input or an output.
    InvalidName(String),
    /// A parameter of the job cannot be read as what the workload expects.
    InvalidParameter {
        /// The parameter's name.
        name: String,
        /// Its value, as the renter gave it.
        value: String,
        /// The message of the type's `FromStr`.
        reason: String,
    },
    /// More elements than the buffer, or the slice of it, has.
    OutOfRange {
        /// The elements asked for end here.
        end: usize,
        /// The buffer, or the slice of it, ends here.
        len: usize,
    },
    /// Reading or writing failed, with an error that was made in the guest.
    Io(std::io::Error),
    /// An error with a message of the workload's own.
    Other(String),
}

impl Error {
    /// Puts the label before the message of an error about a broken rule.
    pub(crate) fn about(self, label: Option<&str>) -> Self {
        match (self, label) {
            (Self::Validation { message, location }, Some(label)) => {
                Self::Validation { message: format!("{label}: {message}"), location }
            }
            (error, _) => error,
        }
    }
}

/// The largest buffer and storage binding of device class `large`, in bytes.
const LARGE: u64 = 1 << 30;

/// What to say more of a limit that depends on the job's device class.
fn of_class(limit: &str, maximum: u64, requested: u64) -> &'static str {
    if !matches!(limit, "max-buffer-size" | "max-storage-buffer-binding-size") {
        ""
    } else if requested > LARGE {
        "; no device class allows more than 1 GiB, so use several"
    } else if maximum < LARGE {
        " in device class base; run the job with --class large, or use several"
    } else {
        ""
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Validation { message, .. } => f.write_str(message),
            Self::OutOfMemory { requested, in_use, maximum } => write!(
                f,
                "out of device memory: {requested} bytes asked for, {in_use} of {maximum} in use; \
                 use smaller buffers or raise the job's limit device-memory"
            ),
            Self::LimitExceeded { limit, maximum, requested } => {
                write!(f, "limit {limit} exceeded: {requested} asked for, at most {maximum} allowed")?;
                f.write_str(of_class(limit, *maximum, *requested))
            }
            Self::InputNotFound(name) => write!(f, "the job has no input `{name}`"),
            Self::OutputExists(name) => {
                write!(f, "output `{name}` was created before; outputs are written once")
            }
            Self::InvalidName(name) => write!(
                f,
                "`{name}` is no name for an input or output: 1 to 64 of a-z, 0-9, `.`, `_`, `-`, \
                 with a letter or digit first"
            ),
            Self::InvalidParameter { name, value, reason } => write!(f, "parameter {name}={value}: {reason}"),
            Self::OutOfRange { end, len } => {
                write!(f, "elements up to {end} asked for, but there are {len}")
            }
            Self::Io(error) => error.fmt(f),
            Self::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // Its text is this error's text, so the next cause is its own.
            Self::Io(error) => error.source(),
            _ => None,
        }
    }
}

/// Conversions from errors of the standard library that workloads meet. Their messages are kept.
macro_rules! from_std {
    ($($error:ty),*) => {
        $(
            impl From<$error> for Error {
                fn from(error: $error) -> Self {
                    Self::Other(error.to_string())
                }
            }
        )*
    };
}

from_std!(
    fmt::Error,
    std::num::ParseIntError,
    std::num::ParseFloatError,
    std::num::TryFromIntError,
    std::str::Utf8Error,
    std::string::FromUtf8Error
);

impl From<gpu::Error> for Error {
    fn from(error: gpu::Error) -> Self {
        match error {
            gpu::Error::Validation(broken) => Self::Validation { message: broken.message, location: broken.location },
            gpu::Error::OutOfMemory(refused) => {
                Self::OutOfMemory { requested: refused.requested, in_use: refused.in_use, maximum: refused.maximum }
            }
            gpu::Error::LimitExceeded(refused) => refused.into(),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error {
            io::Error::NotFound(name) => Self::InputNotFound(name),
            io::Error::AlreadyExists(name) => Self::OutputExists(name),
            io::Error::InvalidName(name) => Self::InvalidName(name),
            io::Error::LimitExceeded(refused) => refused.into(),
        }
    }
}

impl From<io::LimitExceeded> for Error {
    fn from(refused: io::LimitExceeded) -> Self {
        Self::LimitExceeded { limit: refused.limit, maximum: refused.maximum, requested: refused.requested }
    }
}

impl From<std::io::Error> for Error {
    /// Gets back the error that went into [`std::io::Error`], if it was one of this crate's.
    fn from(error: std::io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(Self::Io)
    }
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => error,
            error => Self::other(error),
        }
    }
}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Self::Other(message)
    }
}

impl From<&str> for Error {
    fn from(message: &str) -> Self {
        Self::Other(message.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_way_through_std_io() {
        let inside: std::io::Error = Error::InputNotFound("photo".to_owned()).into();
        let outside = Error::from(inside);
        assert!(matches!(&outside, Error::InputNotFound(name) if name == "photo"));
        assert_eq!(outside.to_string(), "the job has no input `photo`");
    }

    #[test]
    fn a_broken_rule_is_about_what_has_a_label() {
        let broken = || Error::Validation { message: "binding 1 is missing".to_owned(), location: None };
        assert_eq!(broken().about(Some("blur")).to_string(), "blur: binding 1 is missing");
        assert_eq!(broken().about(None).to_string(), "binding 1 is missing");
        assert_eq!(Error::from("mine").about(Some("blur")).to_string(), "mine");
    }

    #[test]
    fn a_size_that_another_device_class_has_names_that_class() {
        let error = |limit: &str, maximum, requested| {
            Error::LimitExceeded { limit: limit.to_owned(), maximum, requested }.to_string()
        };
        let binding = error("max-storage-buffer-binding-size", 128 << 20, 1 << 30);
        assert!(binding.ends_with(
            "at most 134217728 allowed in device class base; run the job with --class large, or use several"
        ));
        let buffer = error("max-buffer-size", 256 << 20, (1 << 30) + 4);
        assert!(buffer.ends_with("; no device class allows more than 1 GiB, so use several"), "{buffer}");
        assert!(error("max-bind-groups", 3, 4).ends_with("at most 3 allowed"));
    }

    #[test]
    fn an_error_of_std_io_stays_one() {
        let end = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        assert!(matches!(Error::from(end), Error::Io(_)));
    }
}
