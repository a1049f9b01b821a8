//! Free-form parts of a resource: bounded on the way in, JSON in the database.
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use crate::Violations;

const DEEPEST: usize = 8;

/// A free-form part as JSON. One that is larger than `largest` bytes as JSON, deeper than 8 levels, or holds a number
/// that JSON cannot say, is a violation of `field`.
pub fn to_json(part: Option<Struct>, field: &str, largest: usize, wrong: &mut Violations) -> serde_json::Value {
    let part = part.unwrap_or_default();
    let Some(json) = object(part, DEEPEST) else {
        wrong.add(
            field,
            format!("must be at most {DEEPEST} levels deep, with finite numbers only"),
        );
        return serde_json::Value::Object(serde_json::Map::new());
    };
    wrong.check(
        json.to_string().len() <= largest,
        field,
        format!("must be at most {largest} bytes as JSON"),
    );
    json
}

fn object(part: Struct, levels: usize) -> Option<serde_json::Value> {
    let deeper = levels.checked_sub(1)?;
    let fields = part
        .fields
        .into_iter()
        .map(|(name, value)| Some((name, json(value, deeper)?)));
    Some(serde_json::Value::Object(fields.collect::<Option<_>>()?))
}

fn json(value: Value, levels: usize) -> Option<serde_json::Value> {
    Some(match value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(value)) => value.into(),
        Some(Kind::NumberValue(value)) => serde_json::Number::from_f64(value)?.into(),
        // PostgreSQL's jsonb cannot hold this character.
        Some(Kind::StringValue(value)) if value.contains('\0') => return None,
        Some(Kind::StringValue(value)) => value.into(),
        Some(Kind::ListValue(list)) => {
            let deeper = levels.checked_sub(1)?;
            let values = list.values.into_iter().map(|value| json(value, deeper));
            serde_json::Value::Array(values.collect::<Option<_>>()?)
        }
        Some(Kind::StructValue(part)) => object(part, levels)?,
    })
}

/// A free-form part as the contract sends it; `None` for an empty one, and for JSON that is no object.
pub fn from_json(json: serde_json::Value) -> Option<Struct> {
    match json {
        serde_json::Value::Object(fields) if !fields.is_empty() => Some(Struct {
            fields: fields.into_iter().map(|(name, json)| (name, value(json))).collect(),
        }),
        _ => None,
    }
}

fn value(json: serde_json::Value) -> Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(value),
        serde_json::Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or_default()),
        serde_json::Value::String(value) => Kind::StringValue(value),
        serde_json::Value::Array(values) => Kind::ListValue(ListValue {
            values: values.into_iter().map(value).collect(),
        }),
        object @ serde_json::Value::Object(_) => Kind::StructValue(from_json(object).unwrap_or_default()),
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, kind: Kind) -> Struct {
        Struct {
            fields: [(name.to_owned(), Value { kind: Some(kind) })].into(),
        }
    }

    #[test]
    fn a_part_comes_back_as_it_went() {
        let list = Kind::ListValue(ListValue {
            values: vec![
                value(1.5.into()),
                value("ä".into()),
                value(true.into()),
                value(serde_json::Value::Null),
            ],
        });
        let sent = part("inner", Kind::StructValue(part("list", list)));
        let mut wrong = Violations::new();
        let json = to_json(Some(sent.clone()), "custom", 100, &mut wrong);
        assert!(wrong.list().is_empty());
        assert_eq!(from_json(json), Some(sent));
        assert_eq!(from_json(to_json(None, "custom", 100, &mut wrong)), None);
    }

    #[test]
    fn what_is_too_deep_too_large_or_no_json_is_a_violation() {
        let mut deep = part("x", Kind::BoolValue(true));
        for _ in 0..DEEPEST {
            deep = part("x", Kind::StructValue(deep));
        }
        for bad in [
            deep,
            part("x", Kind::NumberValue(f64::NAN)),
            part("x", Kind::StringValue("\0".to_owned())),
            part("x", Kind::StringValue("y".repeat(100))),
        ] {
            let mut wrong = Violations::new();
            to_json(Some(bad.clone()), "custom", 100, &mut wrong);
            assert_eq!(wrong.list().len(), 1, "{bad:?}");
        }
    }
}
