//! Who takes part in a case beside the binary, and how the binary itself is started and stopped.

pub mod audit;
pub mod compatible;
pub mod connector;
pub mod destination;
pub mod github;
pub mod http;
pub mod post;
pub mod process;
pub mod proxy;
pub mod receiver;
pub mod sender;
pub mod site;
pub mod socket;
pub mod tested;
pub mod transport;
pub mod wait;
