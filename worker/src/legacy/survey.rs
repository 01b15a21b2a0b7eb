//! The first look at a file: which ids stand twice, which campaigns and users there are, in which order the documents come.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use serde_json::value::RawValue;
use shared::domain::legacy::document;
use shared::domain::legacy::event::Occurrence;
use shared::domain::legacy::identity::{digest, own_id};
use shared::domain::raw_object::RawObject;

use super::filter::Filter;
use super::progress::Progress;
use super::source::{Kind, Source};
use crate::Problem;

/// What the first look found.
#[derive(Debug)]
pub struct Survey {
    /// Ids of campaigns, first shown first.
    pub campaigns: Vec<String>,
    /// Ids of segments, first shown first.
    pub segments: Vec<String>,
    /// Keys of flags, as they come.
    pub flags: Vec<String>,
    /// Bytes of the file.
    pub bytes: u64,
    users: Filter,
    /// Names of events that stand twice; a few more.
    twice: HashSet<u64>,
}

/// Looks through a file.
pub async fn survey(path: &Path) -> Result<Survey, Problem> {
    let bytes = std::fs::metadata(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?.len();
    let mut survey = Survey {
        campaigns: Vec::new(),
        segments: Vec::new(),
        flags: Vec::new(),
        bytes,
        users: Filter::for_file(bytes),
        twice: HashSet::new(),
    };
    let mut events = Filter::for_file(bytes);
    let mut seen = BTreeSet::new();
    let mut source = Source::open(path)?;
    let mut progress = Progress::start("looking through the file", bytes);
    while let Some(piece) = source.next().await? {
        for element in piece {
            match (element.kind, element.key) {
                (Kind::Campaign | Kind::Segment, _) => {
                    let of = if element.kind == Kind::Campaign { document::campaign } else { document::segment };
                    let Ok(imported) = of(&element.raw) else { continue };
                    if seen.insert((element.kind, imported.id.clone())) {
                        let ids =
                            if element.kind == Kind::Campaign { &mut survey.campaigns } else { &mut survey.segments };
                        ids.push(imported.id);
                    }
                }
                (Kind::Flag, Some(key)) => survey.flags.push(key),
                (Kind::User, Some(id)) => {
                    survey.users.insert(hash_of(&id));
                }
                (Kind::Event, _) => {
                    let (hash, _) = name_of(&element.raw);
                    if events.insert(hash) {
                        survey.twice.insert(hash);
                    }
                }
                _ => {}
            }
        }
        progress.at(source.bytes_read());
    }
    progress.end();
    Ok(survey)
}

impl Survey {
    /// Has this user a row?
    #[must_use]
    pub fn has_user(&self, id: &str) -> bool {
        self.users.contains(hash_of(id))
    }
}

/// Tells events apart that have the same name, on one way through the file.
#[derive(Debug, Default)]
pub struct Occurrences {
    /// Of each name that stands twice, the contents so far.
    seen: HashMap<u64, Vec<[u8; 16]>>,
}

impl Occurrences {
    /// Which one of its name an event is; `None` when it is a copy, id and content.
    pub fn of(&mut self, survey: &Survey, raw: &RawValue) -> Option<Occurrence> {
        let (hash, has_id) = name_of(raw);
        if !survey.twice.contains(&hash) {
            return Some(Occurrence::default());
        }
        let digest = digest(raw);
        let content: [u8; 16] = std::array::from_fn(|i| digest[i]);
        let seen = self.seen.entry(hash).or_default();
        // Without an id nothing says that they are one.
        if has_id && seen.contains(&content) {
            return None;
        }
        let occurrence = Occurrence(u32::try_from(seen.len()).unwrap_or(u32::MAX));
        seen.push(content);
        Some(occurrence)
    }
}

/// What an event is named by, its id or else its content; and whether it is the id.
fn name_of(raw: &RawValue) -> (u64, bool) {
    match RawObject::parse(raw.get()).ok().as_ref().and_then(own_id) {
        Some(id) => (hash_of(&id), true),
        None => (hash_of(&digest(raw)), false),
    }
}

fn hash_of<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
