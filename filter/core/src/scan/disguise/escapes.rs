//! A text as its reader's software shows it: percent-encoding, character references of HTML and backslash escapes decoded,
//! as often as they were encoded; and the same with tags left out.
//!
//! Text without escapes reads the same either way, so such a lens sleeps until one begins, then starts as a copy of the
//! one below it (the plain one; for tags the one for escapes), and sleeps again when both have come to the same. What looks like
//! a tag and never ends was text that the lens below has read in time: its state is taken over.

use super::Find;
use super::lens::Lens;

/// The longest tag that is left out, in bytes.
const TAG: usize = 80;

/// A lens behind a decoder.
#[derive(Default)]
pub(super) struct Escapes {
    pub(super) awake: bool,
    /// Whether tags are left out.
    tags: bool,
    /// What may become an escape or a tag, from its first character on.
    pending: String,
    lens: Lens,
}

/// What pending characters are.
pub(crate) enum Read {
    More,
    /// None: they stand for themselves.
    Text,
    /// Nothing that is shown.
    Nothing,
    Byte(u8),
    Char(char),
    /// A character, and the last one that was read is not part of it.
    Before(char),
    /// A backslash that was escaped: what follows it may still be an escape.
    Backslash,
}

/// Whether an escape or a tag may begin here.
pub(super) const fn begins(c: char) -> bool {
    matches!(c, '%' | '&' | '\\' | '<')
}

impl Escapes {
    /// One that leaves out tags, too.
    pub(super) fn and_tags() -> Self {
        Self { tags: true, ..Self::default() }
    }

    /// What is below a lens above this one: this one while it is awake, or else what is below itself.
    fn below<'l>(&'l self, plain: &'l Lens) -> (&'l Lens, &'l str) {
        if self.awake { (&self.lens, &self.pending) } else { (plain, "") }
    }

    /// Reads one character that the plain lens has read already.
    pub(super) fn read(&mut self, c: char, plain: &Lens, find: &mut Find<'_>) {
        self.follow(c, (plain, ""), find);
    }

    /// Reads one character that the lens for escapes has read already.
    pub(super) fn read_above(&mut self, c: char, escapes: &Self, plain: &Lens, find: &mut Find<'_>) {
        self.follow(c, escapes.below(plain), find);
    }

    fn follow(&mut self, c: char, below: (&Lens, &str), find: &mut Find<'_>) {
        if !self.awake && self.begins(c) {
            self.awake = true;
            // It has read this character, of which no symbol comes.
            self.lens.copy(below.0, find);
        }
        if self.awake {
            self.char(c, below, find);
            if self.pending.is_empty() && below.1.is_empty() && self.lens.agrees(below.0) {
                self.clear(find);
            }
        }
    }

    fn begins(&self, c: char) -> bool {
        begins(c) && (self.tags || c != '<')
    }

    pub(super) fn clear(&mut self, find: &mut Find<'_>) {
        if self.awake {
            self.awake = false;
            self.pending.clear();
            self.lens.clear(find);
        }
    }

    pub(super) fn live_from(&self) -> Option<u64> {
        if self.awake { self.lens.live_from() } else { None }
    }

    fn char(&mut self, c: char, below: (&Lens, &str), find: &mut Find<'_>) {
        if self.pending.is_empty() && !self.begins(c) {
            return self.lens.char(c, find);
        }
        self.pending.push(c);
        match read(&self.pending) {
            Read::More => self.last_reference(find),
            Read::Nothing => self.pending.clear(),
            Read::Backslash => {
                self.pending.pop();
            }
            Read::Byte(byte) if !byte.is_ascii() => {
                self.pending.clear();
                self.lens.byte(byte, find);
            }
            Read::Byte(byte) => self.again(char::from(byte), None, below, find),
            Read::Char(decoded) => self.again(decoded, None, below, find),
            Read::Before(decoded) => self.again(decoded, Some(c), below, find),
            Read::Text if self.pending.starts_with('<') && self.pending.len() > 2 => {
                self.lens.copy(below.0, find);
                self.pending.clear();
                self.pending.push_str(if c == '<' { "<" } else { below.1 });
            }
            Read::Text => {
                let text = std::mem::take(&mut self.pending);
                let mut chars = text.chars();
                if let Some(first) = chars.next() {
                    self.lens.char(first, find);
                }
                chars.for_each(|c| self.char(c, below, find));
            }
        }
    }

    /// A reference without its semicolon may be the stream's end: nothing need follow that completes a match.
    fn last_reference(&mut self, find: &mut Find<'_>) {
        if let Some(reference) = self.pending.strip_prefix("&#")
            && self.lens.live_from().is_some()
            && let Read::Before(c) = numeric(&format!("{reference} "))
        {
            let (lens, alive, found) = (self.lens.clone(), find.alive, find.found.len());
            self.lens.char(c, find);
            if find.found.len() > found {
                self.pending.clear();
            } else {
                (self.lens, find.alive) = (lens, alive);
            }
        }
    }

    /// What was decoded may be the begin of an escape itself.
    fn again(&mut self, decoded: char, then: Option<char>, below: (&Lens, &str), find: &mut Find<'_>) {
        self.pending.clear();
        self.char(decoded, below, find);
        if let Some(then) = then {
            self.char(then, below, find);
        }
    }
}

