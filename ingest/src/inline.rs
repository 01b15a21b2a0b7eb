//! The matches in the reply to a track: the same engine as the worker's, evaluated at once.
//!
//! The EmbeddedCraft SDKs render from this reply. It is a preview: the worker's match, in the user's order, is the record. Traits
//! are read only when a triggered campaign asks for them; when they cannot be had, the reply holds what could be decided without
//! and says that it is incomplete.

use std::sync::Arc;

use serde_json::value::RawValue;
use shared::domain::campaign::Compiled;
use shared::domain::event::Event;
use shared::domain::rules::{Facts, Fields, JsonFields, NoCounts, UnknownFields};
use shared::domain::user_key::UserKey;
use shared::store::catalog::Snapshot;

use crate::app::App;
use crate::traits;

/// Campaigns for one reply.
#[derive(Debug, Default)]
pub struct Matched {
    /// In order of the list: newest created first.
    pub campaigns: Vec<Arc<Compiled>>,
    /// Why there may be more.
    pub incomplete: Option<&'static str>,
}

impl Matched {
    /// The objects that clients are given.
    pub fn objects(&self) -> impl Iterator<Item = &RawValue> {
        self.campaigns.iter().filter_map(|c| c.client_object.as_deref())
    }
}

/// Matches one event.
pub async fn matched(app: &App, event: &Event<'_>, key: Option<UserKey<'_>>) -> Matched {
    let snapshot: Arc<Snapshot> = Arc::clone(&app.campaigns.borrow());
    if snapshot.version < 0 {
        app.metrics.inline_incomplete();
        return Matched { campaigns: Vec::new(), incomplete: Some("campaigns are not loaded yet") };
    }
    let Some(trigger) = event.trigger() else { return Matched::default() };
    if snapshot.catalog.triggered_by(trigger).is_empty() {
        return Matched::default();
    }
    let Some(key) = key.filter(|_| snapshot.catalog.needs_traits(trigger)) else {
        // A stranger has no traits.
        return evaluate(app, &snapshot, trigger, &JsonFields::none(), event, None);
    };
    match traits::current(app, key).await {
        Some(traits) => evaluate(app, &snapshot, trigger, &traits, event, None),
        None => {
            app.metrics.inline_incomplete();
            let why = "the user's traits cannot be read just now";
            // Every rule on them is unknown, so what remains was decided without.
            evaluate(app, &snapshot, trigger, &UnknownFields, event, Some(why))
        }
    }
}

fn evaluate(
    app: &App,
    snapshot: &Snapshot,
    trigger: &str,
    traits: &dyn Fields,
    event: &Event<'_>,
    incomplete: Option<&'static str>,
) -> Matched {
    let (properties, context) = (JsonFields::of(event.properties.as_deref()), JsonFields::of(event.context.as_deref()));
    let facts = Facts {
        traits,
        properties: Some(&properties),
        context: Some(&context),
        counts: &NoCounts,
        segments: snapshot.catalog.segments(),
        now: event.received_at,
    };
    let campaigns: Vec<_> = snapshot.catalog.matches(trigger, facts).cloned().collect();
    app.metrics.inline_matches(campaigns.len());
    Matched { campaigns, incomplete }
}
