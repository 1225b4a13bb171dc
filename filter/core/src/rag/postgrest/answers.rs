//! Answers: a list of rows, or one row where the client asked for that. Each is judged by its marker, which is removed.

use super::requests::OBJECT;
use crate::error::Code;
use crate::json::write::{self, Object};
use crate::json::{self, Value};
use crate::rag::{Answer, Place, Tally, Verified};

/// What PostgREST itself says of one row that is not there.
const NO_ROW: &[u8] = br#"{"code":"PGRST116","message":"Cannot coerce the result to a single JSON object","details":"The result contains 0 rows","hint":null}"#;

pub(super) fn rows(answer: &Answer<'_>) -> Result<Verified, Code> {
    // Writes answer with nothing unless asked.
    if answer.body.is_empty() {
        return Ok(Verified::default());
    }
    let object = answer.memo.names.iter().any(|name| name == OBJECT);
    let document = json::parse(answer.body).map_err(|_| Code::UpstreamMalformed)?;
    let mut tally = Tally::default();
    let mut body = Vec::with_capacity(answer.body.len());
    match &document {
        Value::Array(rows, _) => {
            let mut own = Vec::with_capacity(rows.len());
            for row in rows {
                if owns(answer.place, row, &mut tally)? {
                    own.push(row);
                }
            }
            write::array(&mut body, own, |out, row| write_row(out, answer.place, row));
        }
        Value::Object(..) if object => {
            if !owns(answer.place, &document, &mut tally)? {
                return Ok(Verified { body: Some(NO_ROW.to_vec()), status: Some(406), tally });
            }
            write_row(&mut body, answer.place, &document);
        }
        _ => return Err(Code::UpstreamMalformed),
    }
    Ok(Verified { body: Some(body), tally, ..Verified::default() })
}

fn owns(place: &Place<'_>, row: &Value<'_>, tally: &mut Tally) -> Result<bool, Code> {
    match row {
        Value::Object(..) => Ok(match row.member(place.key()) {
            Some(Value::String(marker, _)) => tally.judge(place, Some(&marker.decode())),
            _ => tally.judge(place, None),
        }),
        _ => Err(Code::UpstreamMalformed),
    }
}

fn write_row(out: &mut Vec<u8>, place: &Place<'_>, row: &Value<'_>) {
    let Value::Object(members, _) = row else { return };
    let mut object = Object::begin(out);
    for (name, value) in members {
        let name = name.decode();
        if name != place.key() {
            object.raw(&name, value.raw());
        }
    }
    object.end();
}
