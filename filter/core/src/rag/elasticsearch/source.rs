//! `_source`: which parts of documents are asked for, always with the marker.

use super::build::{Built, text};
use crate::error::Code;
use crate::json::Value;
use crate::json::write::{self, Object};
use crate::rag::Ask;

/// What of the documents the client wants.
#[derive(Default)]
pub(super) struct Source {
    /// Nothing: what comes for verification is taken out again.
    pub(super) hide: bool,
    /// All but vectors.
    vectors: Option<bool>,
    includes: Vec<String>,
    excludes: Vec<String>,
}

/// The parameters by which a URL says it.
pub(super) const PARAMETERS: &[&str] = &["_source", "_source_includes", "_source_excludes"];

impl Source {
    /// What a body's `_source` says.
    pub(super) fn read(value: Option<&Value<'_>>) -> Result<Self, Code> {
        let mut source = Self::default();
        match value {
            None | Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => source.hide = true,
            Some(Value::Object(members, _)) => {
                for (key, value) in members.iter().filter(|(_, value)| !value.is_null()) {
                    let (list, value) = match (key.decode().as_ref(), value) {
                        ("includes" | "include", _) => (&mut source.includes, value),
                        ("excludes" | "exclude", _) => (&mut source.excludes, value),
                        ("exclude_vectors", Value::Bool(flag)) => {
                            source.vectors = Some(*flag);
                            continue;
                        }
                        _ => return Err(Code::FieldUnknown),
                    };
                    if !list.is_empty() {
                        return Err(Code::FieldInvalid);
                    }
                    *list = patterns(value)?;
                }
            }
            Some(value) => source.includes = patterns(value)?,
        }
        Ok(source)
    }

    /// What a URL says; `None` when it says nothing.
    pub(super) fn of_query(ask: &Ask<'_>) -> Option<Self> {
        let split = |text: &str| text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        let mut source = Self::default();
        let all = ask.query("_source");
        match all {
            Some("false") => source.hide = true,
            None | Some("true" | "") => {}
            Some(list) => source.includes = split(list),
        }
        let includes = ask.query("_source_includes").map(split);
        let excludes = ask.query("_source_excludes").map(split);
        let said = all.is_some() || includes.is_some() || excludes.is_some();
        source.includes.extend(includes.unwrap_or_default());
        source.excludes.extend(excludes.unwrap_or_default());
        said.then_some(source)
    }

    fn check(&self, key: &str) -> Result<(), Code> {
        // What is excluded cannot be verified.
        if self.excludes.iter().any(|pattern| covers(pattern, key)) { Err(Code::FieldInvalid) } else { Ok(()) }
    }

    /// For a body, with the marker.
    pub(super) fn json(&self, key: &str) -> Built {
        self.check(key)?;
        let mut out = Vec::new();
        let write_list =
            |out: &mut Vec<u8>, list: &[&str]| write::array(out, list, |out, text| write::string(out, text));
        if self.hide {
            write_list(&mut out, &[key]);
            return Ok(out);
        }
        let mut includes: Vec<&str> = self.includes.iter().map(String::as_str).collect();
        if !includes.is_empty() {
            includes.push(key);
        }
        if self.excludes.is_empty() && self.vectors.is_none() {
            match includes.as_slice() {
                [] => out.extend_from_slice(b"true"),
                list => write_list(&mut out, list),
            }
            return Ok(out);
        }
        let mut object = Object::begin(&mut out);
        if !includes.is_empty() {
            object.member("includes", |out| write_list(out, &includes));
        }
        if !self.excludes.is_empty() {
            let excludes: Vec<&str> = self.excludes.iter().map(String::as_str).collect();
            object.member("excludes", |out| write_list(out, &excludes));
        }
        if let Some(flag) = self.vectors {
            object.raw("exclude_vectors", if flag { b"true" } else { b"false" });
        }
        object.end();
        Ok(out)
    }

    /// For a URL, with the marker.
    pub(super) fn pairs(&self, key: &str) -> Result<Vec<(&'static str, String)>, Code> {
        self.check(key)?;
        if self.hide {
            return Ok(vec![("_source_includes", key.to_owned())]);
        }
        let mut pairs = Vec::new();
        if !self.includes.is_empty() {
            pairs.push(("_source_includes", format!("{},{key}", self.includes.join(","))));
        }
        if !self.excludes.is_empty() {
            pairs.push(("_source_excludes", self.excludes.join(",")));
        }
        Ok(pairs)
    }
}

fn patterns(value: &Value<'_>) -> Result<Vec<String>, Code> {
    match value {
        Value::Array(items, _) => items.iter().map(text).collect(),
        _ => Ok(vec![text(value)?]),
    }
}

/// Whether a pattern with `*` fits a field's name.
fn covers(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return name.ends_with(part);
        }
        let Some(at) = name.find(part) else { return false };
        name = name.get(at.saturating_add(part.len())..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn patterns_cover_what_they_fit() {
        for pattern in ["tenant_id", "*", "tenant*", "*_id", "t*t*d", "**", "*enant*"] {
            assert!(covers(pattern, "tenant_id"), "{pattern}");
        }
        for pattern in ["", "tenant", "tenant_id2", "x*", "*x", "t*x*d", "tenant_id.*"] {
            assert!(!covers(pattern, "tenant_id"), "{pattern}");
        }
    }
}
