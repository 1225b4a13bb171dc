//! One pass over a document.

use super::string::unescape;
use super::{JsonError, MAX_DEPTH, Str};
use std::borrow::Cow;
use std::collections::HashSet;

/// Takes a document's parts in order. Every method does nothing by default.
pub trait Sink<'a> {
    /// `{`, at this position.
    fn begin_object(&mut self, _start: usize) {}
    /// `}`; the position is just after it.
    fn end_object(&mut self, _end: usize) {}
    /// `[`, at this position.
    fn begin_array(&mut self, _start: usize) {}
    /// `]`; the position is just after it.
    fn end_array(&mut self, _end: usize) {}
    /// A member's key; its value follows.
    fn key(&mut self, _key: Str<'a>) {}
    /// A string value.
    fn string(&mut self, _value: Str<'a>) {}
    /// A number.
    fn number(&mut self, _raw: &'a [u8], _start: usize) {}
    /// A whole array of nothing but numbers (or of such arrays), brackets included, in place of its parts.
    fn numbers(&mut self, _raw: &'a [u8], _start: usize) {}
    /// `true`, `false` or `null`.
    fn atom(&mut self, _raw: &'a [u8], _start: usize) {}
}

/// Walks a whole document.
///
/// # Errors
/// [`JsonError`] at the first byte that breaks a rule of this module. What the sink has seen by then means nothing.
pub fn walk<'a>(doc: &'a [u8], sink: &mut impl Sink<'a>) -> Result<(), JsonError> {
    let text = std::str::from_utf8(doc).map_err(|error| JsonError::Invalid { offset: error.valid_up_to() })?;
    let mut walker = Walker { text, doc, at: 0, depth: 0, slow_until: 0, sink };
    walker.space();
    walker.value()?;
    walker.space();
    if walker.at == doc.len() { Ok(()) } else { Err(walker.invalid()) }
}

struct Walker<'a, 's, S> {
    text: &'a str,
    doc: &'a [u8],
    at: usize,
    depth: usize,
    /// An attempt to skip a number array failed here: no use to try again before.
    slow_until: usize,
    sink: &'s mut S,
}

impl<'a, S: Sink<'a>> Walker<'a, '_, S> {
    fn invalid(&self) -> JsonError {
        JsonError::Invalid { offset: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.doc.get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.step();
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.peek() != Some(byte) {
            return Err(self.invalid());
        }
        self.step();
        Ok(())
    }

    fn value(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => match self.numbers_end() {
                Some(end) => {
                    let raw = self.doc.get(self.at..end).unwrap_or_default();
                    self.sink.numbers(raw, self.at);
                    self.at = end;
                    Ok(())
                }
                None => self.nested(Self::array),
            },
            Some(b'"') => {
                let value = self.string()?;
                self.sink.string(value);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.atom(b"true"),
            Some(b'f') => self.atom(b"false"),
            Some(b'n') => self.atom(b"null"),
            _ => Err(self.invalid()),
        }
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Result<(), JsonError>) -> Result<(), JsonError> {
        if self.depth >= MAX_DEPTH {
            return Err(JsonError::TooDeep { offset: self.at });
        }
        self.depth = self.depth.saturating_add(1);
        inner(self)?;
        self.depth = self.depth.saturating_sub(1);
        Ok(())
    }

    fn object(&mut self) -> Result<(), JsonError> {
        self.sink.begin_object(self.at);
        self.step();
        self.space();
        let mut keys = Keys::default();
        if self.peek() != Some(b'}') {
            loop {
                self.space();
                let offset = self.at;
                let key = self.string()?;
                if !keys.insert(key.decode()) {
                    return Err(JsonError::DuplicateKey { offset });
                }
                self.sink.key(key);
                self.space();
                self.expect(b':')?;
                self.space();
                self.value()?;
                self.space();
                if self.peek() != Some(b',') {
                    break;
                }
                self.step();
            }
        }
        self.expect(b'}')?;
        self.sink.end_object(self.at);
        Ok(())
    }

    fn array(&mut self) -> Result<(), JsonError> {
        self.sink.begin_array(self.at);
        self.step();
        self.space();
        if self.peek() != Some(b']') {
            loop {
                self.space();
                self.value()?;
                self.space();
                if self.peek() != Some(b',') {
                    break;
                }
                self.step();
            }
        }
        self.expect(b']')?;
        self.sink.end_array(self.at);
        Ok(())
    }

    fn string(&mut self) -> Result<Str<'a>, JsonError> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = self.doc.get(self.at..).unwrap_or_default();
            self.at = self.at.saturating_add(prefix(rest, |b| (b != b'"') & (b != b'\\') & (b >= 0x20)));
            match self.peek() {
                None => return Err(JsonError::Invalid { offset: self.doc.len() }),
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    let (_, len) = unescape(self.doc.get(self.at..).unwrap_or_default()).ok_or(self.invalid())?;
                    self.at = self.at.saturating_add(len);
                }
                _ => return Err(self.invalid()),
            }
        }
        let raw = self.text.get(start..self.at).ok_or(self.invalid())?;
        self.step();
        Ok(Str::new(raw, start, escaped))
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.invalid());
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.step();
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.step();
        }
        if self.peek() == Some(b'0') {
            self.step()
        } else {
            self.digits()?
        }
        let mut float = false;
        if self.peek() == Some(b'.') {
            self.step();
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            float = true;
            self.step();
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.step();
            }
            self.digits()?;
        }
        let raw = self.text.get(start..self.at).unwrap_or_default();
        // 1e400 is infinite to some parsers and an error to others.
        if (float || raw.len() > 300) && !raw.parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(JsonError::Invalid { offset: start });
        }
        self.sink.number(raw.as_bytes(), start);
        Ok(())
    }

    fn atom(&mut self, name: &'static [u8]) -> Result<(), JsonError> {
        let end = self.at.saturating_add(name.len());
        let raw = self.doc.get(self.at..end).filter(|raw| *raw == name).ok_or(self.invalid())?;
        self.sink.atom(raw, self.at);
        self.at = end;
        Ok(())
    }

    /// The end of the array that begins here, if it holds nothing but numbers.
    fn numbers_end(&mut self) -> Option<usize> {
        if self.at < self.slow_until {
            return None;
        }
        let mut at = self.at;
        let mut open = 0usize;
        let mut digits = false;
        loop {
            let rest = self.doc.get(at..)?;
            let plain = plain_prefix(rest);
            digits |= plain > 0 && rest.get(..plain).is_some_and(|run| run.iter().any(u8::is_ascii_digit));
            at = at.checked_add(plain)?;
            match self.doc.get(at) {
                Some(b'[') => {
                    open = open.checked_add(1)?;
                    // Leave depth errors, and `[1 [2]]`, to the slow path.
                    if self.depth.checked_add(open)? > MAX_DEPTH || !self.may_open(at) {
                        break;
                    }
                }
                Some(b']') => {
                    open = open.checked_sub(1)?;
                    if open == 0 {
                        return digits.then(|| at.saturating_add(1));
                    }
                }
                _ => break,
            }
            at = at.checked_add(1)?;
        }
        self.slow_until = at;
        None
    }

    /// Whether a bracket may open at `at`: only first, or after a bracket or comma.
    fn may_open(&self, at: usize) -> bool {
        at == self.at
            || self
                .doc
                .get(..at)
                .and_then(|before| before.iter().rev().find(|b| !b.is_ascii_whitespace()))
                .is_some_and(|b| matches!(b, b'[' | b','))
    }
}

