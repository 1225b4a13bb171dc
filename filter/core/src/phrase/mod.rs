//! Phrases: runs of words of a tenant's documents, of which only keyed hashes exist.
//!
//! A text is folded like a literal and cut into words. A phrase is [`WORDS`] of them in a row, and of its words one in every
//! [`WINDOW`] begins a phrase that is kept, so that a run of `WORDS + WINDOW - 1` words of a document holds one. The first
//! word of a phrase is its **anchor**: a rare word by which the scanner knows that a phrase may come. What is
//! withheld are the words behind it. Were the anchor withheld too, every word of every response would have to wait for its
//! end; so the anchor shares the fate of the words that stand before a phrase in a copied text.
//!
//! | module | |
//! |---|---|
//! | `keys` | from words to hashes |
//! | `select` | from a document to its phrases |
//! | `segment` | from phrases to the blob that travels, and what is searched |
//! | `load` | the blob, checked |
//! | `stream` | a text on its way through, word by word |
//! | `reading` | the same, and what it means decoded |
//! | `escaped` | what escapes stand for |
//! | `encoded` | base64, base32 and hex |

mod common;
mod encoded;
mod escaped;
mod keys;
mod load;
mod reading;
mod segment;
mod select;
mod set;
mod stream;

pub use keys::{Key, KeyError, WireKey, Word, WordKey};
pub use load::Loader;
pub(crate) use reading::Reading;
pub use segment::{LoadedPhrases, TooMany, compile};
pub use select::{ByHash, Chosen, Selector};
pub use set::PhraseSet;
pub(crate) use stream::{Found, View};

/// The words of a phrase, the anchor included.
pub const WORDS: usize = 8;
/// Of so many words in a row one is an anchor.
pub const WINDOW: usize = 3;
/// Prefixes of a phrase that are neither the anchor alone nor the whole.
pub const INNER: usize = WORDS - 2;

/// Words behind the anchor of which the beginnings are known, too.
const BEGUN: usize = 2;
const STARTS: usize = BEGUN * keys::START;

/// A phrase as the control plane keeps it: hashes under the installation's word key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phrase {
    /// The hash of all words: what makes it this phrase.
    pub id: u64,
    /// The first word, cut to 32 bits.
    pub anchor: u32,
    /// The first two to seven words, cut to 32 bits: enough to hold back by, not to match by.
    pub inner: [u32; INNER],
    /// The anchor and the first one, two, three and four bytes of the second word, and the first two words with those of the
    /// third: a word in progress that cannot become it need not wait for its end.
    pub starts: [u32; STARTS],
}

impl Phrase {
    /// Bytes of the packed form.
    pub const PACKED: usize = 12 + 4 * (INNER + STARTS);

    /// The form in which a phrase is stored, little endian.
    pub fn pack(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&self.anchor.to_le_bytes());
        for prefix in self.inner.iter().chain(&self.starts) {
            out.extend_from_slice(&prefix.to_le_bytes());
        }
    }

    /// From [`Phrase::pack`]'s bytes.
    pub fn unpack(bytes: &[u8]) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk::<8>()?;
        let (anchor, rest) = rest.split_first_chunk::<4>()?;
        let (mut inner, mut starts) = ([0; INNER], [0; STARTS]);
        for (prefix, four) in inner.iter_mut().chain(&mut starts).zip(rest.chunks_exact(4)) {
            *prefix = u32::from_le_bytes(four.try_into().ok()?);
        }
        let (id, anchor) = (u64::from_le_bytes(*id), u32::from_le_bytes(*anchor));
        (rest.len() == 4 * (INNER + STARTS)).then_some(Self { id, anchor, inner, starts })
    }

    /// The number under which a match is reported: an integer that every JSON reader keeps exactly.
    pub fn number(id: u64) -> u64 {
        id >> 11
    }
}
