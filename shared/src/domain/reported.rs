//! What apps report about campaigns: which event names mean an impression, a click, a dismissal or a conversion, and where the
//! campaign's id stands.
//!
//! Every generation of the SDKs has its own names and its own spelling of the id; the old server counted names that no SDK sends.
//! [`super::rollup`] counts what is found here, so it is only asked about events that are new. Properties are read for events with
//! one of these [`NAMES`] and for no others.

use serde_json::value::RawValue;

use super::event::{Event, EventType};
use super::limits::ID_BYTES;
use super::rollup::What;
use super::rules::{Fields, JsonFields};

/// A name that apps report with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// Of the track, exactly as spelt.
    pub event: &'static str,
    /// What it counts as.
    pub counts_as: What,
    /// A word that apps also use for things of their own: it counts only with the id of a campaign.
    pub needs_campaign: bool,
}

/// All of them.
pub const NAMES: [Name; 17] = [
    always("campaign_viewed", What::Impressions), // Flutter, first generation
    always("campaign_impression", What::Impressions), // its inline widget
    always("nudge_impression", What::Impressions), // as the old server wanted it
    only_of_a_campaign("impression", What::Impressions), // Flutter, second generation
    only_of_a_campaign("story_opened", What::Impressions), // stories
    always("NINJA_EXPERIENCE_OPEN", What::Impressions), // callbacks of the second generation, when the app sends them on
    always("campaign_clicked", What::Clicks),
    always("nudge_click", What::Clicks),
    only_of_a_campaign("click", What::Clicks),
    always("NINJA_COMPONENT_CTA_CLICK", What::Clicks),
    always("campaign_dismissed", What::Dismissals), // both generations
    always("nudge_dismiss", What::Dismissals),
    only_of_a_campaign("story_closed", What::Dismissals),
    always("NINJA_EXPERIENCE_DISMISS", What::Dismissals),
    always("campaign_converted", What::Conversions), // the old event taxonomy
    always("nudge_conversion", What::Conversions),
    only_of_a_campaign("conversion", What::Conversions),
];

/// Where the id of the campaign may stand in the properties. The first that is a text or a number counts.
pub const CAMPAIGN_KEYS: [&str; 5] = ["campaign_id", "campaignId", "campaign", "CAMPAIGN_ID", "nudgeId"];

const fn always(event: &'static str, counts_as: What) -> Name {
    Name { event, counts_as, needs_campaign: false }
}

const fn only_of_a_campaign(event: &'static str, counts_as: What) -> Name {
    Name { event, counts_as, needs_campaign: true }
}

/// What an event reports, and of which campaign, if it says so. The id need not be that of a campaign there is.
#[must_use]
pub fn report(event: &Event<'_>) -> Option<(What, Option<String>)> {
    let name = event.event.as_deref().filter(|_| event.kind == EventType::Track)?;
    report_of(name, event.properties.as_deref())
}

/// The same of the name and the properties of a track.
#[must_use]
pub fn report_of(name: &str, properties: Option<&RawValue>) -> Option<(What, Option<String>)> {
    let name = NAMES.iter().find(|known| known.event == name)?;
    let campaign = campaign(properties);
    (campaign.is_some() || !name.needs_campaign).then_some((name.counts_as, campaign))
}

fn campaign(properties: Option<&RawValue>) -> Option<String> {
    let fields = JsonFields::new(properties?.get());
    CAMPAIGN_KEYS.iter().find_map(|key| id(fields.field(key)?.get()))
}

/// A text without the blanks around it, or a number as it is written; nothing that is empty or too long to be an id.
fn id(json: &str) -> Option<String> {
    let id = match json.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(json).ok()?.trim().to_owned(),
        b'-' | b'0'..=b'9' => json.to_owned(),
        _ => return None,
    };
    (!id.is_empty() && id.len() <= ID_BYTES).then_some(id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn event(kind: &str, name: &str, properties: &str) -> String {
        format!(
            r#"{{"id":"00000000-0000-8000-8000-000000000001","day":"2026-01-02","type":"{kind}","event":"{name}","user_id":"u",
                 "timestamp":"2026-01-02T03:04:05Z","received_at":"2026-01-02T03:04:05Z","source":"s","properties":{properties}}}"#
        )
    }

    fn reported(kind: &str, name: &str, properties: &str) -> Option<(What, Option<String>)> {
        let line = event(kind, name, properties);
        let event: Event<'_> = serde_json::from_str(&line).unwrap();
        report(&event)
    }

    #[test]
    fn the_same_name_stands_once() {
        let names: BTreeSet<_> = NAMES.iter().map(|name| name.event).collect();
        assert_eq!(names.len(), NAMES.len());
    }

    #[test]
    fn common_words_count_only_of_a_campaign_and_the_others_always() {
        for name in NAMES {
            let of_one = reported("track", name.event, r#"{"campaign_id":"c"}"#);
            assert_eq!(of_one, Some((name.counts_as, Some("c".to_owned()))), "{name:?}");
            let of_none = (!name.needs_campaign).then_some((name.counts_as, None));
            assert_eq!(reported("track", name.event, "{}"), of_none, "{name:?}");
        }
    }

    #[test]
    fn only_tracks_with_exactly_these_names_report() {
        let properties = r#"{"campaign_id":"c"}"#;
        for (kind, name) in [
            ("page", "impression"),
            ("screen", "campaign_viewed"),
            ("track", "Campaign_Viewed"),
            ("track", "campaign_viewed "),
            ("track", "viewed"),
        ] {
            assert_eq!(reported(kind, name, properties), None, "{kind} {name}");
        }
    }

    #[test]
    fn the_id_is_found_in_every_spelling_and_the_first_that_can_be_one_counts() {
        let found = |properties: &str| reported("track", "campaign_viewed", properties).unwrap().1;
        for key in CAMPAIGN_KEYS {
            assert_eq!(found(&format!(r#"{{"{key}":" c 1 "}}"#)).as_deref(), Some("c 1"), "{key}");
        }
        for (properties, id) in [
            (r#"{"nudgeId":"n","campaignId":"c"}"#, Some("c")),
            (r#"{"campaign":"a","campaignId":"b"}"#, Some("b")),
            (r#"{"campaign_id":null,"campaign":"b"}"#, Some("b")),
            (r#"{"campaign_id":" ","CAMPAIGN_ID":"b"}"#, Some("b")),
            (r#"{"campaign_id":{"id":"a"},"nudgeId":"b"}"#, Some("b")),
            (r#"{"campaign_id":1763025480123}"#, Some("1763025480123")),
            (r#"{"campaign_id":"\u00e9\n"}"#, Some("é")),
            (r#"{"campaign_id":"a","campaign_id":"b"}"#, Some("b")),
            (r#"{"campaign_id":true}"#, None),
            (r#"{"Campaign_Id":"a"}"#, None),
        ] {
            assert_eq!(found(properties).as_deref(), id, "{properties}");
        }
        assert_eq!(found(&format!(r#"{{"campaign":"{}"}}"#, "x".repeat(ID_BYTES + 1))), None);
    }
}
