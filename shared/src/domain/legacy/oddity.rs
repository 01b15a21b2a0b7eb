//! What an old store holds that is not as one would expect, and what an import does about each.

/// One kind of oddity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each says itself what it is: Oddity::what")]
pub enum Oddity {
    UnknownRule,
    ReservedField,
    CampaignWithoutId,
    CampaignWithoutRules,
    CampaignWithoutType,
    CampaignWithoutStatus,
    CampaignWithoutTimes,
    CampaignExtraFields,
    CampaignObeysMore,
    SegmentWithoutName,
    DocumentWithoutEffect,
    DocumentTwice,
    FlagWithoutValue,
    FlagWithoutSwitch,
    UserIsPlaceholder,
    TraitId,
    LastSeenNumber,
    EventWithoutId,
    EventIdNoUuid,
    EventIdTwice,
    EventCopy,
    EventWithoutProperties,
    EventTimeText,
    EventTimeSeconds,
    EventUserNumber,
    EventExtraFields,
    EventNameRefused,
    EventOfPlaceholder,
    EventOfUserWithoutRow,
    EventOfUnknownCampaign,
    TimeWithoutZone,
    Mojibake,
    TextRepaired,
}

impl Oddity {
    /// What it is.
    #[must_use]
    pub fn what(self) -> &'static str {
        self.described().0
    }

    /// What is done about it.
    #[must_use]
    pub fn done(self) -> &'static str {
        self.described().1
    }

    fn described(self) -> (&'static str, &'static str) {
        match self {
            Self::UnknownRule => (
                "leftover rules of the editor (field `unknown`, `==`, empty value): they kept a campaign from ever matching",
                "dropped; the campaign matches as if they had never been there",
            ),
            Self::ReservedField => {
                ("fields that only the server writes (`_version`, `created_at` and the like)", "dropped")
            }
            Self::CampaignWithoutId => ("campaigns or segments without an id", "given one made of their content"),
            Self::CampaignWithoutRules => ("campaigns without `rules`", "kept; shown with no rules, as it means"),
            Self::CampaignWithoutType => ("campaigns without a type", "kept; shown with the type of their config"),
            Self::CampaignWithoutStatus => ("campaigns without a status", "kept; they never match, as before"),
            Self::CampaignWithoutTimes => {
                ("campaigns or segments without a readable `createdAt`", "created at the time of the import")
            }
            Self::CampaignExtraFields => ("campaigns with fields of their own", "kept as they are"),
            Self::CampaignObeysMore => (
                "campaigns with fields that the old server ignored and this one obeys (schedule, caps, priority, goal, …)",
                "kept, and obeyed from now on: look at them",
            ),
            Self::SegmentWithoutName => {
                ("segments without a name", "kept; a name is asked for when they are next saved")
            }
            Self::DocumentWithoutEffect => (
                "campaigns, segments or flags that are malformed",
                "kept as they are, without effect until they are mended; the dashboard shows what is wrong",
            ),
            Self::DocumentTwice => ("campaigns or segments that stand twice, alike", "taken once"),
            Self::FlagWithoutValue => ("flags without a value", "kept so"),
            Self::FlagWithoutSwitch => ("flags without `enabled`", "off, as on the old server"),
            Self::UserIsPlaceholder => ("users under an id that stands for strangers", "no profile: nobody is meant"),
            Self::TraitId => ("users with a trait `id`, which hid their id in lists", "kept as a trait; hides nothing"),
            Self::LastSeenNumber => ("users with `last_seen` as a number", "kept as the number it is"),
            Self::EventWithoutId => ("events without an id", "given one made of their content"),
            Self::EventIdNoUuid => ("events whose id is no UUID", "given one made of it; the old id is the message id"),
            Self::EventIdTwice => (
                "events with the id of an earlier one and other content",
                "given an id made of both; the old id is the message id",
            ),
            Self::EventCopy => ("events that stand twice, id and content", "stored once"),
            Self::EventWithoutProperties => ("events without properties", "shown with none"),
            Self::EventTimeText => ("events whose time is a text", "read as the time it is"),
            Self::EventTimeSeconds => ("events whose time is in seconds or parts of milliseconds", "in milliseconds"),
            Self::EventUserNumber => {
                ("events whose user is a number", "the user of that text, as the old server took it")
            }
            Self::EventExtraFields => ("events with fields of their own", "kept beside the event"),
            Self::EventNameRefused => ("events with names that the old server refused later", "kept as they are"),
            Self::EventOfPlaceholder => {
                ("events of strangers (a placeholder user)", "stored; nobody's profile or counts")
            }
            Self::EventOfUserWithoutRow => {
                ("events of users that have no row", "stored; the user still has no profile")
            }
            Self::EventOfUnknownCampaign => ("events that name a campaign that is not there", "stored as they are"),
            Self::TimeWithoutZone => (
                "events whose `properties.timestamp` is a local time without a zone",
                "kept as it is and never read as a time; the event's own `ts` counts",
            ),
            Self::Mojibake => ("texts that were garbled before (UTF-8 read as Windows-1252)", "kept as they are"),
            Self::TextRepaired => (
                "texts with a zero character or half an emoji, which no database holds",
                "that character is replaced by U+FFFD",
            ),
        }
    }
}
