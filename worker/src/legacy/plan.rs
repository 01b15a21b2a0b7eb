//! What becomes of each element of a file, given what the [`survey`](super::survey) found; everything noticed on the way is counted.
//!
//! The same on each way through the file: the validation, the import and the comparison afterwards use one of these each.

use std::collections::{BTreeMap, HashSet};

use chrono::NaiveDate;
use shared::domain::legacy::oddity::Oddity;
use shared::domain::legacy::{Noticed, Refused, Terms, document, event, user};
use shared::domain::user_key::Placeholders;

use super::report::Report;
use super::source::{Element, Kind};
use super::survey::{Occurrences, Survey};

/// What to do with an element.
#[derive(Debug)]
pub enum Outcome {
    /// Store this document, of this kind.
    Document(Kind, Box<document::Imported>),
    /// Send this identify.
    User(Box<user::Imported>),
    /// Send this event.
    Event(Box<event::Imported>),
    /// Nothing: it is there once already, it means nobody, or it is too old and the operator said so.
    Nothing,
    /// It cannot be imported.
    Rejected(String),
}

/// What to do with events that are older than what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Expired {
    /// They are imported, and their days are kept until the date of --keep-until
    Keep,
    /// They are left out, and counted; they stay in the backup copy of the file
    Skip,
}

/// Decides, element by element.
#[derive(Debug)]
pub struct Plan<'a> {
    terms: Terms<'a>,
    survey: &'a Survey,
    /// Events of earlier days are expired.
    shown_from: NaiveDate,
    expired: Option<Expired>,
    occurrences: Occurrences,
    documents: BTreeMap<(Kind, String), [u8; 32]>,
    campaigns: HashSet<&'a str>,
    /// What was noticed so far.
    pub report: Report,
}

impl<'a> Plan<'a> {
    /// Nothing decided yet.
    #[must_use]
    pub fn new(terms: Terms<'a>, survey: &'a Survey, shown_from: NaiveDate, expired: Option<Expired>) -> Self {
        Self {
            terms,
            survey,
            shown_from,
            expired,
            occurrences: Occurrences::default(),
            documents: BTreeMap::new(),
            campaigns: survey.campaigns.iter().map(String::as_str).collect(),
            report: Report::default(),
        }
    }

    /// User ids of strangers.
    #[must_use]
    pub fn placeholders(&self) -> &'a Placeholders {
        self.terms.placeholders
    }

    /// Decides about one element.
    pub fn decide(&mut self, element: &Element) -> Outcome {
        self.report.found(element.kind);
        let key = element.key.as_deref().unwrap_or_default();
        let outcome = match element.kind {
            Kind::Campaign => document::campaign(&element.raw).map(|found| self.document(element, found)),
            Kind::Segment => document::segment(&element.raw).map(|found| self.document(element, found)),
            Kind::Flag => document::flag(key, &element.raw).map(|found| self.document(element, found)),
            Kind::User => user::map(key, &element.raw, &self.terms).map(|mapped| self.user(element, mapped)),
            Kind::Event => self.event(element),
            Kind::Other => Err(Refused { reason: format!("{key:?} is no part of a store that is known here") }),
        };
        let outcome = outcome.unwrap_or_else(|refused| Outcome::Rejected(refused.reason));
        match &outcome {
            Outcome::Rejected(reason) => self.report.rejected(element, reason),
            Outcome::Nothing => {}
            _ => self.report.imported(element.kind),
        }
        outcome
    }

    fn document(&mut self, element: &Element, found: document::Imported) -> Outcome {
        self.notice(element, &found.noticed);
        match self.documents.get(&(element.kind, found.id.clone())) {
            None => {
                self.documents.insert((element.kind, found.id.clone()), found.digest);
                Outcome::Document(element.kind, Box::new(found))
            }
            Some(first) if *first == found.digest => {
                self.notice(element, &vec![(Oddity::DocumentTwice, 1)]);
                Outcome::Nothing
            }
            Some(_) => {
                Outcome::Rejected(format!("has the id {:?} of an earlier one, which was the one shown", found.id))
            }
        }
    }

    fn user(&mut self, element: &Element, mapped: user::Mapped) -> Outcome {
        match mapped {
            user::Mapped::Nobody => {
                self.notice(element, &vec![(Oddity::UserIsPlaceholder, 1)]);
                Outcome::Nothing
            }
            user::Mapped::Profile(user) => {
                self.notice(element, &user.noticed);
                Outcome::User(Box::new(user))
            }
        }
    }

    fn event(&mut self, element: &Element) -> Result<Outcome, Refused> {
        let Some(occurrence) = self.occurrences.of(self.survey, &element.raw) else {
            self.notice(element, &vec![(Oddity::EventCopy, 1)]);
            return Ok(Outcome::Nothing);
        };
        let event = event::map(&element.raw, occurrence, &self.terms)?;
        let mut noticed = event.noticed.clone();
        let rowless = event.user.as_deref().is_some_and(|user| !self.survey.has_user(user));
        noticed.extend(rowless.then_some((Oddity::EventOfUserWithoutRow, 1)));
        let unknown = event.campaigns.iter().any(|id| !self.campaigns.contains(id.as_str()));
        noticed.extend(unknown.then_some((Oddity::EventOfUnknownCampaign, 1)));
        self.notice(element, &noticed);
        if event.day < self.shown_from {
            self.report.expired(event.day);
            if self.expired == Some(Expired::Skip) {
                return Ok(Outcome::Nothing);
            }
        }
        Ok(Outcome::Event(Box::new(event)))
    }

    fn notice(&mut self, element: &Element, noticed: &Noticed) {
        for (oddity, count) in noticed {
            self.report.notice(*oddity, *count, element);
        }
    }
}
