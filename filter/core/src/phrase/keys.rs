//! From words to hashes. Two layers, so that keys can rotate although no document is kept.
//!
//! The **word key** belongs to the installation and stays: SipHash-2-4 of each folded word, chained over the words of a
//! phrase. The control plane keeps what it yields. The **wire key** is of one generation of segments: what travels is a
//! further keyed mix of those hashes, so segments of an old key say nothing about those of a new one.

use siphasher::sip::SipHasher24;

/// So many bytes of a word in progress tell whether it may be the second of a phrase.
pub(super) const START: usize = 4;

/// A key of 128 bits.
pub type Key = [u8; 16];

/// A key that is not 16 bytes in base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyError;

/// The word in progress: its folded bytes. A longer one is hashed in between, so memory is bounded.
#[derive(Clone)]
pub struct Word {
    bytes: [u8; Word::MAX],
    len: usize,
}

impl Default for Word {
    fn default() -> Self {
        Self { bytes: [0; Self::MAX], len: 0 }
    }
}

impl Word {
    /// The most bytes that are kept as they are.
    const MAX: usize = 64;

    /// Whether nothing of a word was read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes one more folded byte.
    #[inline]
    pub fn push(&mut self, key: &WordKey, byte: u8) {
        if self.len == Self::MAX {
            // The first bytes stay, see `START`.
            let digest = key.words.hash(&self.bytes);
            self.len = START;
            for byte in digest.to_le_bytes() {
                self.put(byte);
            }
        }
        self.put(byte);
    }

    #[inline]
    fn put(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
            self.len = self.len.wrapping_add(1);
        }
    }

    /// The folded bytes so far.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// How it begins: the first [`START`] bytes, or all of fewer.
    #[inline]
    pub(super) fn start(&self) -> &[u8] {
        self.bytes.get(..self.len.min(START)).unwrap_or_default()
    }

    /// Forgets the word.
    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
    }
}

/// The installation's key: hashes words, and chains them.
pub struct WordKey {
    words: SipHasher24,
    times: [u64; 2],
}

impl WordKey {
    /// The hasher of a key.
    pub fn new(key: &Key) -> Self {
        let words = SipHasher24::new_with_key(key);
        // No folded text has bytes of control.
        let times = [words.hash(b"\0chain 1") | 1, words.hash(b"\0chain 2") | 1];
        Self { words, times }
    }

    /// The hash of a word: the prefix of one word, too.
    #[inline]
    pub fn word(&self, word: &[u8]) -> u64 {
        self.words.hash(word)
    }

    /// The prefix that is one word longer. What it mixes are keyed hashes already, and it is asked for most words: two
    /// multiplications by secrets are enough.
    #[inline]
    pub fn chain(&self, prefix: u64, word: u64) -> u64 {
        let [first, second] = self.times;
        let x = (prefix.rotate_left(29) ^ word).wrapping_mul(first);
        let x = (x ^ x >> 32).wrapping_mul(second);
        x ^ x >> 29
    }
}

/// The key of the segments in force.
pub struct WireKey {
    ids: SipHasher24,
    add: u64,
    times: [u64; 2],
}

impl WireKey {
    /// The mixer of a key.
    pub fn new(key: &Key) -> Self {
        let ids = SipHasher24::new_with_key(key);
        let part = |label: &[u8]| ids.hash(label);
        Self { add: part(b"add"), times: [part(b"times 1") | 1, part(b"times 2") | 1], ids }
    }

    /// What stands for a prefix. Its input is a hash already, and it is asked for every word: a keyed mix is enough.
    #[inline]
    pub fn prefix(&self, prefix: u32) -> u64 {
        let [first, second] = self.times;
        let x = (u64::from(prefix) ^ self.add).wrapping_mul(first);
        let x = (x ^ x >> 31).wrapping_mul(second);
        x ^ x >> 29
    }

    /// What stands for a whole phrase.
    #[inline]
    pub fn id(&self, id: u64) -> u64 {
        self.ids.hash(&id.to_le_bytes())
    }
}
