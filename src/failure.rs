//! Why a command ended badly, and the exit code that says so.

use std::process::ExitCode;

/// Why a command ended badly.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The configuration is at fault: exit code 2, and the whole list of problems.
    Configuration(String),
    /// The configuration is at fault, and that was told already: exit code 2.
    Told,
    /// What was checked does not hold, and that was told already: exit code 1.
    Found,
    /// What is to be checked cannot be reached, or refuses: exit code 3.
    Unavailable(String),
    /// Anything else: exit code 1.
    Other(String),
}

impl Failure {
    pub(crate) fn other(what: impl Into<String>) -> Self {
        Self::Other(what.into())
    }

    /// Prints the failure and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let code = match self {
            Self::Configuration(_) | Self::Told => 2,
            Self::Found | Self::Other(_) => 1,
            Self::Unavailable(_) => 3,
        };
        if !self.text().is_empty() {
            eprintln!("{}", self.text());
        }
        ExitCode::from(code)
    }

    /// Returns what is to be told; nothing when it was told already.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Configuration(text) | Self::Unavailable(text) | Self::Other(text) => text.trim_end(),
            Self::Told | Self::Found => "",
        }
    }
}
