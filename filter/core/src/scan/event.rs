//! The texts of one JSON document (an SSE event's data, an NDJSON line, a whole body), each with its channel.
//!
//! A string's channel is its path of member names, positions in arrays ignored, together with the integer members
//! `index`, `content_index`, `output_index`, `summary_index` and `choice_index` of the objects around it. So the deltas of one choice
//! join over events whatever the dialect, tokens of a list join, and choices do not mix. The index may come after
//! the string, so channels are resolved when the document has been walked. An index of the document itself is a block's (Anthropic) or
//! counts the tokens (TGI): its texts are read both ways, joined whatever it is, and apart.
//!
//! The values of [`ENVELOPE`] members stand for themselves: they are identifiers and enumerations of the protocols, which
//! no client joins. Joined, a first event's `"role": "assistant"` would wait for a continuation until the stream's end.

use crate::json::{JsonError, Sink, Str, walk};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A text of a document: where its bytes are, and where they belong.
pub(super) struct Text {
    pub(super) channel: u64,
    /// Another text that it may belong to, by the document's own index.
    pub(super) apart: Option<u64>,
    /// An array of bytes in decimal, not a string.
    pub(super) numbers: bool,
    /// Joined with what came before even when it repeats it.
    pub(super) content: bool,
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) escaped: bool,
}

/// Texts that stand for themselves: keys, numbers, arrays of numbers, values of the envelope.
pub(super) struct Alone {
    pub(super) start: usize,
    pub(super) len: usize,
    pub(super) escaped: bool,
    /// A replacement text may stand in its place.
    pub(super) quoted: bool,
}

/// All texts of a document.
#[derive(Default)]
pub(super) struct Texts {
    pub(super) joined: Vec<Text>,
    pub(super) alone: Vec<Alone>,
}

/// Leaves that carry generated text: always joined, even when two deltas are the same.
const CONTENT: &[&str] = &[
    "content",
    "text",
    "reasoning",
    "reasoning_content",
    "thinking",
    "refusal",
    "arguments",
    "partial_json",
    "name",
    "token",
    "delta",
    "response",
    "output_text",
    "input",
    "transcript",
    "completion",
    "summary",
    "tool_plan",
    "generated_text",
    "generation",
    "outputText",
    "output",
    "value",
    "query",
    "code",
    "bytes",
];
/// Leaves that name things of the protocol, never a piece of a text that goes on in the next event.
const ENVELOPE: &[&str] = &[
    "id",
    "object",
    "model",
    "role",
    "type",
    "status",
    "finish_reason",
    "stop_reason",
    "done_reason",
    "system_fingerprint",
    "service_tier",
    "created_at",
    "item_id",
];
const INDEXES: &[&str] = &["index", "content_index", "output_index", "choice_index", "summary_index"];

/// Collects the texts of a document.
///
/// # Errors
/// As [`walk`].
pub(super) fn texts(doc: &[u8]) -> Result<Texts, JsonError> {
    let mut collector = Collector {
        frames: Vec::new(),
        open: Vec::new(),
        member: 0,
        content: false,
        envelope: false,
        index: false,
        bytes: false,
        texts: Texts::default(),
        owners: Vec::new(),
    };
    walk(doc, &mut collector)?;
    Ok(collector.resolve())
}

/// An object or array.
struct Frame {
    parent: Option<usize>,
    path: u64,
    index: u64,
}

struct Collector {
    frames: Vec<Frame>,
    open: Vec<usize>,
    /// The path of the member whose value comes next.
    member: u64,
    content: bool,
    envelope: bool,
    index: bool,
    bytes: bool,
    texts: Texts,
    /// Each joined text's frame.
    owners: Vec<usize>,
}

fn hash(parts: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

impl Collector {
    fn begin(&mut self) {
        (self.envelope, self.bytes) = (false, false);
        self.frames.push(Frame { parent: self.open.last().copied(), path: self.member, index: 0 });
        self.open.push(self.frames.len().saturating_sub(1));
    }

    fn end(&mut self) {
        self.envelope = false;
        if let Some(frame) = self.open.pop() {
            self.member = self.frames.get(frame).map_or(0, |frame| frame.path);
        }
    }

    fn join(&mut self, start: usize, len: usize, escaped: bool, numbers: bool) {
        self.owners.push(self.open.last().copied().unwrap_or(usize::MAX));
        let (channel, content) = (self.member, self.content);
        self.texts.joined.push(Text { channel, apart: None, numbers, content, start, len, escaped });
    }

    fn resolve(mut self) -> Texts {
        for (text, owner) in self.texts.joined.iter_mut().zip(&self.owners) {
            let mut at = Some(*owner);
            while let Some(frame) = at.and_then(|at| self.frames.get(at)) {
                if frame.parent.is_none() && frame.index != 0 {
                    text.apart = Some(hash((text.channel, frame.index)));
                    break;
                }
                text.channel = hash((text.channel, frame.index));
                at = frame.parent;
            }
        }
        self.texts
    }
}

impl<'a> Sink<'a> for Collector {
    fn begin_object(&mut self, _: usize) {
        self.begin();
    }
    fn end_object(&mut self, _: usize) {
        self.end();
    }
    fn begin_array(&mut self, _: usize) {
        self.begin();
    }
    fn end_array(&mut self, _: usize) {
        self.end();
    }
    fn key(&mut self, key: Str<'a>) {
        let name = key.decode();
        let parent = self.open.last().and_then(|frame| self.frames.get(*frame)).map_or(0, |frame| frame.path);
        self.member = hash((parent, name.as_ref()));
        self.content = CONTENT.contains(&name.as_ref());
        self.envelope = ENVELOPE.contains(&name.as_ref());
        self.index = INDEXES.contains(&name.as_ref());
        self.bytes = name == "bytes";
        self.texts.alone.push(Alone {
            start: key.start(),
            len: key.raw().len(),
            escaped: key.has_escapes(),
            quoted: true,
        });
    }
    fn string(&mut self, value: Str<'a>) {
        self.bytes = false;
        // Only the member's own string: what stands in a list, there or after it, may be a running text.
        if std::mem::take(&mut self.envelope) {
            let (start, len, escaped) = (value.start(), value.raw().len(), value.has_escapes());
            self.texts.alone.push(Alone { start, len, escaped, quoted: true });
            return;
        }
        self.join(value.start(), value.raw().len(), value.has_escapes(), false);
    }
    fn number(&mut self, raw: &'a [u8], start: usize) {
        if std::mem::take(&mut self.index)
            && let Some(frame) = self.open.last().and_then(|frame| self.frames.get_mut(*frame))
        {
            frame.index = hash((frame.index, self.member, raw));
        }
        self.texts.alone.push(Alone { start, len: raw.len(), escaped: false, quoted: false });
    }
    fn numbers(&mut self, raw: &'a [u8], start: usize) {
        if std::mem::take(&mut self.bytes) {
            self.join(start, raw.len(), false, true);
        }
        self.texts.alone.push(Alone { start, len: raw.len(), escaped: false, quoted: false });
    }
}
