//! Building a segment, natively: the control plane does this, a VM never.
//!
//! The `aho-corasick` crate constructs the automaton (goto, fail); this module lays it out as a double array and
//! writes the blob that the VM searches as it is. Sections, little endian: header of eight `u32` after the
//! magic; slots (`u64`); outputs (`state u32, entry u32`, sorted); entries (`id u64, severity u32, first owner u32,
//! owners u32, length u32`); owner references (`u32`); disguises (`entry u32`, then for each `length u8`, symbols); owner names
//! (`length u8`, bytes).

use super::automaton::{MAX_SLOTS, NO_BASE, Slot};
use super::disguise;
use super::fold::{LiteralError, literal};
use crate::record::Severity;
use crate::tenant::TenantId;
use aho_corasick::Anchored;
use aho_corasick::automaton::Automaton as _;
use aho_corasick::nfa::noncontiguous::NFA;
use std::collections::{BTreeMap, HashMap};

/// The blob's first bytes.
pub(super) const MAGIC: &[u8; 8] = b"PWSEG\0\0\x02";
/// Bytes of the header, magic included.
pub(super) const HEADER: usize = 40;

/// A fingerprint to compile.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its id, unique for ever.
    pub id: u64,
    /// The literal; folded here.
    pub text: String,
    /// Whose it is: it blocks everyone else.
    pub owners: Vec<TenantId>,
    /// How grave a match is.
    pub severity: Severity,
}

/// Why a segment cannot be built.
#[derive(Debug, PartialEq, Eq)]
pub enum CompileError {
    /// A text is no usable fingerprint.
    Literal(u64, LiteralError),
    /// An entry has no owner: it would block everyone.
    NoOwner(u64),
    /// More states than a segment can hold.
    TooLarge,
    /// The automaton's construction failed.
    Automaton,
}

impl std::fmt::Display for CompileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Literal(id, error) => write!(f, "fingerprint {id}: {error}"),
            Self::NoOwner(id) => write!(f, "fingerprint {id} has no owner"),
            Self::TooLarge => f.write_str("too many fingerprints for one segment"),
            Self::Automaton => f.write_str("the automaton could not be built"),
        }
    }
}

impl std::error::Error for CompileError {}

/// Compiles a segment.
///
/// # Errors
/// [`CompileError`] names the entry at fault.
pub fn compile(entries: &[Entry]) -> Result<Vec<u8>, CompileError> {
    let mut folded = Vec::with_capacity(entries.len());
    for entry in entries {
        if entry.owners.is_empty() {
            return Err(CompileError::NoOwner(entry.id));
        }
        folded.push(literal(&entry.text).map_err(|error| CompileError::Literal(entry.id, error))?);
    }
    let trie = Trie::build(&folded)?;
    let (slots, place) = trie.pack()?;
    let mut outputs: Vec<(u32, u32)> = Vec::with_capacity(entries.len());
    for (index, node) in trie.ends.iter().enumerate() {
        outputs.push((lookup(&place, *node)?, narrow(index)?));
    }
    outputs.sort_unstable();
    write(entries, &folded, &slots, &outputs)
}

fn narrow(n: usize) -> Result<u32, CompileError> {
    u32::try_from(n).map_err(|_| CompileError::TooLarge)
}

fn lookup<T: Copy>(table: &[T], index: u32) -> Result<T, CompileError> {
    table.get(index as usize).copied().ok_or(CompileError::Automaton)
}

#[derive(Default)]
struct Node {
    /// The byte that leads here; 0 for the root.
    check: u8,
    children: Vec<(u8, u32)>,
    fail: u32,
    depth: u8,
    out: bool,
}

/// The trie's nodes in breadth-first order of discovery, root first.
struct Trie {
    nodes: Vec<Node>,
    ends: Vec<u32>,
}

