//! What the keys of an object are, which decides what a key that begins with `_` is: a comment, a name, or data.

/// Settings whose keys are data: everything below them is kept as it is.
pub const DATA: [&str; 4] = ["body", "headers", "json_schema", "jwks"];

/// Settings whose keys are names that users choose. So may be the keys at the top of a document.
const NAMES: [&str; 7] =
    ["channels", "routes", "by_webhook", "targets", "webhooks_config", "connections", "stages"];

/// What the keys of an object are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// Settings: what begins with `_` is a comment.
    Settings,
    /// Names that users choose: what begins with `_` is a comment unless it is an object, which looks like one of the
    /// named things and is none.
    Names,
    /// Data: nothing is a comment.
    Data,
}

impl Keys {
    /// What the keys at the top of a document are: of several kinds of documents, names.
    pub(super) const TOP: Self = Self::Names;

    /// Tells whether a key is for people only.
    pub(super) fn is_comment(self, key: &str, is_object: bool) -> bool {
        let is_none = match self {
            Self::Settings => false,
            Self::Names => is_object,
            Self::Data => true,
        };
        key.starts_with('_') && !is_none
    }

    /// Returns what the keys below `key` are.
    pub(super) fn below(self, key: &str) -> Self {
        match self {
            Self::Data => Self::Data,
            Self::Settings if DATA.contains(&key) => Self::Data,
            Self::Settings | Self::Names if NAMES.contains(&key) => Self::Names,
            Self::Settings | Self::Names => Self::Settings,
        }
    }
}
