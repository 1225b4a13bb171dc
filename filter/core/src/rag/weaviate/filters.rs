//! The `where` of Weaviate's REST API: checked at every level, and nested whole under the marker.
//!
//! Go reads a member's name whatever its case, so a level with a name that is not known exactly is refused. A path of more
//! than one step leads through references into other classes: refused too.

use crate::error::Code;
use crate::json::Value;
use crate::json::write::{self, Object};
use crate::rag::Place;
use crate::rag::document::{find, object, only, strings};

/// The members of a condition whose values are literals.
pub(super) const LITERALS: &[&str] = &[
    "valueInt",
    "valueNumber",
    "valueBoolean",
    "valueString",
    "valueText",
    "valueDate",
    "valueGeoRange",
    "valueIntArray",
    "valueNumberArray",
    "valueBooleanArray",
    "valueStringArray",
    "valueTextArray",
    "valueDateArray",
];

/// Checks a client's condition.
pub(super) fn check(condition: &Value<'_>) -> Result<(), Code> {
    let members = object(condition)?;
    let known: Vec<&str> = ["operator", "operands", "path"].iter().chain(LITERALS).copied().collect();
    only(members, &known)?;
    if !matches!(find(members, "operator"), Some(Value::String(..))) {
        return Err(Code::FieldInvalid);
    }
    if strings(members, "path")?.is_some_and(|path| path.len() != 1) {
        return Err(Code::FieldInvalid);
    }
    match find(members, "operands") {
        None => Ok(()),
        Some(operands) => operands.items().ok_or(Code::FieldInvalid)?.iter().try_for_each(check),
    }
}

/// Writes the forced condition around the client's.
pub(super) fn forced(out: &mut Vec<u8>, place: &Place<'_>, client: &Value<'_>) {
    let mut both = Object::begin(out);
    both.raw("operator", b"\"And\"");
    both.member("operands", |out| {
        out.push(b'[');
        let mut ours = Object::begin(out);
        ours.member("path", |out| write::array(out, [place.key()], write::string));
        ours.raw("operator", b"\"Equal\"");
        ours.member("valueText", |out| write::string(out, &place.namespace));
        ours.end();
        out.push(b',');
        out.extend_from_slice(client.raw());
        out.push(b']');
    });
    both.end();
}
