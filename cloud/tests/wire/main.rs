//! What the receiver puts on the wire, byte for byte, on real sockets: TLS, whose address counts, and everything that
//! connectors of the reference kind, which announce nothing, depend on.
#![cfg(test)]

mod events;
mod handshakes;
mod intake;
mod party;
mod poll;
mod source;
mod tls;
mod websocket;
