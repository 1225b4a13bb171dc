//! Answers.
//!
//! A point counts as the tenant's when its payload carries the tenant's namespace **and** its id is one that the tenant's own
//! ids become; any other is removed, the rest stays verbatim and in order. The marker goes, the owner's id comes back. What
//! the server counts for everybody goes too: versions and operation ids tell how much others write, `usage` what they have.

use super::{Own, payload, query};
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{self, Str, Value};
use crate::rag::{Answer, Tally, Verified};

pub(super) const MALFORMED: Code = Code::UpstreamMalformed;

/// Copies what surrounds a result, and writes the result anew.
///
/// # Errors
/// [`MALFORMED`] for any other shape, or what `result` says.
pub(super) fn envelope(
    answer: &Answer<'_>,
    result: impl FnOnce(&mut Vec<u8>, &Value<'_>) -> Result<(), Code>,
) -> Result<Verified, Code> {
    let document = json::parse(answer.body).map_err(|_| MALFORMED)?;
    let Value::Object(members, _) = &document else { return Err(MALFORMED) };
    let (mut out, mut done) = (Vec::with_capacity(answer.body.len()), Err(MALFORMED));
    let mut result = Some(result);
    let mut object = Object::begin(&mut out);
    for (key, value) in members {
        match (key.decode().as_ref(), value) {
            ("result", value) => object.member("result", |out| {
                done = result.take().ok_or(MALFORMED).and_then(|write| write(out, value));
            }),
            ("status", Value::String(..)) => object.raw("status", value.raw()),
            ("time", Value::Number(_)) => object.raw("time", value.raw()),
            ("usage", _) => {}
            _ => return Err(MALFORMED),
        }
    }
    object.end();
    done?;
    Ok(Verified { body: Some(out), ..Verified::default() })
}

/// Whose the points of an answer are.
pub(super) struct Points<'p> {
    pub(super) own: Own<'p>,
    pub(super) tally: Tally,
}

impl<'p> Points<'p> {
    fn of(answer: &Answer<'p>) -> Self {
        Self { own: Own::new(answer.place), tally: Tally::default() }
    }

    /// Writes a point if it is the tenant's; says whether it is.
    fn point(&mut self, out: &mut Vec<u8>, value: &Value<'_>, hide: bool) -> Result<bool, Code> {
        let Value::Object(members, _) = value else { return Err(MALFORMED) };
        let (scoped, fields) = (value.member("id").ok_or(MALFORMED)?, value.member("payload"));
        let marker = match fields.and_then(|fields| fields.member(self.own.place.key())) {
            Some(Value::String(text, _)) => text.decode(),
            _ => "".into(),
        };
        let kept = fields.and_then(|fields| fields.member(&self.own.companion));
        let id = self.own.ids.own(scoped, kept);
        let id = id.filter(|_| marker == self.own.place.namespace);
        if !self.tally.count(id.is_some(), &marker) {
            return Ok(false);
        }
        let mut object = Object::begin(out);
        for (key, value) in members {
            match (key.decode().as_ref(), value) {
                ("id", _) => object.member("id", |out| id.iter().for_each(|id| id.write(out))),
                ("payload", _) if hide => {}
                ("payload", Value::Object(fields, _)) => object.member("payload", |out| self.fields(out, fields)),
                ("version", _) => object.raw("version", b"0"),
                ("score" | "vector" | "order_value", value) => object.raw(&key.decode(), value.raw()),
                ("shard_key", _) => {}
                _ => return Err(MALFORMED),
            }
        }
        object.end();
        Ok(true)
    }

    fn fields(&self, out: &mut Vec<u8>, fields: &[(Str<'_>, Value<'_>)]) {
        let mut payload = Object::begin(out);
        payload::copy_fields(&mut payload, &self.own, fields);
        payload.end();
    }

    /// The tenant's points of a list, each written.
    fn kept(&mut self, list: &Value<'_>, hide: bool) -> Result<Vec<Vec<u8>>, Code> {
        let mut kept = Vec::new();
        for value in list.items().ok_or(MALFORMED)? {
            let mut one = Vec::new();
            if self.point(&mut one, value, hide)? {
                kept.push(one);
            }
        }
        Ok(kept)
    }

    fn list(&mut self, out: &mut Vec<u8>, list: &Value<'_>, hide: bool) -> Result<(), Code> {
        let kept = self.kept(list, hide)?;
        write::array(out, &kept, |out, one| out.extend_from_slice(one));
        Ok(())
    }

    /// A result that has `points`, and nothing else that counts.
    fn found(&mut self, out: &mut Vec<u8>, result: &Value<'_>, hide: bool) -> Result<(), Code> {
        let [(name, list)] = members(result)? else { return Err(MALFORMED) };
        if name.decode() != "points" {
            return Err(MALFORMED);
        }
        out.extend_from_slice(b"{\"points\":");
        self.list(out, list, hide)?;
        out.push(b'}');
        Ok(())
    }