impl Trie {
    fn build(patterns: &[Vec<u8>]) -> Result<Self, CompileError> {
        let nfa = NFA::builder().prefilter(false).build(patterns).map_err(|_| CompileError::TooLarge)?;
        let anchored = nfa.start_state(Anchored::Yes).map_err(|_| CompileError::Automaton)?;
        let root = nfa.start_state(Anchored::No).map_err(|_| CompileError::Automaton)?;
        let mut ids = HashMap::new();
        ids.insert(root, 0u32);
        let mut sids = vec![root];
        let mut nodes = vec![Node::default()];
        let mut ends = Vec::with_capacity(patterns.len());
        for pattern in patterns {
            let (mut sid, mut at) = (anchored, 0u32);
            for byte in pattern {
                sid = nfa.next_state(Anchored::Yes, sid, *byte);
                let next = match ids.get(&sid) {
                    Some(known) => *known,
                    None => {
                        let id = narrow(nodes.len())?;
                        ids.insert(sid, id);
                        sids.push(sid);
                        let parent = nodes.get_mut(at as usize).ok_or(CompileError::Automaton)?;
                        parent.children.push((*byte, id));
                        let depth = parent.depth.checked_add(1).ok_or(CompileError::Automaton)?;
                        nodes.push(Node { check: *byte, depth, ..Node::default() });
                        id
                    }
                };
                at = next;
            }
            ends.push(at);
        }
        if nodes.len() >= MAX_SLOTS / 2 {
            return Err(CompileError::TooLarge);
        }
        let mut trie = Self { nodes, ends };
        trie.link(&nfa, &sids, &ids, root)?;
        Ok(trie)
    }

    /// Fail links, from the library's own transitions: where the parent's fail state goes by the same byte.
    fn link(
        &mut self,
        nfa: &NFA,
        sids: &[aho_corasick::automaton::StateID],
        ids: &HashMap<aho_corasick::automaton::StateID, u32>,
        root: aho_corasick::automaton::StateID,
    ) -> Result<(), CompileError> {
        for end in &self.ends {
            if let Some(node) = self.nodes.get_mut(*end as usize) {
                node.out = true;
            }
        }
        let mut layer = vec![0u32];
        while !layer.is_empty() {
            let mut next = Vec::new();
            for parent in layer {
                let (children, fail) = match self.nodes.get(parent as usize) {
                    Some(node) => (node.children.clone(), node.fail),
                    None => return Err(CompileError::Automaton),
                };
                for (byte, child) in children {
                    let target = if parent == 0 {
                        0
                    } else {
                        let from = if fail == 0 { root } else { lookup(sids, fail)? };
                        let sid = nfa.next_state(Anchored::No, from, byte);
                        ids.get(&sid).copied().ok_or(CompileError::Automaton)?
                    };
                    let inherited = self.nodes.get(target as usize).is_some_and(|node| node.out);
                    if let Some(node) = self.nodes.get_mut(child as usize) {
                        node.fail = target;
                        node.out |= inherited;
                    }
                    next.push(child);
                }
            }
            layer = next;
        }
        Ok(())
    }

    /// Finds a place for every node. Returns the slots and each node's place.
    fn pack(&self) -> Result<(Vec<u64>, Vec<u32>), CompileError> {
        let mut space = Space::new();
        let mut place = vec![0u32; self.nodes.len()];
        let mut bases = vec![NO_BASE; self.nodes.len()];
        // Nodes are numbered so that parents come before children.
        for (index, node) in self.nodes.iter().enumerate() {
            if node.children.is_empty() {
                continue;
            }
            let base = space.allocate(&node.children)?;
            if let Some(slot) = bases.get_mut(index) {
                *slot = base;
            }
            for (byte, child) in &node.children {
                if let Some(slot) = place.get_mut(*child as usize) {
                    *slot = base ^ u32::from(*byte);
                }
            }
        }
        let mut slots = vec![0u64; space.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            let (at, base) = (lookup(&place, narrow(index)?)?, lookup(&bases, narrow(index)?)?);
            let fail = lookup(&place, node.fail)?;
            let packed = Slot::pack(base, fail, node.out, node.depth, node.check);
            *slots.get_mut(at as usize).ok_or(CompileError::Automaton)? = packed.0;
        }
        Ok((slots, place))
    }
}

/// Free slots and unused bases. Only the last blocks are searched, so that building stays linear.
struct Space {
    used: Vec<bool>,
    bases: Vec<bool>,
    first_open: usize,
}

const BLOCK: usize = 256;
const OPEN_BLOCKS: usize = 16;

impl Space {
    fn new() -> Self {
        let mut space = Self { used: vec![false; BLOCK], bases: vec![false; BLOCK], first_open: 1 };
        if let Some(root) = space.used.first_mut() {
            *root = true;
        }
        space
    }

    fn len(&self) -> usize {
        self.used.len()
    }

