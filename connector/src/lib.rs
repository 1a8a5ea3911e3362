//! The local end: webhooks in from the stream, settlements out.
