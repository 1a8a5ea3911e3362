//! The kinds of documents, and how a document tells which one it is.

use engine::config::Node;

/// A kind of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DocumentKind {
    /// `webhooks.json`: which webhooks a receiver takes.
    Webhooks,
    /// `receiver.json`: a receiver as a whole.
    Receiver,
    /// `connector.json`: where a connector's webhooks go.
    Connector,
    /// `connections.json`: settings that several destinations share.
    Connections,
    /// An explicit graph of stages, for either end.
    Graph,
}

impl DocumentKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Webhooks, Self::Receiver, Self::Connector, Self::Connections, Self::Graph];

    /// Returns its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Webhooks => "webhooks",
            Self::Receiver => "receiver",
            Self::Connector => "connector",
            Self::Connections => "connections",
            Self::Graph => "graph",
        }
    }

    /// Returns the keys at the top that only this kind has, and that are no names which users choose.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Webhooks | Self::Connections => &[],
            Self::Receiver => crate::receiver::KEYS,
            Self::Connector => crate::connector::KEYS,
            Self::Graph => &["stages"],
        }
    }

    /// Tells the kind of a document by its keys. None when they fit none, or two equally well.
    #[must_use]
    pub fn of(root: &Node) -> Option<Self> {
        let mut counts = Self::ALL.map(|kind| (count(root, kind), kind));
        counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        let [(most, kind), (next, _), ..] = counts;
        (most > next).then_some(kind)
    }
}

/// Counts the members at the top that speak for `kind`.
fn count(root: &Node, kind: DocumentKind) -> usize {
    let speaks = |key: &str, member: &Node| match kind {
        DocumentKind::Webhooks => is_entry(member),
        DocumentKind::Connections => {
            !is_entry(member) && member.get("type").is_some_and(|is| is.text().is_some())
        }
        DocumentKind::Receiver | DocumentKind::Connector | DocumentKind::Graph => {
            !is_entry(member) && kind.keys().contains(&key)
        }
    };
    root.members().filter(|(key, member)| speaks(key, member)).count()
}

/// An entry of webhooks.json says where its webhooks go.
fn is_entry(member: &Node) -> bool {
    let names_module = member.get("module").is_some_and(|module| module.text().is_some());
    names_module || member.get("chain").is_some_and(|chain| chain.value().is_array())
}

#[cfg(test)]
mod tests {
    use engine::config::Pointer;
    use serde_json::{Value, json};

    use super::*;

    fn kind(document: Value) -> Option<DocumentKind> {
        DocumentKind::of(&Node::new(document, Pointer::root()))
    }

    #[test]
    fn a_document_is_known_by_its_keys() {
        assert_eq!(kind(json!({"a": {"module": "webhook_connect"}})), Some(DocumentKind::Webhooks));
        assert_eq!(kind(json!({"listen": "x", "limits": {}})), Some(DocumentKind::Receiver));
        assert_eq!(kind(json!({"cloud": {}, "rotues": {}})), Some(DocumentKind::Connector));
        assert_eq!(kind(json!({"cloud_url": "x", "channel": "c"})), Some(DocumentKind::Connector));
        assert_eq!(kind(json!({"db": {"type": "postgresql"}})), Some(DocumentKind::Connections));
        assert_eq!(kind(json!({"stages": {"a": {"module": "log"}}})), Some(DocumentKind::Graph));
    }

    #[test]
    fn a_webhook_may_be_called_like_a_key_of_another_kind() {
        for name in ["stages", "routes", "listen", "type"] {
            assert_eq!(kind(json!({ name: {"module": "webhook_connect"} })), Some(DocumentKind::Webhooks));
        }
    }

    #[test]
    fn what_fits_nothing_is_not_guessed() {
        assert_eq!(kind(json!({})), None);
        assert_eq!(kind(json!([1])), None);
        assert_eq!(kind(json!({"a": {}})), None);
        assert_eq!(kind(json!({"_listen": {}})), None);
    }
}
