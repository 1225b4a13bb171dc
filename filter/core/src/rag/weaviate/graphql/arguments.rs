//! What arguments of a class may say.

use super::super::filters::LITERALS;
use super::syntax::Argument;
use crate::error::Code;

/// What an argument that says "near to" may have.
const NEAR: &[(&str, &[&str])] = &[
    ("nearVector", &["vector", "certainty", "distance", "targetVectors", "targets", "vectorPerTarget"]),
    // By id, of the same class and tenant; a beacon could be of any.
    ("nearObject", &["id", "certainty", "distance", "targetVectors", "targets"]),
    (
        "nearText",
        &["concepts", "certainty", "distance", "autocorrect", "moveTo", "moveAwayFrom", "targetVectors", "targets"],
    ),
    ("nearImage", &["image", "certainty", "distance", "targetVectors", "targets"]),
    ("nearAudio", &["audio", "certainty", "distance", "targetVectors", "targets"]),
    ("nearVideo", &["video", "certainty", "distance", "targetVectors", "targets"]),
    ("nearDepth", &["depth", "certainty", "distance", "targetVectors", "targets"]),
    ("nearThermal", &["thermal", "certainty", "distance", "targetVectors", "targets"]),
    ("nearIMU", &["imu", "certainty", "distance", "targetVectors", "targets"]),
    (
        "hybrid",
        &["query", "alpha", "vector", "properties", "fusionType", "maxVectorDistance", "targetVectors", "targets"],
    ),
    ("bm25", &["query", "properties"]),
];

/// A path of one step; more would lead through references into other classes.
pub(super) fn one_step(path: &Argument<'_>) -> Result<(), Code> {
    match path {
        Argument::Text(_) => Ok(()),
        Argument::List(steps) if matches!(steps.as_slice(), [Argument::Text(_)]) => Ok(()),
        _ => Err(Code::FieldInvalid),
    }
}

/// The members of an argument that is an object with known names.
fn inside<'a, 'q>(argument: &'a Argument<'q>, known: &[&str]) -> Result<&'a [(&'q str, Argument<'q>)], Code> {
    match argument {
        Argument::Object(members) if members.iter().all(|(name, _)| known.contains(name)) => Ok(members),
        Argument::Object(_) => Err(Code::FieldUnknown),
        _ => Err(Code::FieldInvalid),
    }
}

/// A client's `where`.
pub(super) fn condition(argument: &Argument<'_>) -> Result<(), Code> {
    let known: Vec<&str> = ["operator", "operands", "path"].iter().chain(LITERALS).copied().collect();
    for (name, value) in inside(argument, &known)? {
        match (*name, value) {
            ("operator", Argument::Name(_)) => {}
            ("operator", _) => return Err(Code::FieldInvalid),
            ("path", path) => one_step(path)?,
            ("operands", Argument::List(operands)) => operands.iter().try_for_each(condition)?,
            ("operands", operand) => condition(operand)?,
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn sort(argument: &Argument<'_>) -> Result<(), Code> {
    let one = |clause: &Argument<'_>| {
        inside(clause, &["path", "order"])?.iter().try_for_each(|(name, value)| match *name {
            "path" => one_step(value),
            _ => Ok(()),
        })
    };
    match argument {
        Argument::List(clauses) => clauses.iter().try_for_each(one),
        clause => one(clause),
    }
}

/// What a search is near to: vectors, texts, media, an id. Never objects of other classes.
pub(super) fn near(name: &str, argument: &Argument<'_>, keywords: bool) -> Result<(), Code> {
    let row = NEAR.iter().find(|(own, _)| *own == name && (keywords || name != "bm25"));
    let (_, known) = row.ok_or(Code::FieldUnknown)?;
    for (name, value) in inside(argument, known)? {
        match *name {
            "moveTo" | "moveAwayFrom" => {
                inside(value, &["concepts", "force"])?;
            }
            "targets" => {
                inside(value, &["targetVectors", "combinationMethod", "weights"])?;
            }
            "vectorPerTarget" => {}
            _ if matches!(value, Argument::Object(_)) => return Err(Code::FieldInvalid),
            _ => {}
        }
    }
    Ok(())
}
