//! OpenAI's API, and what speaks like it.

use super::{Endpoint, RequestRule, ResponseRule};
use crate::error::Code;
use crate::json::{self, Value};
use crate::rag::{Ask, Rewritten};
use RequestRule::{Check, Pass};
use ResponseRule::Scan;

pub(super) const TABLE: &[Endpoint] = &[
    Endpoint::post("openai.chat_completions", "/v1/chat/completions", Check(chat), Scan, "streaming and not"),
    Endpoint::get("openai.models", "/v1/models", Pass, Scan, ""),
    Endpoint::get("openai.model", "/v1/models/{model}", Pass, Scan, ""),
];

/// A chat completion passes as it came, once it is what it says.
fn chat(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let document = json::parse(ask.body).map_err(json::JsonError::code)?;
    let messages = document.member("messages").is_some_and(|value| matches!(value, Value::Array(..)));
    let model = document.member("model").is_some_and(|value| matches!(value, Value::String(..)));
    if messages && model { Ok(Rewritten::default()) } else { Err(Code::FieldInvalid) }
}
