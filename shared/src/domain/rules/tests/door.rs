//! What may be saved, what is refused and how it is named.

use super::{condition, document};
use crate::domain::rules::{Fault, Scope, read};

fn faults_in(text: &str, scope: Scope) -> Vec<Fault> {
    let mut faults = Vec::new();
    read(&document(text), scope, &mut faults);
    faults
}

/// Paths and codes of the faults in `{"rules": rules}`.
fn faults(rules: &str) -> Vec<(String, &'static str)> {
    let faults = faults_in(&format!(r#"{{"rules":{rules}}}"#), Scope::Campaign);
    faults.into_iter().map(|fault| (fault.field, fault.code)).collect()
}

/// Of one rule with this inside.
fn rule_faults(inside: &str) -> Vec<(String, &'static str)> {
    faults(&format!("[{{{inside}}}]"))
}

fn fault(field: &str, code: &'static str) -> (String, &'static str) {
    (field.to_owned(), code)
}

#[test]
fn paths_lead_through_groups() {
    let bad = r#"{"field":"f","operator":"=~"}"#;
    let rules = format!(r#"[{{"any":[{{"not":{bad}}},{bad}]}},{{"not":{{"all":[{bad},null]}}}},{bad}]"#);
    assert_eq!(
        faults(&rules),
        [
            fault("rules[0].any[0].not.operator", "unknown_value"),
            fault("rules[0].any[1].operator", "unknown_value"),
            fault("rules[1].not.all[0].operator", "unknown_value"),
            fault("rules[1].not.all[1]", "wrong_type"),
            fault("rules[2].operator", "unknown_value"),
        ]
    );
    assert_eq!(faults(&format!(r#"{{"all":[{bad}]}}"#)), [fault("rules.all[0].operator", "unknown_value")]);
}

#[test]
fn an_unknown_operator_is_told_all_there_are() {
    let faults = faults_in(r#"{"rules":[{"field":"f","operator":"=~","value":1}]}"#, Scope::Campaign);
    assert_eq!(
        faults[0].to_string(),
        concat!(
            r#"rules[0].operator is "=~"; it must be one of == != > >= < <= contains not_contains in not_in "#,
            "starts_with ends_with exists not_exists is_true is_false matches before after within_last"
        )
    );
    for spelling in ["Equals", "", " ==", "isSet", "===", "=", "between", "IN"] {
        let found = rule_faults(&format!(r#""field":"f","operator":"{spelling}","value":1"#));
        assert_eq!(found, [fault("rules[0].operator", "unknown_value")], "{spelling}");
    }
}

#[test]
fn groups_are_refused_when_they_are_not_clear() {
    let rule = r#"{"field":"f","operator":"exists"}"#;
    for (rules, expected) in [
        (r#"[{"any":[]}]"#.to_owned(), fault("rules[0].any", "required")),
        (r#"[{"any":{}}]"#.to_owned(), fault("rules[0].any", "wrong_type")),
        (format!(r#"[{{"not":[{rule}]}}]"#), fault("rules[0].not", "wrong_type")),
        (format!(r#"[{{"all":[{rule}],"any":[{rule}]}}]"#), fault("rules[0]", "ambiguous")),
        (format!(r#"[{{"all":[{rule}],"field":"f"}}]"#), fault("rules[0]", "ambiguous")),
        (r#"{"field":"f","operator":"exists"}"#.to_owned(), fault("rules", "wrong_type")),
        ("\"[]\"".to_owned(), fault("rules", "wrong_type")),
    ] {
        assert_eq!(faults(&rules), [expected], "{rules}");
    }
    assert_eq!(faults(&format!(r#"[{{"id":7,"name":"either","any":[{rule}],"not":null}}]"#)), []);
}

#[test]
fn artefacts_are_dropped_at_the_top_level_only() {
    let artefact = r#"{"id":1,"type":"event","field":"unknown","operator":"==","value":""}"#;
    let text = format!(r#"{{"rules":[{artefact},{{"any":[{artefact}]}},{artefact}]}}"#);
    let (document, mut faults) = (document(&text), Vec::new());
    let found = read(&document, Scope::Campaign, &mut faults);
    assert_eq!((found.artefacts, found.kept.len(), found.rewritten, faults.len()), (2, 1, true, 0));
    let mut cleaned = document.clone();
    found.clean(&mut cleaned).unwrap();
    assert_eq!(cleaned.get("rules").unwrap().get(), format!(r#"[{{"any":[{artefact}]}}]"#));
}

#[test]
fn what_needs_no_cleaning_stays_as_it_was_written() {
    let text = r#"{"rules":[ {"any" : [{"field":"f","operator":"is_set"}]} ]}"#;
    let (document, mut faults) = (document(text), Vec::new());
    let found = read(&document, Scope::Campaign, &mut faults);
    let mut cleaned = document.clone();
    found.clean(&mut cleaned).unwrap();
    assert_eq!(cleaned.to_json(), text);
}

#[test]
fn limits_are_inclusive() {
    let rule = r#"{"field":"f","operator":"exists"}"#;
    let rules = |count: usize| vec![rule; count].join(",");
    assert_eq!(faults(&format!(r#"[{{"any":[{}]}},{}]"#, rules(100), rules(100))), []);
    assert_eq!(faults(&format!(r#"[{{"any":[{}]}},{}]"#, rules(100), rules(101))), [fault("rules", "too_many")]);
    assert_eq!(faults(&format!("[{}]", vec![r#"{"all":[]}"#; 200].join(","))), []);
    assert_eq!(faults(&format!("[{}]", vec![r#"{"all":[]}"#; 201].join(","))), [fault("rules", "too_many")]);

    let nested = |depth: usize| format!("[{}{rule}{}]", r#"{"all":["#.repeat(depth), "]}".repeat(depth));
    assert_eq!(faults(&nested(16)), []);
    assert_eq!(faults(&nested(17)), [fault(&format!("rules[0]{}", ".all[0]".repeat(16)), "too_deep")]);
    let nots = |depth: usize| format!("[{}{rule}{}]", r#"{"not":"#.repeat(depth), "}".repeat(depth));
    assert_eq!(faults(&nots(16)), []);
    assert_eq!(faults(&nots(17)).len(), 1);

    let list =
        |count: usize| rule_faults(&format!(r#""field":"f","operator":"in","value":[{}]"#, vec!["1"; count].join(",")));
    assert_eq!(list(1_000), []);
    assert_eq!(list(1_001), [fault("rules[0].value", "too_many")]);
    let long =
        |length: usize| rule_faults(&format!(r#""field":"f","operator":"in","value":["{}"]"#, "v".repeat(length)));
    assert_eq!(long(8 * 1024 - 4), []);
    assert_eq!(long(8 * 1024 - 3), [fault("rules[0].value", "too_long")]);
}

#[test]
fn each_operator_says_which_value_it_needs() {
    for (inside, expected) in [
        (r#""operator":"in","value":"a""#, Some(fault("rules[0].value", "wrong_type"))),
        (r#""operator":"not_in""#, Some(fault("rules[0].value", "wrong_type"))),
        (r#""operator":"in","value":[1,[2]]"#, Some(fault("rules[0].value[1]", "wrong_type"))),
        (r#""operator":"==","value":[1]"#, Some(fault("rules[0].value", "wrong_type"))),
        (r#""operator":"starts_with","value":null"#, Some(fault("rules[0].value", "wrong_type"))),
        (r#""operator":"matches","value":5"#, Some(fault("rules[0].value", "wrong_type"))),
        (r#""operator":"matches","value":"a(""#, Some(fault("rules[0].value", "unreadable"))),
        (r#""operator":"before","value":"soon""#, Some(fault("rules[0].value", "unreadable"))),
        (r#""operator":"within_last","value":"7 days""#, Some(fault("rules[0].value", "unreadable"))),
        (r#""operator":">","value":"x","compare":"number""#, Some(fault("rules[0].value", "unreadable"))),
        (r#""operator":"in","value":["1.0","x"],"compare":"version""#, Some(fault("rules[0].value[1]", "unreadable"))),
        (r#""operator":"==","value":null,"compare":"text""#, Some(fault("rules[0].value", "unreadable"))),
        (r#""operator":"==","value":"x","compare":"time""#, Some(fault("rules[0].value", "unreadable"))),
        (r#""operator":"==","value":1,"compare":"size""#, Some(fault("rules[0].compare", "unknown_value"))),
        (r#""operator":"==","value":1,"ignore_case":"yes""#, Some(fault("rules[0].ignore_case", "wrong_type"))),
        (r#""operator":"==","value":1,"ignore_case":null,"compare":null"#, None),
        (r#""operator":"exists","value":{"any":"thing"}"#, None),
    ] {
        let found = rule_faults(&format!(r#""field":"f",{inside}"#));
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{inside}");
    }
}

#[test]
fn segments_and_counts_are_checked() {
    for (inside, expected) in [
        (r#""type":"segment""#, vec![fault("rules[0].segment", "required")]),
        (r#""type":"segment","segment":"""#, vec![fault("rules[0].segment", "required")]),
        (r#""type":"segment","value":"s","operator":"==""#, vec![fault("rules[0].operator", "unknown_value")]),
        (r#""type":"segment","value":"s","operator":"=~""#, vec![fault("rules[0].operator", "unknown_value")]),
        (
            r#""type":"event_count","operator":"contains","within":"ever""#,
            vec![
                fault("rules[0].event", "required"),
                fault("rules[0].operator", "unknown_value"),
                fault("rules[0].value", "out_of_range"),
                fault("rules[0].within", "unreadable"),
            ],
        ),
        (r#""type":"event_count","event":"e","value":1001"#, vec![fault("rules[0].value", "out_of_range")]),
        (r#""type":"event_count","event":"e","value":-1"#, vec![fault("rules[0].value", "out_of_range")]),
        (r#""type":"event_count","event":"e","value":1.5"#, vec![fault("rules[0].value", "out_of_range")]),
        (r#""type":"event_count","event":"e","value":true"#, vec![fault("rules[0].value", "out_of_range")]),
        (r#""type":"event_count","event":"e","value":1000,"within":null"#, vec![]),
    ] {
        assert_eq!(rule_faults(inside), expected, "{inside}");
    }
}

#[test]
fn each_scope_has_its_types() {
    let rules = [
        ("trait", r#""field":"f","operator":"exists""#),
        ("attribute", r#""field":"f","operator":"exists""#),
        ("event_count", r#""event":"e","value":1"#),
        ("segment", r#""segment":"s""#),
        ("context", r#""field":"f","operator":"exists""#),
        ("event", r#""field":"f","operator":"exists""#),
        ("Trait", r#""field":"f","operator":"exists""#),
    ];
    for (scope, allowed) in [(Scope::Campaign, 7), (Scope::Feature, 4), (Scope::Segment, 3)] {
        for (index, (kind, rest)) in rules.iter().enumerate() {
            let text = format!(r#"{{"rules":[{{"type":"{kind}",{rest}}}]}}"#);
            let codes: Vec<&str> = faults_in(&text, scope).iter().map(|fault| fault.code).collect();
            assert_eq!(codes, if index < allowed { vec![] } else { vec!["not_allowed"] }, "{kind} in {scope:?}");
        }
    }
}

#[test]
fn a_condition_tells_what_it_looks_at() {
    let needs = |rules: &str| condition(rules).needs().clone();
    let on = |kind: &str| needs(&format!(r#"{{"not":{{"type":"{kind}","field":"f","operator":"exists"}}}}"#));
    assert!(on("trait").traits && !on("trait").event);
    assert!(on("attribute").traits);
    assert!(on("context").event && !on("context").traits);
    assert!(on("event").event);
    let counted = |value| format!(r#"{{"type":"event_count","event":"e","value":{value},"within":"1h"}}"#);
    let needs =
        needs(&format!(r#"{{"any":[{},{},{}]}},{{"type":"segment","value":"s"}}"#, counted(3), counted(3), counted(4)));
    let windows: Vec<(Option<u32>, u32)> =
        needs.counts.iter().map(|window| (window.within_seconds, window.most)).collect();
    assert_eq!(windows, [(Some(3_600), 4), (Some(3_600), 5)]);
    assert!(needs.segments.contains("s") && !needs.traits && !needs.event);
}
