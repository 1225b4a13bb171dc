//! Answers without points: numbers, outcomes of operations, distances, collections.

use super::answers::{MALFORMED, envelope, judged, members};
use crate::error::Code;
use crate::json::Value;
use crate::json::write::{self, Object};
use crate::rag::document::items;
use crate::rag::{Answer, Verified};

/// A result that was made of the tenant's points alone.
pub(super) fn computed(answer: &Answer<'_>) -> Result<Verified, Code> {
    envelope(answer, |out, result| {
        out.extend_from_slice(result.raw());
        Ok(())
    })
}

/// What became of an operation, without its number among everybody's.
fn outcome<'v>(value: &'v Value<'_>) -> Result<&'v [u8], Code> {
    match value.member("status") {
        Some(status @ Value::String(..)) => Ok(status.raw()),
        _ => Err(MALFORMED),
    }
}

fn write_outcome(out: &mut Vec<u8>, status: &[u8]) {
    let mut object = Object::begin(out);
    object.raw("status", status);
    object.end();
}

/// An operation; or the batch that it became.
pub(super) fn changed(answer: &Answer<'_>) -> Result<Verified, Code> {
    envelope(answer, |out, result| {
        let status = match result.items() {
            None => outcome(result)?,
            Some(list) => outcome(list.last().ok_or(MALFORMED)?)?,
        };
        write_outcome(out, status);
        Ok(())
    })
}

/// One outcome for each operation that the client sent.
pub(super) fn changed_batch(answer: &Answer<'_>) -> Result<Verified, Code> {
    let counts = answer.memo.names.iter().map(|count| count.parse::<usize>().map_err(|_| Code::Internal));
    let counts: Vec<usize> = counts.collect::<Result<_, _>>()?;
    envelope(answer, |out, result| {
        let list = result.items().ok_or(MALFORMED)?;
        let all: Vec<&[u8]> = list.iter().map(outcome).collect::<Result<_, _>>()?;
        let mut rest = all.as_slice();
        let mut last = Vec::with_capacity(counts.len());
        for count in counts {
            let (own, others) = rest.split_at_checked(count).ok_or(MALFORMED)?;
            last.push(*own.last().ok_or(MALFORMED)?);
            rest = others;
        }
        write::array(out, &last, |out, status| write_outcome(out, status));
        if rest.is_empty() { Ok(()) } else { Err(MALFORMED) }
    })
}

/// Similarities of pairs of points. Their ids are numbers that only the tenant's can be.
pub(super) fn pairs(answer: &Answer<'_>) -> Result<Verified, Code> {
    judged(answer, |points, out, result| {
        let [(name, list)] = members(result)? else { return Err(MALFORMED) };
        let mut kept = Vec::new();
        for pair in list.items().filter(|_| name.decode() == "pairs").ok_or(MALFORMED)? {
            let member = |name: &str| pair.member(name).ok_or(MALFORMED);
            let (a, b, Value::Number(score)) = (member("a")?, member("b")?, member("score")?) else {
                return Err(MALFORMED);
            };
            let both = points.own.ids.number(a).zip(points.own.ids.number(b));
            if points.tally.count(both.is_some(), "") {
                kept.extend(both.map(|(a, b)| (a, b, *score)));
            }
        }
        out.extend_from_slice(b"{\"pairs\":");
        write::array(out, kept, |out, (a, b, score)| {
            let mut pair = Object::begin(out);
            pair.member("a", |out| a.write(out));
            pair.member("b", |out| b.write(out));
            pair.raw("score", score);
            pair.end();
        });
        out.push(b'}');
        Ok(())
    })
}

/// The same as a sparse matrix. It cannot lose a point without being another one, so a foreign one spoils it.
pub(super) fn offsets(answer: &Answer<'_>) -> Result<Verified, Code> {
    judged(answer, |points, out, result| {
        let mut object = Object::begin(out);
        for (key, value) in members(result)? {
            let key = key.decode();
            match key.as_ref() {
                "ids" => {
                    let list = items(value).ok_or(MALFORMED)?;
                    let ids: Option<Vec<_>> = list.iter().map(|id| points.own.ids.number(id)).collect();
                    let ids = ids.ok_or(MALFORMED)?;
                    object.member("ids", |out| write::array(out, ids, |out, id| id.write(out)));
                }
                "offsets_row" | "offsets_col" | "scores" if items(value).is_some() => object.raw(&key, value.raw()),
                _ => return Err(MALFORMED),
            }
        }
        object.end();
        Ok(())
    })
}

/// Only the tenant's collections, as it knows them.
pub(super) fn collections(answer: &Answer<'_>) -> Result<Verified, Code> {
    envelope(answer, |out, result| {
        let list = result.member("collections").and_then(Value::items).ok_or(MALFORMED)?;
        let own = list.iter().filter_map(|one| match one.member("name") {
            Some(Value::String(name, _)) => answer.place.logical(&name.decode()),
            _ => None,
        });
        out.extend_from_slice(b"{\"collections\":");
        write::array(out, own, |out, name| {
            let mut one = Object::begin(out);
            one.member("name", |out| write::string(out, name));
            one.end();
        });
        out.push(b'}');
        Ok(())
    })
}

/// How a collection is made. What it holds is everybody's: no counts, and no fields that others may have indexed.
pub(super) fn collection(answer: &Answer<'_>) -> Result<Verified, Code> {
    envelope(answer, |out, result| {
        let config = members(result.member("config").ok_or(MALFORMED)?)?;
        let status = result.member("status").ok_or(MALFORMED)?;
        let mut object = Object::begin(out);
        object.raw("status", status.raw());
        object.raw("optimizer_status", b"\"ok\"");
        object.raw("segments_count", b"0");
        object.member("config", |out| {
            let mut object = Object::begin(out);
            for (key, value) in config {
                let key = key.decode();
                if CONFIG.contains(&key.as_ref()) {
                    object.raw(&key, value.raw());
                }
            }
            object.end();
        });
        object.raw("payload_schema", b"{}");
        object.end();
        Ok(())
    })
}

const CONFIG: &[&str] =
    &["params", "hnsw_config", "optimizer_config", "wal_config", "quantization_config", "strict_mode_config"];