/// How many bytes at the front can only be numbers, commas and spaces.
fn plain_prefix(bytes: &[u8]) -> usize {
    prefix(bytes, |b| {
        (b.wrapping_sub(b'0') < 10)
            | (b == b',')
            | (b == b'.')
            | (b == b'-')
            | (b == b'e')
            | (b == b'+')
            | (b == b'E')
            | (b == b' ')
            | (b == b'\n')
            | (b == b'\r')
            | (b == b'\t')
    })
}

/// How many bytes at the front are plain. Sixteen at a time, without branches inside, so that the compiler uses vector
/// instructions: this is where a query of 1,536 dimensions, and every long string, spends its time.
#[inline]
fn prefix(bytes: &[u8], plain: impl Fn(u8) -> bool) -> usize {
    let mut done = 0usize;
    for chunk in bytes.chunks_exact(16) {
        if !chunk.iter().fold(true, |all, b| all & plain(*b)) {
            break;
        }
        done = done.saturating_add(16);
    }
    let rest = bytes.get(done..).unwrap_or_default();
    done.saturating_add(rest.iter().position(|b| !plain(*b)).unwrap_or(rest.len()))
}

/// The keys of one object: a few are compared one by one, many go into a set, so that neither case is slow.
#[derive(Default)]
struct Keys<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Keys<'a> {
    fn insert(&mut self, key: Cow<'a, str>) -> bool {
        if self.many.is_empty() {
            if self.few.contains(&key) {
                return false;
            }
            self.few.push(key);
            if self.few.len() > 16 {
                self.many = self.few.drain(..).collect();
            }
            return true;
        }
        self.many.insert(key)
    }
}
