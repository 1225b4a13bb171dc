//! One immutable compiled policy per revision, and how a filter knows that it is genuine.

mod compile;
mod sign;
pub mod wire;

pub use compile::{CompileError, Snapshot};
pub use sign::{KeyError, OpenError, PublicKey, SecretKey, open, seal};
