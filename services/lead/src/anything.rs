//! Leads and filters of any content.
use onekeel_api::Violations;
use onekeel_api::lead::Lead;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::fields::Fields;
use crate::filter::Filter;

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => ".{0,120}",
        1 => ".{0,300}",
        2 => "[ +()0-9A-Za-z.x-]{0,30}",
        2 => "[a-zA-Z.]{1,10}@[a-z.]{1,12}",
    ]
}

prop_compose! {
    fn leads()(
        texts in vec(texts(), 8), status in -1..9_i32, score in -10..200_i32, tags in vec(texts(), 0..25)
    ) -> Lead {
        let mut texts = texts.into_iter();
        let mut text = || texts.next().unwrap_or_default();
        Lead {
            first_name: text(),
            last_name: text(),
            email: text(),
            phone: text(),
            phone_raw: text(),
            company: text(),
            source: text(),
            external_id: text(),
            status,
            score,
            tags,
            ..Lead::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_lead_is_kept_within_its_bounds_or_refused_by_name(lead in leads()) {
        let mut wrong = Violations::new();
        let fields = Fields::check(lead, "lead.", &mut wrong);
        match wrong.into_result() {
            Ok(()) => prop_assert!(fields.size().bytes() < 16 * 1024, "{fields:?}"),
            Err(fault) => {
                let named = fault.violations().iter().all(|(field, _)| field.starts_with("lead."));
                prop_assert!(named && fault.violations().len() <= 64, "{fault:?}");
            }
        }
    }

    #[test]
    fn any_text_filters_leads_or_is_refused(text in prop_oneof![
        ".{0,200}",
        "(status|source|email|phone|external_id|update_time|x) ?(=|<|>=) ?(\"[^\"]{0,10}\"|[A-Z0-9]{1,10})( AND status = NEW)?",
    ]) {
        if let Err(fault) = Filter::read(&text) {
            prop_assert!(fault.violations().iter().all(|(field, _)| field == "filter"), "{fault:?}");
        }
    }
}
