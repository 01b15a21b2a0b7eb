//! Where a user stands just now: the campaigns that a fetch would give, and the segments they are in.

use std::sync::Arc;

use chrono::Utc;
use serde::Serialize;
use shared::domain::rules::Facts;
use shared::domain::user_key::UserKey;
use utoipa::ToSchema;

use crate::app::App;
use crate::for_user::{Generation, shown};
use crate::profile::{self, ProfileCounts};

/// Part of a profile.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Standing {
    /// By priority, then newest created first.
    pub campaigns: Vec<Offered>,
    /// Ids, sorted.
    pub segments: Vec<String>,
}

/// A campaign that would be given to the user.
#[derive(Debug, Serialize, ToSchema)]
pub struct Offered {
    /// The campaign.
    pub id: String,
    /// The user's arm of an A/B test.
    #[schema(required)]
    pub variant: Option<String>,
}

/// Decides both; `None` while the catalog is not loaded or the database cannot be asked quickly.
pub async fn of(app: &App, user: UserKey<'_>) -> Option<Standing> {
    let snapshot = Arc::clone(&app.campaigns.borrow());
    if snapshot.version < 0 {
        return None;
    }
    let catalog = &snapshot.catalog;
    let mut wants = catalog.for_users().wants.clone();
    catalog.segments().iter().for_each(|(_, condition)| wants.merge(&catalog.wants(condition.needs())));
    let now = Utc::now();
    let profile = profile::current(app, Some(user), &wants, now).await?;
    let offered = shown(&snapshot, &profile, Some(user), now, Generation::First);
    let facts = Facts {
        traits: &profile.traits,
        properties: None,
        context: None,
        counts: &ProfileCounts { profile: Some(&profile), event: None, now },
        segments: catalog.segments(),
        now,
    };
    let members = catalog.segments().iter().filter(|(_, condition)| condition.holds(&facts).is_true());
    let mut segments: Vec<String> = members.map(|(id, _)| id.to_owned()).collect();
    segments.sort_unstable();
    let offer = |(campaign, variant): (&shared::domain::campaign::Compiled, Option<usize>)| Offered {
        id: campaign.id.clone(),
        variant: campaign.variant_name(variant).map(str::to_owned),
    };
    Some(Standing { campaigns: offered.into_iter().map(offer).collect(), segments })
}