    fn allocate(&mut self, children: &[(u8, u32)]) -> Result<u32, CompileError> {
        let first = children.first().map(|(byte, _)| u32::from(*byte)).ok_or(CompileError::Automaton)?;
        loop {
            let mut at = self.first_open;
            while at < self.used.len() {
                if !self.used.get(at).copied().unwrap_or(true) {
                    let base = narrow(at)? ^ first;
                    if self.fits(base, children) {
                        self.take(base, children);
                        return Ok(base);
                    }
                }
                at = at.saturating_add(1);
            }
            self.grow()?;
        }
    }

    fn fits(&self, base: u32, children: &[(u8, u32)]) -> bool {
        !self.bases.get(base as usize).copied().unwrap_or(true)
            && children
                .iter()
                .all(|(byte, _)| !self.used.get((base ^ u32::from(*byte)) as usize).copied().unwrap_or(true))
    }

    fn take(&mut self, base: u32, children: &[(u8, u32)]) {
        if let Some(taken) = self.bases.get_mut(base as usize) {
            *taken = true;
        }
        for (byte, _) in children {
            if let Some(taken) = self.used.get_mut((base ^ u32::from(*byte)) as usize) {
                *taken = true;
            }
        }
        while self.used.get(self.first_open).copied().unwrap_or(false) {
            self.first_open = self.first_open.saturating_add(1);
        }
    }

    fn grow(&mut self) -> Result<(), CompileError> {
        let len = self.used.len().saturating_add(BLOCK);
        if len > MAX_SLOTS {
            return Err(CompileError::TooLarge);
        }
        self.used.resize(len, false);
        self.bases.resize(len, false);
        self.first_open = self.first_open.max(len.saturating_sub(BLOCK.saturating_mul(OPEN_BLOCKS)));
        Ok(())
    }
}

fn write(
    entries: &[Entry],
    folded: &[Vec<u8>],
    slots: &[u64],
    outputs: &[(u32, u32)],
) -> Result<Vec<u8>, CompileError> {
    let mut owners: BTreeMap<&TenantId, u32> = BTreeMap::new();
    for owner in entries.iter().flat_map(|entry| &entry.owners) {
        owners.entry(owner).or_insert(0);
    }
    let mut names = Vec::new();
    for (index, (owner, number)) in owners.iter_mut().enumerate() {
        *number = narrow(index)?;
        names.push(u8::try_from(owner.as_str().len()).map_err(|_| CompileError::Automaton)?);
        names.extend_from_slice(owner.as_str().as_bytes());
    }
    let mut records = Vec::new();
    let mut references = Vec::new();
    let mut count = 0u32;
    for (entry, text) in entries.iter().zip(folded) {
        let first = count;
        for owner in &entry.owners {
            references.extend_from_slice(&owners.get(owner).copied().unwrap_or(u32::MAX).to_le_bytes());
            count = count.checked_add(1).ok_or(CompileError::TooLarge)?;
        }
        let severity = match entry.severity {
            Severity::Low => 0u32,
            Severity::High => 1,
            Severity::Critical => 2,
        };
        records.extend_from_slice(&entry.id.to_le_bytes());
        for word in [severity, first, count.saturating_sub(first), narrow(text.len())?] {
            records.extend_from_slice(&word.to_le_bytes());
        }
    }
    let mut blob = Vec::with_capacity(slots.len().saturating_mul(8));
    blob.extend_from_slice(MAGIC);
    let disguises = disguise::build(entries.iter().map(|entry| entry.text.as_str()));
    let (patterns, pool) = (disguises.entries.len(), disguises.pool.len());
    for word in [slots.len(), outputs.len(), entries.len(), count as usize, owners.len(), names.len(), patterns, pool] {
        blob.extend_from_slice(&narrow(word)?.to_le_bytes());
    }
    slots.iter().for_each(|slot| blob.extend_from_slice(&slot.to_le_bytes()));
    for (state, entry) in outputs {
        blob.extend_from_slice(&state.to_le_bytes());
        blob.extend_from_slice(&entry.to_le_bytes());
    }
    blob.extend_from_slice(&records);
    blob.extend_from_slice(&references);
    disguises.entries.iter().for_each(|entry| blob.extend_from_slice(&entry.to_le_bytes()));
    blob.extend_from_slice(&disguises.pool);
    blob.extend_from_slice(&names);
    Ok(blob)
}
