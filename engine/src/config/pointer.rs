//! A place in a document, as RFC 6901 writes it.

use std::fmt;

/// A JSON pointer (RFC 6901). The empty one is the whole document.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer(String);

impl Pointer {
    /// Returns the whole document.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Returns the member `key` of this place.
    #[must_use]
    pub fn child(&self, key: &str) -> Self {
        Self(format!("{}/{}", self.0, key.replace('~', "~0").replace('/', "~1")))
    }

    /// Returns the item `index` of this place.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}/{index}", self.0))
    }

    /// Returns the way from `base` to this place; none when it does not lie there or below.
    #[must_use]
    pub fn below(&self, base: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(&base.0)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| Self(rest.to_owned()))
    }

    /// Returns the place that lies `way` from here.
    #[must_use]
    pub fn join(&self, way: &Self) -> Self {
        Self(format!("{}{}", self.0, way.0))
    }

    /// Returns the place as RFC 6901 writes it: nothing for the whole document.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the keys and indices from the root on.
    pub fn tokens(&self) -> impl Iterator<Item = String> {
        self.0.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "/" } else { &self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_whatever_they_hold() {
        let pointer = Pointer::root().child("a/b").child("~1").index(3);
        assert_eq!(pointer.to_string(), "/a~1b/~01/3");
        assert_eq!(pointer.tokens().collect::<Vec<_>>(), ["a/b", "~1", "3"]);
    }
}
