//! GraphQL: one query of `Get` and `Aggregate`, judged and written anew from its tree.
//!
//! Each class gets the tenant as an argument, the marker in `where` (the client's nested whole beside it), and, under `Get`,
//! the marker among the selected properties. Arguments and `_additional` are allow-lists: what merges, groups or generates
//! over objects cannot be verified object by object, and what names objects of other classes is refused.

pub(super) mod answers;
mod arguments;
mod syntax;

use super::names::own_tenant;
use crate::error::Code;
use crate::json::Value;
use crate::json::write::{self, Object};
use crate::rag::document::{find, members};
use crate::rag::{Ask, Memo, Place, Rewritten};
use arguments::{condition, near, one_step, sort};
use syntax::{Argument, Field, Query};

/// What may be asked of an object beside its properties.
const ADDITIONAL: &[&str] = &[
    "id",
    "vector",
    "vectors",
    "certainty",
    "distance",
    "score",
    "explainScore",
    "creationTimeUnix",
    "lastUpdateTimeUnix",
    "isConsistent",
];

pub(super) fn judge(ask: &Ask<'_>) -> Result<Rewritten, Code> {
    let place = ask.place()?;
    let members = members(ask.body, &["query", "variables", "operationName"])?;
    let Some(Value::String(text, _)) = find(&members, "query") else { return Err(Code::FieldInvalid) };
    let text = text.decode();
    let query = syntax::parse(&text).ok_or(Code::FieldInvalid)?;
    match find(&members, "variables") {
        None => {}
        Some(Value::Object(variables, _)) if variables.is_empty() => {}
        Some(_) => return Err(Code::FieldInvalid),
    }
    let operation = match find(&members, "operationName") {
        None => None,
        Some(Value::String(name, _)) => Some(name.decode()).filter(|name| !name.is_empty()),
        Some(_) => return Err(Code::FieldInvalid),
    };
    if operation.as_deref().is_some_and(|name| query.name != Some(name)) {
        return Err(Code::FieldInvalid);
    }
    let owned: Vec<(&str, String)> = place.collections().collect();
    // The classes of which the client asked for the marker by itself.
    let mut asked = Vec::new();
    let mut fields = Vec::with_capacity(query.fields.len());
    for root in query.fields {
        if !root.arguments.is_empty() || root.fields.is_empty() {
            return Err(Code::FieldInvalid);
        }
        let mut classes = Vec::with_capacity(root.fields.len());
        for mut class in root.fields {
            // An error where the name is not allowed, or cannot be.
            place.collection(class.name)?;
            let own = owned.iter().find(|(logical, _)| *logical == class.name).ok_or(Code::NamespaceForbidden)?;
            match root.name {
                "Get" if get(place, &mut class)? => asked.push(class.name.to_owned()),
                "Get" => {}
                "Aggregate" => aggregate(place, &mut class)?,
                _ => return Err(Code::FieldUnknown),
            }
            class.name = &own.1;
            classes.push(class);
        }
        fields.push(Field { name: root.name, arguments: Vec::new(), fields: classes });
    }
    let written = syntax::write(&Query { name: query.name, fields });
    let mut out = Vec::with_capacity(written.len().saturating_add(64));
    let mut body = Object::begin(&mut out);
    body.member("query", |out| write::string(out, &written));
    if let Some(name) = operation {
        body.member("operationName", |out| write::string(out, &name));
    }
    body.end();
    let memo = Memo { names: asked, ..Memo::default() };
    Ok(Rewritten { body: Some(out), memo, ..Rewritten::default() })
}

/// Judges a class below `Get`; says whether the client itself asked for the marker.
fn get<'q>(place: &Place<'q>, class: &mut Field<'q>) -> Result<bool, Code> {
    if class.fields.is_empty() {
        return Err(Code::FieldInvalid);
    }
    force(place, class, &["limit", "offset", "autocut", "consistencyLevel", "sort"], true)?;
    for field in &class.fields {
        match field.name {
            "_additional" if field.arguments.is_empty() && !field.fields.is_empty() => {
                let known = |inner: &Field<'_>| ADDITIONAL.contains(&inner.name) && inner.arguments.is_empty();
                if !field
                    .fields
                    .iter()
                    .all(|inner| known(inner) && (inner.name == "vectors" || inner.fields.is_empty()))
                {
                    return Err(Code::FieldUnknown);
                }
            }
            "_additional" => return Err(Code::FieldInvalid),
            _ => plain(field, false)?,
        }
    }
    let asked = class.fields.iter().any(|field| field.name == place.key());
    if !asked {
        class.fields.push(Field { name: place.key(), arguments: Vec::new(), fields: Vec::new() });
    }
    Ok(asked)
}

/// Judges a class below `Aggregate`: everything in it is computed from what the tenant and the marker leave.
fn aggregate<'q>(place: &Place<'q>, class: &mut Field<'q>) -> Result<(), Code> {
    if class.fields.is_empty() {
        return Err(Code::FieldInvalid);
    }
    force(place, class, &["limit", "objectLimit", "groupBy"], false)?;
    class.fields.iter().try_for_each(|field| plain(field, true))
}

/// A selection without introspection, with arguments (that are literals) only where there may be some.
fn plain(field: &Field<'_>, arguments: bool) -> Result<(), Code> {
    let literal = |argument: &Argument<'_>| !matches!(argument, Argument::List(_) | Argument::Object(_));
    let fine = if arguments {
        field.arguments.iter().all(|(_, argument)| literal(argument))
    } else {
        field.arguments.is_empty()
    };
    if !fine || field.name.starts_with("__") || field.name == "_additional" {
        return Err(Code::FieldInvalid);
    }
    field.fields.iter().try_for_each(|field| plain(field, arguments))
}

/// Checks a class's arguments and forces tenant and marker. `keywords` says whether `bm25` may be among them.
fn force<'q>(place: &Place<'q>, class: &mut Field<'q>, known: &[&str], keywords: bool) -> Result<(), Code> {
    let mut client = None;
    let mut kept = Vec::with_capacity(class.arguments.len().saturating_add(2));
    for (name, argument) in std::mem::take(&mut class.arguments) {
        match name {
            "tenant" => match &argument {
                Argument::Text(tenant) => own_tenant(place, Some(tenant))?,
                Argument::Name("null") => {}
                _ => return Err(Code::FieldInvalid),
            },
            "where" => {
                condition(&argument)?;
                client = Some(argument);
            }
            "sort" if known.contains(&name) => {
                sort(&argument)?;
                kept.push((name, argument));
            }
            "groupBy" if known.contains(&name) => {
                one_step(&argument)?;
                kept.push((name, argument));
            }
            name if known.contains(&name) => {
                if matches!(argument, Argument::List(_) | Argument::Object(_)) {
                    return Err(Code::FieldInvalid);
                }
                kept.push((name, argument));
            }
            name => {
                near(name, &argument, keywords)?;
                kept.push((name, argument));
            }
        }
    }
    let ours = Argument::Object(vec![
        ("path", Argument::List(vec![Argument::Text(place.key().to_owned())])),
        ("operator", Argument::Name("Equal")),
        ("valueText", Argument::Text(place.namespace.clone())),
    ]);
    let condition = match client {
        None => ours,
        Some(client) => Argument::Object(vec![
            ("operator", Argument::Name("And")),
            ("operands", Argument::List(vec![ours, client])),
        ]),
    };
    kept.push(("tenant", Argument::Text(place.namespace.clone())));
    kept.push(("where", condition));
    class.arguments = kept;
    Ok(())
}
