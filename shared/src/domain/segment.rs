//! A segment: a named group of users, by rules over their traits and event counts. Membership is evaluated, never stored.

use super::document::{RESERVED, name};
use super::raw_object::RawObject;
use super::rules::{self, Condition, Fault, Read, Scope};

/// A document fit to be saved.
#[derive(Debug)]
pub struct Valid {
    /// The cleaned document: name trimmed, no artefact rules, `rules` an array, nothing reserved to the server.
    pub document: RawObject,
    /// Not blank, trimmed.
    pub name: String,
    /// How many artefact rules were taken out; worth a note to the editor when not 0.
    pub dropped_artefact_rules: usize,
}

/// Checks and cleans a whole document. Its text has passed the checks for any stored JSON.
pub fn validate(document: &RawObject) -> Result<Valid, Vec<Fault>> {
    let mut faults = Vec::new();
    let name = name(document, &mut faults);
    let before = faults.len();
    let rules = rules::read(document, Scope::Segment, &mut faults);
    if rules.kept.is_empty() && faults.len() == before {
        faults.push(Fault::new(
            "rules",
            "required",
            "must hold at least one rule: a segment of everyone selects nobody",
        ));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let cleaned =
        clean(document, &name, &rules).map_err(|error| vec![Fault::new("", "unwritable", error.to_string())])?;
    Ok(Valid { document: cleaned, name, dropped_artefact_rules: rules.artefacts })
}

fn clean(document: &RawObject, name: &str, rules: &Read<'_>) -> serde_json::Result<RawObject> {
    let mut cleaned = document.clone();
    for key in RESERVED {
        cleaned.remove(key);
    }
    cleaned.set("name", name)?;
    rules.clean(&mut cleaned)?;
    Ok(cleaned)
}

/// Who belongs to a stored segment; of one without rules nobody does. The name is not looked at.
pub fn compile(document: &RawObject) -> Result<Condition, Vec<Fault>> {
    let mut faults = Vec::new();
    let rules = rules::read(document, Scope::Segment, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(if rules.kept.is_empty() { Condition::never() } else { rules.condition })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::domain::rules::{Facts, JsonFields, NoCounts, Segments, Truth};

    fn document(text: &str) -> RawObject {
        RawObject::parse(text).unwrap()
    }

    fn faults(text: &str) -> Vec<(String, &'static str)> {
        validate(&document(text)).unwrap_err().into_iter().map(|fault| (fault.field, fault.code)).collect()
    }

    fn member(segment: &str, traits: &str) -> Truth {
        let (traits, segments) = (JsonFields::new(traits), Segments::new());
        compile(&document(segment)).unwrap().holds(&Facts {
            traits: &traits,
            properties: None,
            context: None,
            counts: &NoCounts,
            segments: &segments,
            now: DateTime::UNIX_EPOCH,
        })
    }

    const SILVER: &str = r#"{"type":"attribute","field":"tier","operator":"==","value":"silver"}"#;
    const ARTEFACT: &str = r#"{"type":"event","field":"unknown","operator":"==","value":""}"#;

    #[test]
    fn a_segment_is_cleaned_and_keeps_what_it_has_besides() {
        let text = format!(r#"{{"id":"x","name":" Silver ","users":1200,"rules":[{ARTEFACT},{SILVER}]}}"#);
        let valid = validate(&document(&text)).unwrap();
        assert_eq!(valid.document.to_json(), format!(r#"{{"name":"Silver","rules":[{SILVER}],"users":1200}}"#));
        assert_eq!((valid.name.as_str(), valid.dropped_artefact_rules), ("Silver", 1));
    }

    #[test]
    fn without_a_rule_it_is_refused_and_has_no_members() {
        for rules in ["null", "[]", &format!("[{ARTEFACT}]")] {
            let text = format!(r#"{{"name":"n","rules":{rules}}}"#);
            assert_eq!(faults(&text), [("rules".to_owned(), "required")], "{rules}");
            assert_eq!(member(&text, "{}"), Truth::False, "{rules}");
        }
        assert_eq!(member("{}", "{}"), Truth::False);
    }

    #[test]
    fn every_fault_is_named() {
        let text = format!(
            r#"{{"rules":[{{"field":"f","operator":"exists"}},{{"not":{{"type":"segment","segment":"s"}}}},{SILVER}]}}"#
        );
        let expected = [("name", "required"), ("rules[0].type", "not_allowed"), ("rules[1].not.type", "not_allowed")];
        assert_eq!(faults(&text), expected.map(|(field, code)| (field.to_owned(), code)));
    }

    #[test]
    fn what_an_old_store_holds_is_read_as_far_as_it_has_rules() {
        assert_eq!(compile(&document(r#"{"name":null,"rules":"[]"}"#)).unwrap_err()[0].field, "rules");
        let nameless = format!(r#"{{"name":null,"rules":[{SILVER}]}}"#);
        assert_eq!(member(&nameless, r#"{"tier":"silver"}"#), Truth::True);
        assert_eq!(member(&nameless, r#"{"tier":"gold"}"#), Truth::False);
        let counted = r#"{"rules":[{"type":"event_count","event":"e","value":1}]}"#;
        assert_eq!(member(counted, "{}"), Truth::Unknown);
    }
}
