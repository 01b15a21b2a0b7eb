//! The campaigns in the reply to a track: the same engine as the worker's, evaluated at once.
//!
//! The EmbeddedCraft SDKs render from this reply. It is a preview: the worker's match, in the user's order, is the record. The
//! profile is read only when a triggered campaign asks for it; when it cannot be had, the reply is empty and says so.
//!
//! Caps: what this process has answered but the worker has not yet committed is counted too, so one user who sends one event
//! after the other through one process is never shown more than the cap. A reply can go beyond it by the requests of that user that
//! are under way at the same moment, or that other processes answered within the worker's lag. Of a global cap only the record is
//! known, so replies can go beyond it by all that is accepted within the worker's lag: milliseconds of events as long as workers
//! keep up, everything while they are away (`pipeline_lag_events`). The record (`matches`) holds both exactly. A resend is
//! answered as if it came for the first time, because the first answer may be lost, and counts once.

use std::sync::Arc;

use serde_json::value::RawValue;
use shared::domain::campaign::assignment::Who;
use shared::domain::campaign::caps::History;
use shared::domain::campaign::delivery::{Decision, Situation, opted_out};
use shared::domain::campaign::{Compiled, Triggered, Wants};
use shared::domain::event::Event;
use shared::domain::rules::{Facts, JsonFields};
use shared::domain::user_key::UserKey;
use shared::store::catalog::Snapshot;

use crate::app::App;
use crate::profile::{self, Profile, ProfileCounts};

/// Campaigns for one reply.
#[derive(Debug, Default)]
pub struct Matched {
    /// By priority, then newest created first; each with the index of the user's variant.
    campaigns: Vec<(Arc<Compiled>, Option<usize>)>,
    /// Those that count towards a cap of the user, shown or held out.
    counted: Vec<Arc<Compiled>>,
    /// Why there may be more.
    pub incomplete: Option<&'static str>,
}

impl Matched {
    /// The objects that clients are given.
    pub fn objects(&self) -> impl Iterator<Item = &RawValue> {
        self.campaigns.iter().filter_map(|(campaign, variant)| campaign.object(*variant))
    }

    /// Campaigns with a cap per user that this reply counts for.
    #[must_use]
    pub fn counted(&self) -> Vec<&str> {
        self.counted.iter().map(|campaign| campaign.id.as_str()).collect()
    }

    /// None, for this reason.
    #[must_use]
    pub fn withheld(why: &'static str) -> Self {
        Self { incomplete: Some(why), ..Self::default() }
    }

    fn incomplete(app: &App, why: &'static str) -> Self {
        app.metrics.inline_incomplete();
        Self::withheld(why)
    }
}

/// Matches one event.
pub async fn matched(app: &App, event: &Event<'_>, key: Option<UserKey<'_>>) -> Matched {
    let snapshot: Arc<Snapshot> = Arc::clone(&app.campaigns.borrow());
    if snapshot.version < 0 {
        return Matched::incomplete(app, "campaigns are not loaded yet");
    }
    let Some(trigger) = event.trigger() else { return Matched::default() };
    let triggered = snapshot.catalog.triggered_by(trigger);
    if triggered.is_empty() {
        return Matched::default();
    }
    let mut wants = Wants::default();
    triggered.listeners().for_each(|listeners| wants.merge(&listeners.wants));
    let Some(profile) = profile::for_event(app, key, &wants, event).await else {
        return Matched::incomplete(app, "what is known of the user cannot be read just now");
    };
    let matched = decide(&snapshot, triggered, event, key, &profile);
    app.metrics.inline_matches(matched.campaigns.len());
    matched
}

fn decide(
    snapshot: &Snapshot,
    triggered: Triggered<'_>,
    event: &Event<'_>,
    key: Option<UserKey<'_>>,
    profile: &Profile,
) -> Matched {
    let (properties, context) = (JsonFields::of(event.properties.as_deref()), JsonFields::of(event.context.as_deref()));
    let facts = Facts {
        traits: &profile.traits,
        properties: Some(&properties),
        context: Some(&context),
        counts: &ProfileCounts { profile: key.map(|_| profile), event: Some(event), now: event.received_at },
        segments: snapshot.catalog.segments(),
        now: event.received_at,
    };
    let never = History::default();
    let opted_out = opted_out(&profile.traits);
    let mut matched = Matched::default();
    for campaign in triggered.campaigns() {
        let situation = Situation {
            who: key.map_or(Who::Stranger(event.id), Who::User),
            now: event.received_at,
            opted_out,
            history: profile.history(&campaign.id).unwrap_or(&never),
            shown_to_all: profile.shown_to_all(&campaign.id),
        };
        let decision = campaign.decide(&facts, &situation);
        if let Decision::Show(variant) | Decision::Preview(variant) = decision {
            matched.campaigns.push((Arc::clone(campaign), variant));
        }
        if matches!(decision, Decision::Show(_) | Decision::HoldOut(_)) && campaign.delivery.caps.per_user() {
            matched.counted.push(Arc::clone(campaign));
        }
    }
    matched
}
