//! Queries, those of polls and of `POST /connect/ack`: pairs and settlements read back.

use std::time::SystemTime;

use engine::query;
use schemas::wire::compatible::FromConnector;

pub(crate) fn hold(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for (name, value) in query::pairs(text) {
        let mut again = String::new();
        query::add(&mut again, "v", &name);
        query::add(&mut again, "v", &value);
        let wanted = [("v".to_owned(), name), ("v".to_owned(), value)];
        assert_eq!(query::pairs(&again).collect::<Vec<_>>(), wanted);
    }
    if let Ok(said) = FromConnector::from_query(text) {
        let query = said.to_query().expect("what is read from a query is written as one");
        assert_eq!(FromConnector::from_query(&query), Ok(said.clone()));
        assert_eq!(FromConnector::decode(&said.encode(SystemTime::UNIX_EPOCH)), Ok(said));
    }
}
