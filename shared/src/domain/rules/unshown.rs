//! Rules that an old editor cannot show, kept when it saves.
//!
//! The first dashboard knows rules on a field and nothing else. A group, a segment or a count comes back from it as the leftover
//! rule that is dropped on every save, which would turn a targeted campaign into one for everybody.

use serde_json::Value;
use serde_json::value::RawValue;

use super::entry::text;
use super::read::is_artefact;
use crate::domain::raw_object::RawObject;

/// When `after` holds leftover rules, adds to its rules those of `before` that have no field and are not there any more. Returns
/// how many.
pub fn keep_unshown(before: &RawObject, after: &mut RawObject) -> usize {
    let mut rules = rules_of(after);
    if !rules.iter().any(|rule| RawObject::parse(rule.get()).is_ok_and(|rule| is_artefact(&rule))) {
        return 0;
    }
    let has_no_field = |rule: &RawValue| RawObject::parse(rule.get()).is_ok_and(|rule| text(&rule, "field").is_none());
    let sent: Vec<Option<Value>> = rules.iter().map(|rule| value(rule)).collect();
    let mut lost = rules_of(before);
    lost.retain(|rule| has_no_field(rule) && !sent.contains(&value(rule)));
    let kept = lost.len();
    rules.extend(lost);
    // What was read as JSON can be written as JSON.
    if kept > 0 && after.set("rules", &rules).is_err() {
        return 0;
    }
    kept
}

fn rules_of(document: &RawObject) -> Vec<Box<RawValue>> {
    document.get("rules").and_then(|rules| serde_json::from_str(rules.get()).ok()).unwrap_or_default()
}

/// For comparing: an editor may write the same rule with other blanks.
fn value(rule: &RawValue) -> Option<Value> {
    serde_json::from_str(rule.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEFTOVER: &str = r#"{"id":9,"type":"event","field":"unknown","operator":"==","value":""}"#;
    const GROUP: &str = r#"{"any":[{"field":"a","operator":"==","value":1}]}"#;
    const SEGMENT: &str = r#"{"type":"segment","segment":"s"}"#;
    const PLAIN: &str = r#"{"field":"b","operator":"==","value":2}"#;

    fn save(before: &[&str], after: &[&str]) -> (usize, String) {
        let document = |rules: &[&str]| RawObject::parse(&format!(r#"{{"rules":[{}]}}"#, rules.join(","))).unwrap();
        let mut after = document(after);
        let kept = keep_unshown(&document(before), &mut after);
        (kept, after.get("rules").unwrap().get().to_owned())
    }

    #[test]
    fn what_the_editor_could_not_show_comes_back() {
        let (kept, rules) = save(&[GROUP, PLAIN, SEGMENT], &[LEFTOVER, PLAIN, LEFTOVER]);
        assert_eq!((kept, rules), (2, format!("[{}]", [LEFTOVER, PLAIN, LEFTOVER, GROUP, SEGMENT].join(","))));
        assert_eq!(save(&[GROUP], &[LEFTOVER, GROUP]).0, 0, "it is still there");
    }

    #[test]
    fn an_editor_that_leaves_nothing_behind_means_what_it_sends() {
        assert_eq!(save(&[GROUP, SEGMENT], &[PLAIN]).0, 0);
        assert_eq!(save(&[PLAIN], &[LEFTOVER]).0, 0, "a rule on a field can be shown, so it was taken out");
    }
}
