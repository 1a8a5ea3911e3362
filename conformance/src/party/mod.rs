//! Who takes part in a case beside the binary, and how the binary itself is started and stopped.

pub mod compatible;
pub mod connector;
pub mod destination;
pub mod github;
pub mod http;
pub mod process;
pub mod proxy;
pub mod receiver;
pub mod sender;
pub mod wait;
