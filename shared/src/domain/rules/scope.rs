//! Whose rules they are, and so what they may look at.

/// Which types of rule make sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every type: there is a user and an event.
    Campaign,
    /// No event is at hand when an app asks for a feature.
    Feature,
    /// A segment is about users, and names no other segment.
    Segment,
}

/// The `type` of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `attribute` or `trait`: a trait of the user.
    Trait,
    /// Any other text, or none: a property of the event.
    Property,
    /// `context`: the context of the event.
    Context,
    /// `segment`: belonging to one.
    Segment,
    /// `event_count`: how often the user did something.
    EventCount,
}

impl Kind {
    /// Reads the spelling, exactly.
    #[must_use]
    pub fn parse(text: Option<&str>) -> Self {
        match text {
            Some("attribute" | "trait") => Self::Trait,
            Some("context") => Self::Context,
            Some("segment") => Self::Segment,
            Some("event_count") => Self::EventCount,
            Some(_) | None => Self::Property,
        }
    }
}

impl Scope {
    /// Why such a rule is out of place; `None` if it is not.
    #[must_use]
    pub fn refusal(self, kind: Kind) -> Option<&'static str> {
        match (self, kind) {
            (Self::Campaign, _) | (_, Kind::Trait | Kind::EventCount) | (Self::Feature, Kind::Segment) => None,
            (Self::Feature, Kind::Property | Kind::Context) => {
                Some("must be attribute, segment or event_count: a feature is asked for without an event")
            }
            (Self::Segment, Kind::Property | Kind::Context | Kind::Segment) => Some(
                "must be attribute or event_count: a segment is about users, not about one event or other segments",
            ),
        }
    }
}
