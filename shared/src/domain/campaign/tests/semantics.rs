//! The table of [`crate::domain::campaign`], row by row. Field, operator and value are written as JSON.

use super::{catalog, matched};

/// Does the rule hold for properties `{"f": field}`?
fn holds(field: &str, operator: &str, value: &str) -> bool {
    rule_holds(&format!(r#"{{"f":{field}}}"#), &format!(r#"{{"field":"f","operator":"{operator}","value":{value}}}"#))
}

fn rule_holds(properties: &str, rule: &str) -> bool {
    let campaigns = catalog(&[format!(r#"{{"status":"active","trigger":"t","rules":[{rule}]}}"#)]);
    assert_eq!(campaigns.inert(), [], "{rule}");
    !matched(&campaigns, "t", "{}", properties).is_empty()
}

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
fn row_1_a_missing_field_is_false_for_every_operator() {
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
fn row_18_the_lookup_is_flat_and_case_sensitive() {
    let rule = r#"{"field":"a.b","operator":"==","value":1}"#;
    assert!(rule_holds(r#"{"a.b":1}"#, rule));
    assert!(!rule_holds(r#"{"a":{"b":1}}"#, rule));
    assert!(!rule_holds(r#"{"A.B":1}"#, rule));
    assert!(rule_holds(r#"{"a.b":0,"a.b":1}"#, rule));
    assert!(!rule_holds(r#"{"a.b":1,"a.b":0}"#, rule));
}

#[test]
fn row_19_what_cannot_be_decoded_is_as_good_as_missing() {
    for field in [r#""\ud800""#, "1e999"] {
        for operator in ["==", "!=", ">", "<", "contains"] {
            assert!(!holds(field, operator, "\"\""), "{field} {operator}");
        }
    }
    assert!(!holds(r#"["\ud800"]"#, "contains", "\"\""));
}
