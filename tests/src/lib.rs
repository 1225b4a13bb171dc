//! The harness: real processes on free loopback ports, and clients that can misbehave.
//!
//! `fakes` are backends that cannot be had; `alertmanager` is the real one; `stack` starts control plane, Envoy, Chroma and the scripted LLM; `http` sends and reads HTTP byte by byte; `mint` signs
//! tokens; `cases` reads cases that are data; `rag` has a surface of every vector database; `redis` starts a Redis, and leads lines that can be cut. Everything that was started ends with the process that started it.

pub mod alertmanager;
pub mod cases;
pub mod fakes;
pub mod http;
pub mod llm;
pub mod mint;
pub mod phrases;
pub mod process;
pub mod prose;
pub mod rag;
pub mod random;
pub mod redis;
pub mod stack;
pub mod tap;
pub mod tokens;