fn hex(digits: &str) -> Option<u32> {
    (digits.len() <= 8 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
        .then(|| u32::from_str_radix(digits, 16).ok())?
}

/// A character of a known number of hexadecimal digits.
fn fixed(digits: &str, len: usize, read: impl Fn(u32) -> Read) -> Read {
    match hex(digits) {
        _ if digits.is_empty() => Read::More,
        None => Read::Text,
        Some(_) if digits.len() < len => Read::More,
        Some(value) => read(value),
    }
}

/// A character; what is none (a lone surrogate) is nothing that is shown.
fn shown(value: u32) -> Read {
    char::from_u32(value).map_or(Read::Nothing, Read::Char)
}

/// What the begin of an escape or tag has become.
pub(crate) fn read(pending: &str) -> Read {
    let mut chars = pending.chars();
    let first = chars.next();
    let rest = chars.as_str();
    match (first, chars.next()) {
        (_, None) => Read::More,
        (Some('%'), _) => fixed(rest, 2, |value| Read::Byte(value as u8)),
        (Some('\\'), Some('\\')) => Read::Backslash,
        (Some('\\'), Some('n' | 'r' | 't' | 'b' | 'f')) => Read::Nothing,
        (Some('\\'), Some('x')) => fixed(chars.as_str(), 2, |value| Read::Byte(value as u8)),
        (Some('\\'), Some('U')) => fixed(chars.as_str(), 8, shown),
        (Some('\\'), Some('u')) => match chars.as_str().strip_prefix('{').map(|rest| (rest, rest.strip_suffix('}'))) {
            Some((_, Some(digits))) => hex(digits).map_or(Read::Text, shown),
            Some((digits, None)) if digits.is_empty() || hex(digits).is_some() => Read::More,
            Some(_) => Read::Text,
            None => fixed(chars.as_str(), 4, shown),
        },
        (Some('&'), Some('#')) => numeric(chars.as_str()),
        (Some('&'), _) => named(rest),
        (Some('<'), Some('a'..='z' | 'A'..='Z' | '/' | '!' | '?')) => match rest.chars().next_back() {
            Some('>') => Read::Nothing,
            Some('<') => Read::Text,
            _ if rest.len() > TAG => Read::Text,
            _ => Read::More,
        },
        _ => Read::Text,
    }
}

/// `&#80;` and `&#x50;`, also without their semicolon, as browsers read them.
fn numeric(reference: &str) -> Read {
    let (digits, radix) = match reference.strip_prefix(['x', 'X']) {
        Some(digits) => (digits, 16),
        None => (reference, 10),
    };
    match digits.chars().next_back() {
        None => Read::More,
        Some(last) if last.is_digit(radix) && digits.len() <= 8 => Read::More,
        Some(last) => {
            let before = digits.strip_suffix(last).unwrap_or_default();
            match u32::from_str_radix(before, radix).ok().map(|value| char::from_u32(value).unwrap_or(' ')) {
                None => Read::Text,
                Some(c) if last == ';' => Read::Char(c),
                Some(c) => Read::Before(c),
            }
        }
    }
}

/// `&lt;`, `&eacute;` and their like. Names of what is no letter are nothing: separators are none either.
fn named(reference: &str) -> Read {
    const NOTHING: &[&str] = &[
        "lt", "gt", "quot", "apos", "nbsp", "shy", "zwj", "zwnj", "lrm", "rlm", "ensp", "emsp", "thinsp", "hyphen",
        "ndash", "mdash", "lsquo", "rsquo", "ldquo", "rdquo", "laquo", "raquo", "hellip", "bull", "middot",
    ];
    const LETTERS: &[(&str, char)] = &[("szlig", 'ß'), ("aelig", 'æ'), ("oelig", 'œ'), ("oslash", 'ø')];
    const MARKS: &[&str] = &["acute", "grave", "circ", "uml", "tilde", "cedil", "ring", "caron"];
    let Some(name) = reference.strip_suffix(';') else {
        let open = reference.len() <= 8 && reference.bytes().all(|b| b.is_ascii_alphabetic());
        return if open { Read::More } else { Read::Text };
    };
    if name == "amp" {
        return Read::Char('&');
    }
    if NOTHING.contains(&name) {
        return Read::Nothing;
    }
    if let Some((_, letter)) = LETTERS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        return Read::Char(*letter);
    }
    let mut chars = name.chars();
    match (chars.next(), chars.as_str()) {
        (Some(letter), mark) if MARKS.contains(&mark) => Read::Char(letter),
        _ => Read::Text,
    }
}
