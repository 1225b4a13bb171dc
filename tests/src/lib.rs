//! The harness: real processes on free loopback ports, and clients that can misbehave.
//!
//! `stack` starts control plane, Envoy, Chroma and the scripted LLM; `http` sends and reads HTTP byte by byte; `mint` signs
//! tokens; `cases` reads cases that are data. Everything that was started ends with the process that started it.

pub mod cases;
pub mod http;
pub mod llm;
pub mod mint;
pub mod process;
pub mod stack;
pub mod tap;
pub mod tokens;
