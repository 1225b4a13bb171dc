//! Splitting an expression so that nothing in it can end where it seems not to.
//!
//! An alphabet of its own outside literals, literals that close by the one rule that every version of Milvus has, brackets that
//! close in order. What is left has no way out of the parentheses that it is put into; whether it means anything is Milvus'
//! to say.

use crate::error::Code;

/// The deepest nesting.
const MAX_DEPTH: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Number,
    Text,
    Open,
    Close,
    Operator,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind,
    pub(super) text: &'t str,
    /// Where it begins.
    pub(super) at: usize,
}

impl Token<'_> {
    pub(super) fn is(&self, kind: Kind, text: &str) -> bool {
        self.kind == kind && self.text == text
    }

    /// A keyword, in one of the spellings that Milvus knows.
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && (self.text == word || self.text == word.to_ascii_uppercase())
    }

    pub(super) fn compares(&self) -> bool {
        self.kind == Kind::Operator && matches!(self.text, "==" | "!=" | "<" | "<=" | ">" | ">=")
    }
}

/// Splits an expression. Whatever is not known to be harmless is refused.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, Code> {
    let bytes = text.as_bytes();
    let mut out: Vec<Token<'_>> = Vec::new();
    let mut open: Vec<u8> = Vec::new();
    let mut at = 0usize;
    while let Some(byte) = bytes.get(at).copied() {
        let rest = bytes.get(at..).unwrap_or_default();
        let (kind, len) = match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {
                at = at.saturating_add(1);
                continue;
            }
            b'"' | b'\'' => (Kind::Text, literal(rest, byte)?),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => (Kind::Word, run(rest, |b| b.is_ascii_alphanumeric() || b == b'_')),
            b'0'..=b'9' | b'.' => (Kind::Number, run(rest, |b| b.is_ascii_alphanumeric() || b == b'.')),
            b'$' if rest.starts_with(b"$meta[") => (Kind::Word, 5),
            b'(' | b'[' | b'{' => {
                open.push(byte);
                (Kind::Open, 1)
            }
            b')' | b']' | b'}' => {
                let opened = open.pop();
                if !matches!((opened, byte), (Some(b'('), b')') | (Some(b'['), b']') | (Some(b'{'), b'}')) {
                    return Err(Code::FieldInvalid);
                }
                (Kind::Close, 1)
            }
            b'<' | b'>' | b'=' | b'!' | b'~' | b'+' | b'-' | b'*' | b'/' | b'%' | b'&' | b'|' | b'^' | b',' => {
                // In other languages a comment begins so; here it is never valid.
                if rest.starts_with(b"//") || rest.starts_with(b"/*") {
                    return Err(Code::FieldInvalid);
                }
                let two = ["<=", ">=", "==", "!=", "=~", "!~", "&&", "||", "**", "<<", ">>"];
                (Kind::Operator, if two.iter().any(|op| rest.starts_with(op.as_bytes())) { 2 } else { 1 })
            }
            _ => return Err(Code::FieldInvalid),
        };
        let end = at.checked_add(len).ok_or(Code::FieldInvalid)?;
        let token = Token { kind, text: text.get(at..end).ok_or(Code::FieldInvalid)?, at };
        // `r"…"` and `u8"…"` are literals with rules of their own, and two literals in touch are none at all.
        let touches = out.last().is_some_and(|last| {
            last.at.saturating_add(last.text.len()) == at && matches!(last.kind, Kind::Word | Kind::Number | Kind::Text)
        });
        if touches && matches!(kind, Kind::Text | Kind::Word | Kind::Number) {
            return Err(Code::FieldInvalid);
        }
        if open.len() > MAX_DEPTH {
            return Err(Code::FieldInvalid);
        }
        out.push(token);
        at = end;
    }
    if open.is_empty() { Ok(out) } else { Err(Code::FieldInvalid) }
}

fn run(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|b| belongs(**b)).count()
}

/// The length of a literal with its quotes. A backslash takes the next character with it, which must be an escape that every
/// version of Milvus knows.
fn literal(bytes: &[u8], quote: u8) -> Result<usize, Code> {
    let mut at = 1usize;
    loop {
        let byte = *bytes.get(at).ok_or(Code::FieldInvalid)?;
        at = at.checked_add(1).ok_or(Code::FieldInvalid)?;
        match byte {
            b'\\' => {
                let next = *bytes.get(at).ok_or(Code::FieldInvalid)?;
                if !(matches!(next, b'\'' | b'"' | b'?' | b'\\')
                    || next.is_ascii_alphanumeric()
                    || next == b'%'
                    || next == b'_')
                {
                    return Err(Code::FieldInvalid);
                }
                at = at.checked_add(1).ok_or(Code::FieldInvalid)?;
            }
            _ if byte == quote => return Ok(at),
            0..=0x1f | 0x7f => return Err(Code::FieldInvalid),
            _ => {}
        }
    }
}
