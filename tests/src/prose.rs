//! Prose for tests and benchmarks, collected where they run: the documentation of the crates that were built, which Cargo
//! keeps as source. Nothing of it is shipped.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// Where Cargo keeps the sources of crates.
fn registry() -> PathBuf {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    home.unwrap_or_default().join("registry/src")
}

/// All files below a directory, in the same order each time.
pub fn files(directory: &Path, into: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut entries: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, into);
        } else {
            into.push(path);
        }
    }
}

/// Paragraphs of English prose, each once, of `bytes` altogether or as much as there is.
pub fn paragraphs(bytes: usize) -> Vec<String> {
    let mut all = Vec::new();
    files(&registry(), &mut all);
    let mut seen = HashSet::new();
    let mut paragraphs = Vec::new();
    let mut size = 0;
    for path in all {
        let source = match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => true,
            Some("md") => false,
            _ => continue,
        };
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let mut paragraph = String::new();
        for line in text.lines().chain([""]) {
            let line = line.trim_start();
            let prose = match source {
                true => line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).unwrap_or(""),
                false => line,
            };
            if !prose.trim().is_empty() {
                paragraph += prose.trim();
                paragraph.push(' ');
                continue;
            }
            let done = std::mem::take(&mut paragraph);
            let letters = done.bytes().filter(|b| b.is_ascii_alphabetic() || *b == b' ').count();
            // Sentences, not code, tables or lists of links.
            if done.len() > 120 && letters * 100 > done.len() * 85 && is_new(&done, &mut seen) {
                size += done.len();
                paragraphs.push(done);
            }
            if size >= bytes {
                return paragraphs;
            }
        }
    }
    paragraphs
}

/// Whether a paragraph is no copy, or half a copy, of one before: of its runs of five words almost all are new.
fn is_new(paragraph: &str, seen: &mut HashSet<u64>) -> bool {
    let words: Vec<&str> = paragraph.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let runs: Vec<u64> = words
        .windows(5)
        .map(|run| {
            let mut hasher = DefaultHasher::new();
            run.hash(&mut hasher);
            hasher.finish()
        })
        .collect();
    let known = runs.iter().filter(|run| seen.contains(run)).count();
    seen.extend(&runs);
    known * 20 <= runs.len()
}

/// A text as a model streams it: words with the space before them, long ones in pieces.
pub fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    for word in text.split_inclusive(' ').map(str::trim_end).filter(|word| !word.is_empty()) {
        let chars: Vec<char> = format!(" {word}").chars().collect();
        let size = if chars.len() > 9 { 5 } else { chars.len() };
        tokens.extend(chars.chunks(size).map(|piece| piece.iter().collect::<String>()));
    }
    tokens
}
