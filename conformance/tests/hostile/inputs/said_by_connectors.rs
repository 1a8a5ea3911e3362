//! What a connector says in the compatible dialect: it reads back as a message, and as a query where it is one.

use std::time::SystemTime;

use schemas::wire::compatible::FromConnector;

pub(crate) fn hold(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(said) = FromConnector::decode(text) else { return };
    assert_eq!(FromConnector::decode(&said.encode(SystemTime::UNIX_EPOCH)), Ok(said.clone()));
    if let Some(query) = said.to_query() {
        assert_eq!(FromConnector::from_query(&query), Ok(said));
    }
}
