//! Milvus' filter expressions, evaluated: written by the grammar, independently of the filter that it tests.

use serde_json::{Map, Value};

/// Whether a record is found by an expression; `params` are its template variables.
///
/// # Errors
/// What is wrong with the expression.
pub fn holds(expression: &str, params: &Value, record: &Map<String, Value>) -> Result<bool, String> {
    if expression.trim().is_empty() {
        return Ok(true);
    }
    let mut parser = Parser { chars: expression.chars().collect(), at: 0, params, record };
    let value = parser.or()?;
    parser.space();
    if parser.at < parser.chars.len() {
        return Err(format!("line 1:{} extraneous input", parser.at));
    }
    value.as_bool().ok_or_else(|| "predicate is not a boolean expression".to_owned())
}

struct Parser<'p> {
    chars: Vec<char>,
    at: usize,
    params: &'p Value,
    record: &'p Map<String, Value>,
}

type Parsed = Result<Value, String>;

impl Parser<'_> {
    fn space(&mut self) {
        while self.chars.get(self.at).is_some_and(|c| c.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn eat(&mut self, text: &str) -> bool {
        self.space();
        let end = self.at + text.len();
        let there = self.chars.get(self.at..end).is_some_and(|chars| chars.iter().collect::<String>() == text);
        let word = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let runs_on = self.chars.get(end).is_some_and(|c| c.is_ascii_alphanumeric() || *c == '_');
        if there && !(word && runs_on) {
            self.at = end;
            return true;
        }
        false
    }

    fn word(&mut self, word: &str) -> bool {
        self.eat(word) || self.eat(&word.to_uppercase())
    }

    fn need(&mut self, text: &str) -> Result<(), String> {
        if self.eat(text) { Ok(()) } else { Err(format!("line 1:{} expected {text}", self.at)) }
    }

    fn or(&mut self) -> Parsed {
        let mut left = self.and()?;
        while self.eat("||") || self.word("or") {
            let right = self.and()?;
            left = both(&left, &right, |a, b| a || b)?;
        }
        Ok(left)
    }

    fn and(&mut self) -> Parsed {
        let mut left = self.equality()?;
        while self.eat("&&") || self.word("and") {
            let right = self.equality()?;
            left = both(&left, &right, |a, b| a && b)?;
        }
        Ok(left)
    }

    fn equality(&mut self) -> Parsed {
        let mut left = self.relation()?;
        loop {
            let equal = if self.eat("==") {
                true
            } else if self.eat("!=") {
                false
            } else {
                return Ok(left);
            };
            let right = self.relation()?;
            let known = !left.is_null() && !right.is_null();
            left = Value::Bool(known && (same(&left, &right) == equal));
        }
    }

    fn relation(&mut self) -> Parsed {
        let mut left = self.membership()?;
        let mut holds: Option<bool> = None;
        loop {
            let operator = ["<=", ">=", "<", ">"].into_iter().find(|operator| self.eat(operator));
            let Some(operator) = operator else { return Ok(holds.map_or(left, Value::Bool)) };
            let right = self.membership()?;
            let order = match (&left, &right) {
                (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
                (Value::Number(_), Value::Number(_)) => {
                    left.as_f64().zip(right.as_f64()).and_then(|(a, b)| a.partial_cmp(&b))
                }
                _ => None,
            };
            let fits = order.is_some_and(|order| match operator {
                "<" => order.is_lt(),
                "<=" => order.is_le(),
                ">" => order.is_gt(),
                _ => order.is_ge(),
            });
            holds = Some(holds.unwrap_or(true) && fits);
            left = right;
        }
    }

    fn membership(&mut self) -> Parsed {
        let left = self.sum()?;
        let back = self.at;
        let not = self.word("not");
        if self.word("in") {
            let list = self.sum()?;
            let list = list.as_array().ok_or("the right of `in` must be a list")?;
            let found = list.iter().any(|item| same(item, &left));
            return Ok(Value::Bool(!left.is_null() && found != not));
        }
        self.at = back;
        if self.word("like") {
            let pattern = self.sum()?;
            let pattern = pattern.as_str().ok_or("a pattern must be a text")?;
            return Ok(Value::Bool(left.as_str().is_some_and(|text| like(text, pattern))));
        }
        if self.word("is") {
            let not = self.word("not");
            if !self.word("null") {
                return Err("expected null".to_owned());
            }
            return Ok(Value::Bool(left.is_null() != not));
        }
        Ok(left)
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.product()?;
        loop {
            let minus = if self.eat("+") {
                false
            } else if self.eat("-") {
                true
            } else {
                return Ok(left);
            };
            let right = self.product()?;
            left = arithmetic(&left, &right, |a, b| if minus { a - b } else { a + b })?;
        }
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.unary()?;
        loop {
            let operator = ["*", "/", "%"].into_iter().find(|operator| self.eat(operator));
            let Some(operator) = operator else { return Ok(left) };
            let right = self.unary()?;
            left = arithmetic(&left, &right, |a, b| match operator {
                "*" => a * b,
                "/" => a / b,
                _ => a % b,
            })?;
        }
    }

    fn unary(&mut self) -> Parsed {
        self.space();
        let negates = self.chars.get(self.at) == Some(&'!') && self.chars.get(self.at + 1) != Some(&'=');
        if (negates && self.eat("!")) || self.word("not") {
            // As in the grammar, `not` binds tighter than a comparison.
            let value = self.unary()?;
            return value.as_bool().map(|value| Value::Bool(!value)).ok_or_else(|| "not of no boolean".to_owned());
        }
        if self.eat("-") {
            let value = self.unary()?;
            return arithmetic(&Value::from(0), &value, |a, b| a - b);
        }
        self.primary()
    }

    fn primary(&mut self) -> Parsed {
        self.space();
        let Some(first) = self.chars.get(self.at).copied() else { return Err("unexpected end".to_owned()) };
        match first {
            '(' => {
                self.at += 1;
                let value = self.or()?;
                self.need(")")?;
                Ok(value)
            }
            '[' => {
                self.at += 1;
                let mut items = Vec::new();
                while !self.eat("]") {
                    items.push(self.or()?);
                    if !self.eat(",") {
                        self.need("]")?;
                        break;
                    }
                }
                Ok(Value::Array(items))
            }
            '{' => {
                self.at += 1;
                let name = self.name()?;
                self.need("}")?;
                self.params.get(&name).cloned().ok_or(format!("the value of {name} is not found"))
            }
            '"' | '\'' => self.literal(first),
            '0'..='9' | '.' => {
                let from = self.at;
                while self.chars.get(self.at).is_some_and(|c| c.is_ascii_alphanumeric() || *c == '.') {
                    self.at += 1;
                }
                let text: String = self.chars[from..self.at].iter().collect();
                serde_json::from_str(&text).map_err(|_| format!("no number: {text}"))
            }
            _ => {
                let name = self.name()?;
                match name.to_lowercase().as_str() {
                    "true" => Ok(Value::Bool(true)),
                    "false" => Ok(Value::Bool(false)),
                    "json_contains" | "array_contains" => self.contains(|list, item| list.contains(item)),
                    "json_contains_any" | "array_contains_any" => self.contains(|list, items| {
                        items.as_array().is_some_and(|items| items.iter().any(|item| list.contains(item)))
                    }),
                    "exists" => {
                        let value = self.primary()?;
                        Ok(Value::Bool(!value.is_null()))
                    }
                    _ => self.field(&name),
                }
            }
        }
    }

    fn contains(&mut self, test: impl Fn(&[Value], &Value) -> bool) -> Parsed {
        self.need("(")?;
        let list = self.or()?;
        self.need(",")?;
        let item = self.or()?;
        self.need(")")?;
        Ok(Value::Bool(list.as_array().is_some_and(|list| test(list, &item))))
    }

    /// A field, or a path into one.
    fn field(&mut self, name: &str) -> Parsed {
        let mut value = if name == "$meta" {
            Value::Object(self.record.clone())
        } else {
            self.record.get(name).cloned().unwrap_or_default()
        };
        while self.chars.get(self.at) == Some(&'[') {
            self.at += 1;
            let key = self.or()?;
            self.need("]")?;
            value = match &key {
                Value::String(key) => value.get(key).cloned(),
                key => key.as_u64().and_then(|at| value.get(usize::try_from(at).ok()?).cloned()),
            }
            .unwrap_or_default();
        }
        Ok(value)
    }

    fn name(&mut self) -> Result<String, String> {
        self.space();
        let from = self.at;
        while self.chars.get(self.at).is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$')) {
            self.at += 1;
        }
        if from == self.at {
            return Err(format!("line 1:{from} token recognition error"));
        }
        Ok(self.chars[from..self.at].iter().collect())
    }

    fn literal(&mut self, quote: char) -> Parsed {
        let mut out = String::new();
        self.at += 1;
        loop {
            let c = *self.chars.get(self.at).ok_or("a literal does not end")?;
            self.at += 1;
            match c {
                '\\' => {
                    let next = *self.chars.get(self.at).ok_or("a literal does not end")?;
                    self.at += 1;
                    match next {
                        'n' => out.push('\n'),
                        't' => out.push('\t'),
                        'u' => {
                            let hex: String = self.chars.iter().skip(self.at).take(4).collect();
                            self.at += 4;
                            let code = u32::from_str_radix(&hex, 16).map_err(|_| "a bad escape")?;
                            out.push(char::from_u32(code).ok_or("a bad escape")?);
                        }
                        '"' | '\'' | '\\' => out.push(next),
                        _ => return Err("a bad escape".to_owned()),
                    }
                }
                c if c == quote => return Ok(Value::String(out)),
                '\r' | '\n' => return Err("a literal does not end".to_owned()),
                c => out.push(c),
            }
        }
    }
}

fn both(left: &Value, right: &Value, test: impl Fn(bool, bool) -> bool) -> Parsed {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Ok(Value::Bool(test(*left, *right))),
        _ => Err("logical operators need booleans".to_owned()),
    }
}

fn same(left: &Value, right: &Value) -> bool {
    left == right || left.as_f64().zip(right.as_f64()).is_some_and(|(a, b)| a == b)
}

fn arithmetic(left: &Value, right: &Value, operate: impl Fn(f64, f64) -> f64) -> Parsed {
    if left.is_null() || right.is_null() {
        return Ok(Value::Null);
    }
    left.as_f64()
        .zip(right.as_f64())
        .map(|(a, b)| Value::from(operate(a, b)))
        .ok_or("arithmetic needs numbers".to_owned())
}

fn like(text: &str, pattern: &str) -> bool {
    let mut pattern_chars = pattern.chars();
    match pattern_chars.next() {
        None => text.is_empty(),
        Some('%') => {
            let rest = pattern_chars.as_str();
            (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| like(&text[at..], rest))
        }
        Some('_') => {
            let mut chars = text.chars();
            chars.next().is_some() && like(chars.as_str(), pattern_chars.as_str())
        }
        Some(c) => text.strip_prefix(c).is_some_and(|rest| like(rest, pattern_chars.as_str())),
    }
}
