//! Why a command ended badly, and the exit code that says so.

use std::process::ExitCode;

/// Why a command ended badly.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The configuration is at fault: exit code 2, and the whole list of problems.
    Configuration(String),
    /// The configuration is at fault, and that was told already: exit code 2.
    Told,
    /// Anything else: exit code 1.
    Other(String),
}

impl Failure {
    pub(crate) fn other(what: impl Into<String>) -> Self {
        Self::Other(what.into())
    }

    /// Prints the failure and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let (text, code) = match self {
            Self::Configuration(text) => (text, 2),
            Self::Told => return ExitCode::from(2),
            Self::Other(text) => (text, 1),
        };
        eprintln!("{}", text.trim_end());
        ExitCode::from(code)
    }
}
