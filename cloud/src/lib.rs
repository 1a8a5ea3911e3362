//! The receiver: webhooks in, durable buffer, streaming API out.
