//! Postgrest.
