//! Configuration as a tree, with pointers, faults and secrets.
//!
//! A [`Document`] is read as a tree first; `{$VAR}` is resolved in its text leaves; each subtree is parsed by the struct it
//! belongs to. Every complaint is a [`Fault`] with a JSON pointer, and all of them are told together.

mod decode;
mod document;
mod fault;
mod keys;
mod locate;
mod node;
mod open;
mod pointer;
mod reference;
mod resolve;
mod secret;
mod suggest;
mod twice;

pub use document::Document;
pub use fault::{Fault, Faults};
pub use keys::DATA;
pub use locate::Place;
pub use node::Node;
pub use open::{as_written, is_open, left_open};
pub use pointer::Pointer;
pub use reference::Reference;
pub use resolve::{Environment, Lookup, Nobody, Variables};
pub use secret::{HIDDEN, Secret};
pub use suggest::suggest;
