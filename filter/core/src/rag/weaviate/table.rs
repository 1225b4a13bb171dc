//! The rows.

use crate::surface::Endpoint;

/// The rows.
pub const TABLE: &[Endpoint] = &[];
