//! What a pipeline can be made of: gates, buffers, flow stages and destinations.
