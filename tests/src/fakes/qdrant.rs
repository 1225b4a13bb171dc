//! Qdrant.
