//! The table of [`crate::domain::rules`], row by row. Field, operator and value are written as JSON.

use super::{World, condition, now, scoped};
use crate::domain::rules::{Scope, Segments, Truth};

/// Does the rule hold for properties `{"f": field}`?
fn holds(field: &str, operator: &str, value: &str) -> bool {
    holds_with(field, operator, value, "")
}

/// The same with options, such as `,"ignore_case":true`.
fn holds_with(field: &str, operator: &str, value: &str, options: &str) -> bool {
    let rule = format!(r#"{{"field":"f","operator":"{operator}","value":{value}{options}}}"#);
    rule_holds(&format!(r#"{{"f":{field}}}"#), &rule)
}

fn rule_holds(properties: &str, rule: &str) -> bool {
    let world = World { properties: Some(properties.to_owned()), ..World::default() };
    world.truth(&condition(rule)) == Truth::True
}

/// Every operator with a value that suits it.
const ALL_OPERATORS: [(&str, &str); 20] = [
    ("==", "1"),
    ("!=", "1"),
    (">", "1"),
    (">=", "1"),
    ("<", "1"),
    ("<=", "1"),
    ("contains", "1"),
    ("not_contains", "1"),
    ("in", "[1]"),
    ("not_in", "[1]"),
    ("starts_with", "1"),
    ("ends_with", "1"),
    ("exists", "1"),
    ("not_exists", "1"),
    ("is_true", "1"),
    ("is_false", "1"),
    ("matches", "\"1\""),
    ("before", "1"),
    ("after", "1"),
    ("within_last", "1"),
];

#[track_caller]
fn assert_true(cases: &[(&str, &str, &str)]) {
    for (field, operator, value) in cases {
        assert!(holds(field, operator, value), "{field} {operator} {value} must hold");
    }
}

#[track_caller]
fn assert_false(cases: &[(&str, &str, &str)]) {
    for (field, operator, value) in cases {
        assert!(!holds(field, operator, value), "{field} {operator} {value} must not hold");
    }
}

/// `==` and its opposite `!=`.
#[track_caller]
fn assert_equal(pairs: &[(&str, &str)]) {
    for (field, value) in pairs {
        assert_true(&[(field, "==", value)]);
        assert_false(&[(field, "!=", value)]);
    }
}

#[track_caller]
fn assert_unequal(pairs: &[(&str, &str)]) {
    for (field, value) in pairs {
        assert_true(&[(field, "!=", value)]);
        assert_false(&[(field, "==", value)]);
    }
}

const ORDERING: [&str; 4] = [">", ">=", "<", "<="];

/// None of the ordering operators holds.
#[track_caller]
fn assert_unordered(pairs: &[(&str, &str)]) {
    for (field, value) in pairs {
        assert_false(&ORDERING.map(|operator| (*field, operator, *value)));
    }
}

/// `low` is less than `high`, by all four operators and both ways round.
#[track_caller]
fn assert_ascending(pairs: &[(&str, &str)]) {
    for (low, high) in pairs {
        assert_true(&[(low, "<", high), (low, "<=", high), (high, ">", low), (high, ">=", low)]);
        assert_false(&[(low, ">", high), (low, ">=", high), (high, "<", low), (high, "<=", low)]);
    }
}

#[test]
fn row_1_a_missing_field_is_false_for_every_operator_but_not_exists() {
    for (operator, value) in ALL_OPERATORS {
        let rule = format!(r#"{{"field":"f","operator":"{operator}","value":{value}}}"#);
        assert_eq!(rule_holds(r#"{"F":0}"#, &rule), operator == "not_exists", "{rule}");
        assert_eq!(rule_holds(r#"{"F":0}"#, &format!(r#"{{"not":{rule}}}"#)), operator != "not_exists", "{rule}");
    }
    for operator in ["==", "!=", ">", ">=", "<", "<=", "contains"] {
        for value in ["null", "\"\"", "0", "false"] {
            let rule = format!(r#"{{"field":"f","operator":"{operator}","value":{value}}}"#);
            assert!(!rule_holds(r#"{"F":0}"#, &rule), "{rule}");
        }
    }
}

#[test]
fn row_2_null_is_a_value_that_equals_only_itself() {
    assert_equal(&[("null", "null")]);
    assert_unequal(&[("null", "\"\""), ("null", "0"), ("null", "false"), ("null", "\"null\""), ("0", "null")]);
    assert_unordered(&[("null", "0"), ("null", "-1"), ("null", "\"a\""), ("null", "null"), ("1", "null")]);
    assert_false(&[("null", "contains", "\"nul\""), ("null", "contains", "\"\""), ("\"null\"", "contains", "null")]);
}

#[test]
fn row_3_a_rule_without_a_value_asks_for_null() {
    let rule = r#"{"field":"f","operator":"!="}"#;
    assert!(rule_holds(r#"{"f":""}"#, rule));
    assert!(!rule_holds(r#"{"f":null}"#, rule));
    assert!(!rule_holds("{}", rule));
    assert!(rule_holds(r#"{"f":null}"#, r#"{"field":"f","operator":"=="}"#));
}

#[test]
fn row_4_two_strings_are_equal_as_strings() {
    assert_equal(&[("\"gold\"", "\"gold\""), ("\"\"", "\"\""), (r#""\u00e9""#, "\"é\"")]);
    assert_unequal(&[("\"5.0\"", "\"5\""), ("\"Gold\"", "\"gold\""), ("\" a\"", "\"a\""), ("\"True\"", "true")]);
}

#[test]
fn row_5_numbers_are_equal_by_value_and_never_rounded() {
    assert_equal(&[
        ("5", "5.0"),
        ("0", "-0"),
        ("-0.0", "0"),
        ("1e3", "1000"),
        ("9007199254740993", "9007199254740993"),
    ]);
    assert_unequal(&[
        ("9007199254740993", "9007199254740992"),
        ("9007199254740993", "9007199254740992.0"),
        ("5", "5.01"),
    ]);
    assert_ascending(&[("9007199254740992", "9007199254740993"), ("18446744073709551614", "18446744073709551615")]);
}

#[test]
fn row_6_a_number_equals_the_string_that_spells_its_value() {
    assert_equal(&[
        ("5", "\"5\""),
        ("\"5\"", "5"),
        ("5", "\"5.0\""),
        ("5", "\" 5 \""),
        ("\"05\"", "5"),
        ("0.5", "\".5\""),
    ]);
    assert_equal(&[("9007199254740993", "\"9007199254740993\""), ("\"9007199254740993\"", "9007199254740993")]);
    assert_unequal(&[("5", "\"five\""), ("5", "\"5 apples\""), ("9007199254740993", "\"9007199254740992\"")]);
}

#[test]
fn row_7_blank_text_is_no_number() {
    assert_unequal(&[("0", "\"\""), ("false", "\"\""), ("\"\"", "0"), ("0", "\" \""), ("\"\"", "false")]);
    // An editor that turned the value 0 into "" leaves a rule that any number exceeds.
    assert_true(&[("31", ">", "\"\""), ("\"\"", "<", "40")]);
}

#[test]
fn row_8_booleans_equal_their_words() {
    assert_equal(&[("false", "\"false\""), ("true", "\"true\""), ("\"false\"", "false"), ("true", "true")]);
    assert_unequal(&[
        ("true", "\"True\""),
        ("true", "\"yes\""),
        ("true", "\"false\""),
        ("false", "true"),
        ("true", "\" true\""),
    ]);
}

#[test]
fn row_9_booleans_are_one_and_zero_beside_numbers() {
    assert_equal(&[("true", "1"), ("true", "\"1\""), ("1", "true"), ("\"0\"", "false"), ("false", "0.0")]);
    assert_unequal(&[("true", "2"), ("false", "\"1\"")]);
    assert_ascending(&[("false", "true"), ("true", "1.5"), ("false", "\"0.5\"")]);
}

#[test]
fn row_10_numeric_text_is_decimal() {
    assert_equal(&[("5", "\"+5\""), ("5", "\"5.\""), ("50", "\"5e1\""), ("-5", "\"-005\"")]);
    assert_unequal(&[("16", "\"0x10\""), ("1000", "\"1,000\""), ("1000", "\"1_000\""), ("5", "\"5%\"")]);
    // No number, so compared as text.
    assert_ascending(&[("5", "\"Infinity\""), ("\"1e999\"", "2")]);
}

#[test]
fn row_11_what_converts_to_numbers_is_ordered_by_value() {
    assert_ascending(&[("9", "10"), ("\"9\"", "\"10\""), ("39.99", "\"40\""), ("\"39.99\"", "40"), ("-2", "\"-1.5\"")]);
    assert_true(&[("40", ">=", "\"40.0\""), ("\"40\"", "<=", "\"40.0\"")]);
    assert_false(&[("40", ">", "\"40.0\""), ("\"40\"", "<", "\"40.0\"")]);
}

#[test]
fn row_12_other_scalars_are_ordered_as_text() {
    assert_ascending(&[
        ("\"b10\"", "\"b9\""),
        ("\"2025-11-12T08:00:00Z\"", "\"2025-11-13\""),
        ("\"1.4\"", "\"1.4.2\""),
        ("\"Z\"", "\"a\""),
        ("31", "\"n/a\""),
        ("\"\u{ffff}\"", "\"\u{10000}\""),
    ]);
    assert_true(&[("\"a\"", ">=", "\"a\""), ("\"a\"", "<=", "\"a\"")]);
}

#[test]
fn row_13_arrays_and_objects_have_no_order() {
    assert_unordered(&[
        ("[5]", "3"),
        ("[5]", "5"),
        ("[]", "0"),
        ("[\"b\"]", "\"a\""),
        ("{}", "0"),
        ("{\"a\":1}", "\"a\""),
    ]);
}

#[test]
fn row_14_an_array_of_one_stands_for_its_element() {
    assert_equal(&[("[5]", "\"5\""), ("[\"vip\"]", "\"vip\""), ("[true]", "true"), ("[ null ]", "null")]);
    assert_unequal(&[
        ("[\"a\",\"b\"]", "\"a,b\""),
        ("[\"a\",\"b\"]", "\"a\""),
        ("[]", "\"\""),
        ("[[5]]", "5"),
        ("[5]", "6"),
    ]);
}

#[test]
fn row_15_an_array_contains_its_elements() {
    assert_true(&[
        ("[\"vip\",\"b\"]", "contains", "\"vip\""),
        ("[5,7]", "contains", "\"7\""),
        ("[false]", "contains", "\"false\""),
        ("[1,null]", "contains", "null"),
    ]);
    assert_false(&[
        ("[\"nonvip\",\"b\"]", "contains", "\"vip\""),
        ("[\"vip\",\"b\"]", "contains", "\"p,b\""),
        ("[]", "contains", "\"\""),
        ("[[\"vip\"]]", "contains", "\"vip\""),
        ("[{\"a\":\"vip\"}]", "contains", "\"vip\""),
    ]);
}

#[test]
fn row_16_text_contains_its_parts() {
    assert_true(&[
        ("\"running shoes\"", "contains", "\"shoe\""),
        ("\"abc\"", "contains", "\"\""),
        ("15", "contains", "\"5\""),
        ("\"a5\"", "contains", "5.0"),
        ("1e3", "contains", "\"1000\""),
        ("true", "contains", "\"ru\""),
        (r#""a\"b""#, "contains", r#""\"""#),
    ]);
    assert_false(&[
        ("\"Shoe\"", "contains", "\"shoe\""),
        ("\"a\"", "contains", "\"ab\""),
        ("5.0", "contains", "\".0\""),
    ]);
}

#[test]
fn row_17_an_object_is_like_nothing() {
    assert_unequal(&[("{}", "\"[object Object]\""), ("{\"a\":1}", "1"), ("{}", "null"), ("{}", "\"\"")]);
    assert_false(&[("{\"city\":\"Pune\"}", "contains", "\"city\""), ("{}", "contains", "\"\"")]);
}

#[test]
fn row_18_the_lookup_prefers_the_literal_key_and_is_case_sensitive() {
    let rule = r#"{"field":"a.b","operator":"==","value":1}"#;
    assert!(rule_holds(r#"{"a.b":1}"#, rule));
    assert!(rule_holds(r#"{"a":{"b":1}}"#, rule));
    assert!(!rule_holds(r#"{"a.b":0,"a":{"b":1}}"#, rule));
    assert!(!rule_holds(r#"{"A.B":1,"A":{"B":1}}"#, rule));
    assert!(!rule_holds(r#"{"a":[{"b":1}]}"#, rule));
    assert!(rule_holds(r#"{"a.b":0,"a.b":1}"#, rule));
    assert!(!rule_holds(r#"{"a.b":1,"a.b":0}"#, rule));
    assert!(rule_holds(r#"{"a":{"b":0,"b":1}}"#, rule));
    let deep = r#"{"field":"a.b.c.d","operator":"==","value":1}"#;
    assert!(rule_holds(r#"{"a":{"b.c":{"d":0},"b":{"c.d":1}}}"#, deep));
    assert!(!rule_holds(r#"{"a.b":{"c.d":1}}"#, deep), "only the first dot is descended at");
}

#[test]
fn row_19_what_cannot_be_decoded_is_as_good_as_missing() {
    for field in [r#""\ud800""#, "1e999"] {
        for (operator, value) in ALL_OPERATORS {
            assert_eq!(holds(field, operator, value), operator == "not_exists", "{field} {operator}");
        }
    }
    assert!(!holds(r#"["\ud800"]"#, "contains", "\"\""));
}

#[test]
fn row_20_what_is_there_and_not_null_exists() {
    for (field, exists) in
        [("1", true), ("\"\"", true), ("[]", true), ("{}", true), ("false", true), ("[null]", true), ("null", false)]
    {
        assert_eq!(holds(field, "exists", "{}"), exists, "{field}");
        assert_eq!(holds(field, "not_exists", "[[]]"), !exists, "{field}");
    }
    assert!(rule_holds("{}", r#"{"field":"f","operator":"not_exists"}"#));
    assert!(!rule_holds("{}", r#"{"field":"f","operator":"exists"}"#));
}

#[test]
fn row_21_truth_is_what_equals_true() {
    for field in ["true", "\"true\"", "1", "\"1\"", "1.0", "[true]"] {
        assert!(holds(field, "is_true", "{}") && !holds(field, "is_false", "null"), "{field}");
    }
    for field in ["false", "\"false\"", "0", "\"0\"", "[false]"] {
        assert!(holds(field, "is_false", "{}") && !holds(field, "is_true", "null"), "{field}");
    }
    for field in ["null", "\"\"", "\"yes\"", "\"True\"", "2", "[]", "{}", "[true,true]"] {
        assert!(!holds(field, "is_false", "1") && !holds(field, "is_true", "1"), "{field}");
    }
}

#[test]
fn row_22_the_negatives_hold_for_any_other_field_that_is_there() {
    assert_true(&[
        ("\"abc\"", "not_contains", "\"x\""),
        ("[\"vip\"]", "not_contains", "\"vi\""),
        ("null", "not_contains", "\"x\""),
        ("{\"x\":1}", "not_contains", "\"x\""),
        ("\"a\"", "not_in", "[\"b\"]"),
        ("\"a\"", "not_in", "[]"),
        ("null", "not_in", "[\"b\"]"),
        ("{}", "not_in", "[\"b\"]"),
    ]);
    assert_false(&[
        ("\"abc\"", "not_contains", "\"b\""),
        ("[\"vip\"]", "not_contains", "\"vip\""),
        ("\"a\"", "not_in", "[\"b\",\"a\"]"),
        ("null", "not_in", "[null]"),
        ("[\"x\",\"a\"]", "not_in", "[\"a\"]"),
    ]);
}

#[test]
fn row_23_in_is_equal_to_one_of_a_list() {
    assert_true(&[
        ("5", "in", "[\"4\",\"5.0\"]"),
        ("\"5\"", "in", "[5]"),
        ("true", "in", "[\"true\"]"),
        ("null", "in", "[null]"),
        ("[\"x\",\"b\"]", "in", "[\"a\",\"b\"]"),
        ("[7]", "in", "[7]"),
    ]);
    assert_false(&[
        ("5", "in", "[]"),
        ("5", "in", "[\"\",null,6]"),
        ("\"Gold\"", "in", "[\"gold\"]"),
        ("[]", "in", "[null]"),
        ("[[\"a\"]]", "in", "[\"a\"]"),
        ("{}", "in", "[\"\"]"),
    ]);
}

#[test]
fn row_24_text_starts_and_ends() {
    assert_true(&[
        ("\"running shoes\"", "starts_with", "\"run\""),
        ("\"running shoes\"", "ends_with", "\"shoes\""),
        ("\"\"", "starts_with", "\"\""),
        ("1500.0", "starts_with", "15"),
        ("1500.0", "ends_with", "\"00\""),
        ("true", "starts_with", "\"t\""),
        ("[\"a\",\"bc\"]", "starts_with", "\"b\""),
        ("[\"a\",\"bc\"]", "ends_with", "\"c\""),
    ]);
    assert_false(&[
        ("\"Running\"", "starts_with", "\"run\""),
        ("\"running\"", "ends_with", "\"run\""),
        ("1500.0", "ends_with", "\".0\""),
        ("null", "starts_with", "\"\""),
        ("{}", "ends_with", "\"\""),
        ("[]", "starts_with", "\"\""),
        ("[[\"b\"]]", "starts_with", "\"b\""),
    ]);
}

#[test]
fn row_25_a_pattern_is_found_anywhere() {
    assert_true(&[
        ("\"red shoes\"", "matches", "\"sho?e\""),
        ("\"red\"", "matches", "\"^r.d$\""),
        ("\"é\"", "matches", "\"^.$\""),
        ("1500.0", "matches", "\"^1500$\""),
        ("true", "matches", "\"^t\""),
        ("[\"a\",\"vip-7\"]", "matches", r#""^vip-\\d$""#),
        ("\"a\\nb\"", "matches", "\"(?m)^b$\""),
    ]);
    assert_false(&[
        ("\"Red\"", "matches", "\"red\""),
        ("null", "matches", "\"\""),
        ("{}", "matches", "\"\""),
        ("[]", "matches", "\"\""),
        (&format!("\"{}\"", "a".repeat(16 * 1024 + 1)), "matches", "\"a\""),
    ]);
}

#[test]
fn row_26_case_may_be_ignored() {
    for (field, operator, value) in [
        ("\"GOLD\"", "==", "\"gold\""),
        ("\"gold\"", "==", "\"Gold\""),
        ("\"ÉTÉ\"", "==", "\"été\""),
        ("\"True\"", "==", "true"),
        ("\"TRUE\"", "is_true", "null"),
        ("\"B\"", ">", "\"a\""),
        ("\"Red Shoes\"", "contains", "\"SHOE\""),
        ("[\"VIP\"]", "contains", "\"vip\""),
        ("\"Red\"", "starts_with", "\"rE\""),
        ("\"Red\"", "ends_with", "\"ED\""),
        ("\"Gold\"", "in", "[\"silver\",\"GOLD\"]"),
        ("\"Red\"", "matches", "\"^RED$\""),
    ] {
        assert!(holds_with(field, operator, value, r#","ignore_case":true"#), "{field} {operator} {value}");
        assert!(!holds_with(field, operator, value, r#","ignore_case":false"#), "{field} {operator} {value}");
    }
    assert!(!holds_with("\"Red\"", "not_contains", "\"RE\"", r#","ignore_case":true"#));
    assert!(!holds_with("\"Gold\"", "not_in", "[\"gold\"]", r#","ignore_case":true"#));
    assert!(!holds_with("\"straße\"", "==", "\"strasse\"", r#","ignore_case":true"#));
    assert!(!rule_holds(r#"{"F":1}"#, r#"{"field":"f","operator":"exists","ignore_case":true}"#));
    assert!(holds_with("\"A\"", "matches", "\"(?-i)A\"", r#","ignore_case":true"#), "the field itself is not folded");
    let time = r#","ignore_case":true,"compare":"time""#;
    assert!(holds_with("\"2026-01-01T00:00:00Z\"", "==", "\"2026-01-01T01:00:00+01:00\"", time));
}

/// Field, operator, value, and does it hold?
#[track_caller]
fn assert_compared(compare: &str, cases: &[(&str, &str, &str, bool)]) {
    for (field, operator, value, expected) in cases {
        let found = holds_with(field, operator, value, &format!(r#","compare":"{compare}""#));
        assert_eq!(found, *expected, "{field} {operator} {value} as {compare}");
    }
}

#[test]
fn row_27_what_cannot_be_compared_as_asked_is_unequal_and_without_order() {
    for (compare, value) in
        [("number", "5"), ("version", "\"1.2\""), ("time", "\"2026-01-01\""), ("time", "1763201218")]
    {
        for field in ["\"soon\"", "null", "\"\"", "{}", "[]", "[\"x\",5]"] {
            assert_compared(
                compare,
                &[(field, "==", value, false), (field, "!=", value, true), (field, ">", value, false)],
            );
            assert_compared(compare, &[(field, "<=", value, false), (field, ">=", value, false)]);
        }
        assert_compared(compare, &[("\"soon\"", "not_in", &format!("[{value}]"), true)]);
        assert_compared(compare, &[("\"soon\"", "in", &format!("[{value}]"), false)]);
    }
    // The others disregard it.
    for (field, operator, value) in [
        ("\"abc\"", "contains", "\"b\""),
        ("\"abc\"", "starts_with", "\"a\""),
        ("\"abc\"", "matches", "\"b\""),
        ("\"true\"", "is_true", "null"),
        ("\"abc\"", "exists", "null"),
        ("\"2026-01-01\"", "before", "\"2026-01-02\""),
    ] {
        assert_compared("number", &[(field, operator, value, true)]);
    }
    assert_compared("auto", &[("5", "==", "\"5\"", true)]);
}

#[test]
fn row_28_compared_as_text() {
    assert_compared(
        "text",
        &[
            ("\"10\"", "<", "\"9\"", true),
            ("10", "<", "9", true),
            ("5.0", "==", "\"5\"", true),
            ("5", "==", "\"05\"", false),
            ("\"5.0\"", "==", "5", false),
            ("true", "==", "\"true\"", true),
            ("true", "==", "1", false),
            ("[\"a\"]", "==", "\"a\"", true),
            ("[\"a\"]", "<", "\"b\"", false),
            ("\"05\"", "in", "[5,\"05\"]", true),
            ("null", "==", "\"\"", false),
        ],
    );
}

#[test]
fn row_29_compared_as_numbers() {
    assert_compared(
        "number",
        &[
            ("\"5.0\"", "==", "\"5\"", true),
            ("\"10\"", ">", "\"9\"", true),
            ("\" 7 \"", ">=", "7", true),
            ("true", "==", "\"1\"", true),
            ("\"abc\"", ">", "\"1\"", false),
            ("[\"5\"]", "==", "5.0", true),
            ("9007199254740993", "==", "\"9007199254740992\"", false),
            ("\"1e3\"", "in", "[\"1000\"]", true),
        ],
    );
}

#[test]
fn row_30_compared_as_versions() {
    assert_compared(
        "version",
        &[
            ("\"2.10.1\"", ">", "\"2.9\"", true),
            ("\"v2.9.0\"", "==", "\"2.9\"", true),
            ("\"2.9.0-rc.1\"", "<", "\"2.9\"", true),
            ("\"2.9.0-RC.1\"", "==", "\"2.9-rc.1\"", false),
            ("\"2.9+build5\"", "==", "\"2.9\"", true),
            ("\"2.9\"", "in", "[\"1.0\",\"2.9.0\"]", true),
            ("3", ">=", "\"2.9\"", true),
            ("2.10", "==", "\"2.1\"", true),
            ("true", "==", "\"1\"", false),
        ],
    );
    let folded = r#","compare":"version","ignore_case":true"#;
    assert!(holds_with("\"V2.9.0-RC.1\"", "==", "\"2.9-rc.1\"", folded));
}

#[test]
fn row_31_compared_as_times() {
    assert_compared(
        "time",
        &[
            ("\"2026-01-31T18:00:00+05:30\"", "==", "\"2026-01-31T12:30:00Z\"", true),
            ("\"2026-01-31\"", "==", "\"2026-01-31T00:00:00Z\"", true),
            ("\"2026-01-31T18:00:00\"", "<", "\"2026-01-31T18:00:01Z\"", true),
            ("1763201218", "==", "\"2025-11-15T10:06:58Z\"", true),
            ("1763201218000", "==", "\"1763201218\"", true),
            ("99999999999", ">", "100000000000", true),
            ("\"1965-04-12\"", "<", "\"2008-01-01\"", true),
            ("true", "!=", "\"2026-01-31\"", true),
            ("[\"2026-01-31\"]", "in", "[\"2026-01-31T00:00:00+00:00\"]", true),
        ],
    );
}

#[test]
fn row_32_before_and_after() {
    let noon = "\"2026-01-31T12:00:00Z\"";
    assert_true(&[
        ("\"2026-01-31T17:29:59+05:30\"", "before", noon),
        ("\"2026-01-31T12:00:00.000001Z\"", "after", noon),
        ("\"2026-01-31\"", "before", noon),
        ("1763201218", "before", noon),
    ]);
    assert_false(&[
        (noon, "before", noon),
        (noon, "after", noon),
        ("\"soon\"", "before", noon),
        ("\"soon\"", "after", noon),
        ("null", "before", noon),
        ("true", "before", noon),
        ("[\"2020-01-01\"]", "before", noon),
        ("{}", "after", noon),
    ]);
}

#[test]
fn row_33_within_the_last() {
    let seconds_ago = |seconds: i64| (now().timestamp() - seconds).to_string();
    for (value, seconds) in [
        ("\"90s\"", 90),
        ("\"30m\"", 1_800),
        ("\"24h\"", 86_400),
        ("\"7d\"", 604_800),
        ("\"2w\"", 1_209_600),
        ("60", 60),
    ] {
        assert!(holds(&seconds_ago(seconds - 1), "within_last", value), "{value}");
        assert!(!holds(&seconds_ago(seconds), "within_last", value), "{value}");
    }
    assert!(holds(&seconds_ago(-300), "within_last", "60"));
    assert!(!holds(&seconds_ago(-301), "within_last", "60"));
    assert!(holds("\"2027-01-15T07:59:59Z\"", "within_last", "60"));
    assert_false(&[
        ("\"soon\"", "within_last", "60"),
        ("null", "within_last", "60"),
        ("[1800000000]", "within_last", "60"),
    ]);
}

#[test]
fn row_34_membership_of_a_segment() {
    let gold = scoped(r#"{"type":"trait","field":"tier","operator":"==","value":"gold"}"#, Scope::Segment);
    let segments: Segments = [("s".to_owned(), gold)].into_iter().collect();
    let mut world = World { segments, ..World::default() };
    let truth = |world: &World, rest: &str| world.truth(&condition(&format!(r#"{{"type":"segment",{rest}}}"#)));
    for (traits, inside) in [(r#"{"tier":"gold"}"#, Truth::True), ("{}", Truth::False)] {
        world.traits = Some(traits.to_owned());
        assert_eq!(truth(&world, r#""segment":"s""#), inside);
        assert_eq!(truth(&world, r#""value":"s","operator":"in""#), inside);
        assert_eq!(truth(&world, r#""segment":"s","operator":"not_in""#), !inside);
        for operator in ["in", "not_in"] {
            assert_eq!(truth(&world, &format!(r#""segment":"gone","operator":"{operator}""#)), Truth::False);
        }
    }
    world.traits = None;
    assert_eq!(truth(&world, r#""segment":"s","operator":"not_in""#), Truth::Unknown);
}

#[test]
fn row_35_how_often_something_was_done() {
    let mut world = World::default();
    let truth = |world: &World, rest: &str| {
        world.truth(&condition(&format!(r#"{{"type":"event_count","event":"opened",{rest}}}"#)))
    };
    for count in 0..=5 {
        world.counts.insert(("opened".into(), None), count);
        for (operator, expected) in [
            ("==", count == 3),
            ("!=", count != 3),
            (">", count > 3),
            (">=", count >= 3),
            ("<", count < 3),
            ("less_than_or_equals", count <= 3),
        ] {
            let found = truth(&world, &format!(r#""operator":"{operator}","value":3"#));
            assert_eq!(found, Truth::from(expected), "{count} {operator} 3");
        }
        assert_eq!(truth(&world, r#""value":"3""#), Truth::from(count >= 3), "at least, when nothing is said");
        assert_eq!(truth(&world, r#""value":1000,"operator":">""#), Truth::False);
        assert_eq!(truth(&world, r#""value":3,"within":"7d""#), Truth::Unknown, "another window is another count");
    }
    world.counts.insert(("opened".into(), Some(604_800)), 3);
    assert_eq!(truth(&world, r#""value":3,"within":"7d""#), Truth::True);
}

const UNKNOWN: &str = r#"{"type":"context","field":"f","operator":"exists"}"#;
const YES: &str = r#"{"type":"trait","field":"f","operator":"not_exists"}"#;
const NO: &str = r#"{"type":"trait","field":"f","operator":"exists"}"#;

#[test]
fn row_36_what_is_not_known_decides_only_where_nothing_else_does() {
    let world = World { properties: None, context: None, ..World::default() };
    for (rules, expected) in [
        (UNKNOWN.to_owned(), Truth::Unknown),
        (r#"{"field":"f","operator":"not_exists"}"#.to_owned(), Truth::Unknown),
        (r#"{"type":"event_count","event":"e","value":0}"#.to_owned(), Truth::Unknown),
        (format!(r#"{{"not":{UNKNOWN}}}"#), Truth::Unknown),
        (format!("{UNKNOWN},{YES}"), Truth::Unknown),
        (format!("{UNKNOWN},{NO}"), Truth::False),
        (format!(r#"{{"any":[{UNKNOWN},{YES}]}}"#), Truth::True),
        (format!(r#"{{"any":[{NO},{UNKNOWN}]}}"#), Truth::Unknown),
        (format!(r#"{{"not":{{"all":[{UNKNOWN},{NO}]}}}}"#), Truth::True),
    ] {
        assert_eq!(world.truth(&condition(&rules)), expected, "{rules}");
    }
    let no_traits = World { traits: None, ..World::default() };
    assert_eq!(no_traits.truth(&condition(YES)), Truth::Unknown);
}

#[test]
fn row_37_groups_are_those_of_logic() {
    for (rules, expected) in [
        (String::new(), true),
        (r#"{"all":[]}"#.to_owned(), true),
        (r#"{"not":{"all":[]}}"#.to_owned(), false),
        (format!(r#"{{"all":[{YES},{NO}]}}"#), false),
        (format!(r#"{{"any":[{NO},{YES}]}}"#), true),
        (format!(r#"{{"any":[{NO},{{"all":[{YES},{{"not":{NO}}}]}}]}}"#), true),
        (format!(r#"{{"not":{{"any":[{NO},{NO}]}}}}"#), true),
        (format!(r#"{{"not":{{"not":{YES}}}}}"#), true),
        (format!("{YES},{NO}"), false),
    ] {
        assert_eq!(World::default().truth(&condition(&rules)), Truth::from(expected), "{rules}");
    }
}

#[test]
fn row_38_every_alias_means_what_its_operator_means() {
    let same: [(&[&str], &str, &str); 11] = [
        (&["==", "equals", "eq", "is"], "5", "5"),
        (&["!=", "not_equals", "neq", "is_not"], "5", "6"),
        (&[">", "greater_than", "gt"], "6", "5"),
        (&[">=", "greater_than_or_equal", "greater_than_or_equals", "gte"], "5", "5"),
        (&["<", "less_than", "lt"], "4", "5"),
        (&["<=", "less_than_or_equal", "less_than_or_equals", "lte"], "5", "5"),
        (&["contains"], "\"ab\"", "\"b\""),
        (&["not_contains", "does_not_contain"], "\"ab\"", "\"x\""),
        (&["exists", "set", "is_set"], "5", "\"\""),
        (&["not_exists", "not_set", "is_not_set"], "null", "\"\""),
        (&["matches", "regex"], "\"ab\"", "\"^a\""),
    ];
    for (spellings, field, value) in same {
        for spelling in spellings {
            assert!(holds(field, spelling, value), "{field} {spelling} {value}");
        }
    }
    assert_false(&[("5", "neq", "5"), ("5", "gt", "5"), ("5", "lt", "5"), ("4", "gte", "5"), ("6", "lte", "5")]);
}
