//! Plain text: leaves to the byte, as soon as it cannot become a match.

use super::judge::Judge;
use crate::error::Code;

/// The state of plain text.
pub(super) struct Plain {
    limit: u64,
    /// The begin of a character whose other bytes have not come.
    carry: Vec<u8>,
    /// The stream's offset of the next byte that was not read.
    at: u64,
}

impl Plain {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, carry: Vec::new(), at: 0 }
    }

    pub(super) fn push(&mut self, judge: &mut Judge, bytes: &[u8], end: bool) -> Result<(), Code> {
        let mut joined = std::mem::take(&mut self.carry);
        joined.extend_from_slice(bytes);
        let mut rest = joined.as_slice();
        while !rest.is_empty() {
            let (valid, broken) = match std::str::from_utf8(rest) {
                Ok(text) => (text, None),
                Err(error) => {
                    let valid = rest.get(..error.valid_up_to()).and_then(|v| std::str::from_utf8(v).ok()).unwrap_or("");
                    (valid, Some(error.error_len()))
                }
            };
            judge.plain(valid, self.at, true)?;
            self.at = self.at.saturating_add(valid.len() as u64);
            rest = rest.get(valid.len()..).unwrap_or_default();
            match broken {
                None => break,
                // The character may be completed by the next chunk.
                Some(None) if !end => {
                    self.carry = rest.to_vec();
                    break;
                }
                // Bytes that are no text separate.
                Some(len) => {
                    let len = len.unwrap_or(rest.len()).max(1);
                    judge.plain(" ", self.at, true)?;
                    self.at = self.at.saturating_add(len as u64);
                    rest = rest.get(len..).unwrap_or_default();
                }
            }
        }
        if end {
            judge.finish(Some(self.at))?;
            judge.gate.release(u64::MAX);
            return Ok(());
        }
        judge.gate.release(judge.live_from().unwrap_or(self.at).min(self.at));
        if self.at.saturating_sub(judge.gate.at()) > self.limit {
            return Err(Code::HoldbackExceeded);
        }
        Ok(())
    }
}
