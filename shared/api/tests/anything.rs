//! What callers may send is anything at all: it is read, or refused by the name of its field, and nothing panics.
use onekeel_api::filter::{Comparison, TimeRange, comparisons};
use onekeel_api::structure::to_json;
use onekeel_api::trace::{TraceContext, parse_state};
use onekeel_api::{ClientId, ErrorReason, Etag, Fault, LeadId, PageKey, Violations};
use proptest::collection::vec;
use proptest::prelude::*;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

const LARGEST: usize = 4096;

/// Fails unless the fault blames `field`.
fn blames(fault: &Fault, field: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(fault.reason(), ErrorReason::InvalidArgument);
    prop_assert!(
        fault.violations().iter().all(|(named, _)| named == field),
        "{:?}",
        fault
    );
    prop_assert!(!fault.violations().is_empty());
    Ok(())
}

fn key() -> PageKey {
    PageKey::new(b"a secret of at least thirty-two bytes")
}

/// A part of any shape, deeper than is allowed as well.
fn parts() -> impl Strategy<Value = Struct> {
    let leaf = prop_oneof![
        Just(Kind::NullValue(0)),
        any::<bool>().prop_map(Kind::BoolValue),
        any::<f64>().prop_map(Kind::NumberValue),
        ".{0,40}".prop_map(Kind::StringValue),
    ];
    let value = leaf.prop_map(|kind| Value { kind: Some(kind) });
    let nested = value.prop_recursive(12, 64, 4, |inner| {
        let list = vec(inner.clone(), 0..4).prop_map(|values| Kind::ListValue(ListValue { values }));
        let fields = proptest::collection::btree_map(".{0,10}", inner, 0..4);
        let object = fields.prop_map(|fields| Kind::StructValue(Struct { fields }));
        prop_oneof![list, object].prop_map(|kind| Value { kind: Some(kind) })
    });
    proptest::collection::btree_map(".{0,10}", nested, 0..4).prop_map(|fields| Struct { fields })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_a_filter_or_is_refused(text in prop_oneof![".{0,1100}", "[a-z\"\\\\=<> AND0-9:.-]{0,200}"]) {
        match comparisons(&text) {
            Ok(read) => prop_assert!(read.len() <= text.len() / 3 + 1),
            Err(fault) => blames(&fault, "filter")?,
        }
    }

    #[test]
    fn what_is_written_as_a_filter_is_read_as_it_was(
        written in vec(("[a-z_]{1,12}", "=|<|<=|>|>=", "[^\u{0}]{0,20}"), 0..6)
    ) {
        prop_assume!(written.iter().all(|(field, ..)| field != "AND"));
        let text: Vec<String> = written
            .iter()
            .map(|(field, operator, value)| {
                format!("{field} {operator} \"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
            })
            .collect();
        let expected: Vec<Comparison> = written
            .into_iter()
            .map(|(field, operator, value)| Comparison { field, operator, value })
            .collect();
        prop_assert_eq!(comparisons(&text.join(" AND ")).expect("a filter"), expected);
    }

    #[test]
    fn any_time_bounds_a_list_or_is_refused(operator in "=|<|<=|>|>=", value in prop_oneof![
        ".{0,40}",
        "[0-9]{4,6}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,12})?(Z|[+-][0-9]{2}:[0-9]{2})",
    ]) {
        let comparison = Comparison { field: "update_time".to_owned(), operator, value };
        if let Err(fault) = TimeRange::default().add(&comparison) {
            blames(&fault, "filter")?;
        }
    }

    #[test]
    fn any_text_is_no_page_token(size in any::<i32>(), token in prop_oneof![".{1,300}", "[A-Za-z0-9_-]{1,300}"]) {
        match key().page(ClientId::new_v7(), "leads", size, &token) {
            Ok(_) => prop_assert!(false, "{token} was made up and is taken"),
            Err(fault) => blames(&fault, if size < 0 { "page_size" } else { "page_token" })?,
        }
    }

    #[test]
    fn a_page_token_opens_unless_a_character_of_it_changes(
        scope in ".{0,40}", position in vec(any::<u8>(), 0..60), place in any::<prop::sample::Index>(), to in "[A-Za-z0-9_-]"
    ) {
        let client = ClientId::new_v7();
        let token = key().sign(client, &scope, &position);
        prop_assert_eq!(key().open(client, &scope, &token).expect("its own"), position);
        let mut changed: Vec<char> = token.chars().collect();
        let place = place.index(changed.len());
        changed[place] = to.chars().next().expect("one character");
        let changed: String = changed.into_iter().collect();
        prop_assume!(changed != token);
        prop_assert!(key().open(client, &scope, &changed).is_err(), "{} for {}", changed, token);
    }

    #[test]
    fn any_header_is_a_trace_or_none(header in prop_oneof![".{0,80}", "0[01]-[0-9a-f]{32}-[0-9a-f]{16}-0[01]"]) {
        if let Some(context) = TraceContext::parse(&header) {
            prop_assert_ne!(context.trace_id.0, 0);
            prop_assert_eq!(TraceContext::parse(&context.to_string()), Some(context));
        }
    }

    #[test]
    fn any_state_is_passed_on_within_its_bound(headers in vec(".{0,300}", 0..8)) {
        if let Some(state) = parse_state(headers.iter().map(String::as_str)) {
            prop_assert!(state.len() <= 512);
        }
    }

    #[test]
    fn any_text_is_an_id_or_is_refused(text in prop_oneof![".{0,60}", "[0-9a-f-]{30,40}"]) {
        match LeadId::parse("id", &text) {
            Ok(id) => prop_assert_eq!(LeadId::parse("id", &id.to_string()).expect("its own text"), id),
            Err(fault) => blames(&fault, "id")?,
        }
        if let Err(fault) = Etag::read(&text) {
            prop_assert_eq!(fault.reason(), ErrorReason::EtagMismatch);
        }
    }

    #[test]
    fn any_part_is_json_within_its_bounds_or_is_refused(part in parts()) {
        let mut wrong = Violations::new();
        let json = to_json(Some(part), "settings", LARGEST, &mut wrong);
        match wrong.into_result() {
            Ok(()) => prop_assert!(json.to_string().len() <= LARGEST),
            Err(fault) => blames(&fault, "settings")?,
        }
    }
}
