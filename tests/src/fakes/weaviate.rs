//! Weaviate.
