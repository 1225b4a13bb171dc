//! One immutable compiled policy per revision.

pub mod wire;