    /// Groups; one that has no point of the tenant's is none.
    fn groups(&mut self, out: &mut Vec<u8>, result: &Value<'_>, hide: bool) -> Result<(), Code> {
        let [(name, list)] = members(result)? else { return Err(MALFORMED) };
        let mut groups = Vec::new();
        for group in list.items().filter(|_| name.decode() == "groups").ok_or(MALFORMED)? {
            let (id, hits) = (group.member("id").ok_or(MALFORMED)?, group.member("hits").ok_or(MALFORMED)?);
            // Nothing was asked of another collection.
            let strange = |(key, value): &(Str<'_>, Value<'_>)| match key.decode().as_ref() {
                "id" | "hits" => false,
                "lookup" => !value.is_null(),
                _ => true,
            };
            if members(group)?.iter().any(strange) || !matches!(id, Value::String(..) | Value::Number(_)) {
                return Err(MALFORMED);
            }
            let hits = self.kept(hits, hide)?;
            if !hits.is_empty() {
                groups.push((id.raw(), hits));
            }
        }
        out.extend_from_slice(b"{\"groups\":");
        write::array(out, &groups, |out, (id, hits)| {
            let mut group = Object::begin(out);
            group.member("hits", |out| write::array(out, hits, |out, one| out.extend_from_slice(one)));
            group.raw("id", id);
            group.end();
        });
        out.push(b'}');
        Ok(())
    }
}

/// The members of an object.
///
/// # Errors
/// [`MALFORMED`] when it is none.
pub(super) fn members<'v, 'a>(value: &'v Value<'a>) -> Result<&'v [(Str<'a>, Value<'a>)], Code> {
    match value {
        Value::Object(members, _) => Ok(members),
        _ => Err(MALFORMED),
    }
}

/// An answer whose result has points to judge.
///
/// # Errors
/// As [`envelope`].
pub(super) fn judged(
    answer: &Answer<'_>,
    write: impl FnOnce(&mut Points<'_>, &mut Vec<u8>, &Value<'_>) -> Result<(), Code>,
) -> Result<Verified, Code> {
    let mut points = Points::of(answer);
    let verified = envelope(answer, |out, result| write(&mut points, out, result))?;
    Ok(Verified { tally: points.tally, ..verified })
}

/// A list of points.
pub(super) fn points(answer: &Answer<'_>) -> Result<Verified, Code> {
    judged(answer, |points, out, result| points.list(out, result, answer.memo.hide))
}

/// `{points}`.
pub(super) fn found(answer: &Answer<'_>) -> Result<Verified, Code> {
    judged(answer, |points, out, result| points.found(out, result, answer.memo.hide))
}

/// `{groups}`.
pub(super) fn groups(answer: &Answer<'_>) -> Result<Verified, Code> {
    judged(answer, |points, out, result| points.groups(out, result, answer.memo.hide))
}

/// One result for each search of a batch: `{points}`.
pub(super) fn found_batch(answer: &Answer<'_>) -> Result<Verified, Code> {
    each(answer, Points::found)
}

/// One result for each search of a batch: a list of points.
pub(super) fn points_batch(answer: &Answer<'_>) -> Result<Verified, Code> {
    each(answer, Points::list)
}

fn each<'p>(
    answer: &Answer<'p>,
    write: impl Fn(&mut Points<'p>, &mut Vec<u8>, &Value<'_>, bool) -> Result<(), Code>,
) -> Result<Verified, Code> {
    let mut points = Points::of(answer);
    let verified = envelope(answer, |out, result| {
        let (results, hidden) = (result.items().ok_or(MALFORMED)?, &answer.memo.names);
        if results.len() != hidden.len() {
            return Err(MALFORMED);
        }
        let mut done = Ok(());
        write::array(out, results.iter().zip(hidden), |out, (result, hidden)| {
            if done.is_ok() {
                done = write(&mut points, out, result, hidden == query::HIDDEN);
            }
        });
        done
    })?;
    Ok(Verified { tally: points.tally, ..verified })
}

/// One point; what is not the tenant's is not there.
pub(super) fn point(answer: &Answer<'_>) -> Result<Verified, Code> {
    let mut there = true;
    let verified = judged(answer, |points, out, result| {
        there = points.point(out, result, false)?;
        if !there {
            out.extend_from_slice(b"null");
        }
        Ok(())
    })?;
    if there {
        return Ok(verified);
    }
    let body = b"{\"status\":{\"error\":\"Not found: there is no such point\"},\"time\":0.0}".to_vec();
    Ok(Verified { body: Some(body), status: Some(404), ..verified })
}

/// A page. The point that was asked for beyond it is the next page's first.
pub(super) fn scroll(answer: &Answer<'_>) -> Result<Verified, Code> {
    let limit = answer.memo.names.first().and_then(|limit| limit.parse::<usize>().ok());
    judged(answer, |points, out, result| {
        let (mut list, mut more) = (None, false);
        for (key, value) in members(result)? {
            match key.decode().as_ref() {
                "points" => list = Some(value),
                "next_page_offset" => more = !value.is_null(),
                _ => return Err(MALFORMED),
            }
        }
        let list = list.and_then(Value::items).ok_or(MALFORMED)?;
        let beyond = limit.is_some_and(|limit| more || list.len() > limit);
        let mut kept: Vec<&Value<'_>> = Vec::new();
        let mut page: Vec<Vec<u8>> = Vec::new();
        for value in list {
            let mut one = Vec::new();
            if points.point(&mut one, value, answer.memo.hide)? {
                page.push(one);
                kept.push(value);
            }
        }
        // If foreign points were dropped, the page is shorter, and still its last point begins the next one.
        let next = kept.last().filter(|_| beyond && kept.len() > 1);
        if next.is_some() {
            page.pop();
        }
        let next = next.and_then(|value| {
            let companion = value.member("payload").and_then(|fields| fields.member(&points.own.companion));
            points.own.ids.own(value.member("id")?, companion)
        });
        let mut object = Object::begin(out);
        object.member("points", |out| write::array(out, &page, |out, one| out.extend_from_slice(one)));
        object.member("next_page_offset", |out| match next {
            Some(id) => id.write(out),
            None => out.extend_from_slice(b"null"),
        });
        object.end();
        Ok(())
    })
}
