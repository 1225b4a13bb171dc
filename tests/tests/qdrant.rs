//! Qdrant: cases that are data, and the official client against a backend that knows what its filters mean.
