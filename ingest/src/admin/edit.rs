//! Writing documents: each function returns the row as written, with notes for the editor.
//!
//! A write is made from the version that was read and fails when another came first; then it starts again from the new one, so of
//! two changes at once each sees the other's result. A client that named a version is told instead ([`IfMatch`]).

use serde_json::value::RawValue;
use shared::domain::raw_object::RawObject;
use shared::domain::rules;
use shared::store::changes;
use shared::store::documents::Stored;

use super::if_match::IfMatch;
use super::resource::{Checked, Resource};
use crate::app::App;
use crate::keys::Caller;
use crate::problem::{Kind, Problem};

/// Who edits which document, if it is the version they mean.
#[derive(Debug)]
pub struct Edit<'a> {
    /// The process.
    pub app: &'a App,
    /// The collection.
    pub resource: &'static Resource,
    /// Whose name the history shows.
    pub caller: &'a Caller,
    /// The document; free of zero bytes.
    pub id: &'a str,
    /// The client's condition.
    pub condition: IfMatch,
}

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// The row.
    pub row: Stored,
    /// For the editor.
    pub notes: Vec<String>,
}

impl Edit<'_> {
    /// The document as it is, or 404.
    pub async fn read(&self) -> Result<Stored, Problem> {
        self.find().await?.ok_or_else(|| self.resource.not_found())
    }

    /// The document as it is, if it is there.
    pub async fn find(&self) -> Result<Option<Stored>, Problem> {
        let (collection, id) = (self.resource.collection, self.id.to_owned());
        self.app.database.run(|pool| async move { collection.read(&pool, &id).await }).await
    }

    /// Adds it; `None` when the id is taken.
    pub async fn create(&self, checked: Checked) -> Result<Option<Written>, Problem> {
        let (collection, id, by) = (self.resource.collection, self.id.to_owned(), self.by());
        let document = checked.document.to_json();
        let create = |pool| async move { collection.create(&pool, &id, &document, &by).await };
        let row = self.app.database.run(create).await?;
        Ok(row.map(|row| Written { row, notes: checked.notes }))
    }

    /// Replaces it by what `edit` makes of it.
    pub async fn change(&self, edit: impl Fn(&Stored) -> Result<Checked, Problem>) -> Result<Written, Problem> {
        loop {
            let before = self.read().await?;
            self.condition.check(before.version)?;
            let checked = edit(&before)?;
            if let Some(row) = self.replace(before.version, checked.document.to_json(), "change").await? {
                return Ok(Written { row, notes: checked.notes });
            }
        }
    }

    /// Merges the sent fields into it, per top-level key; the result must be a valid whole, unless the change only stops it.
    pub async fn merge(&self, mut sent: RawObject) -> Result<Written, Problem> {
        self.resource.fixed.iter().for_each(|key| sent.remove(key));
        self.change(|before| {
            let mut document = before.document();
            document.merge(sent.clone());
            if only_stops(&sent) {
                return Ok(Checked { document, notes: Vec::new() });
            }
            let kept = rules::keep_unshown(&before.document(), &mut document);
            let mut checked = self.resource.checked(&document)?;
            if kept > 0 {
                checked.notes.push(format!("{kept} rules that this editor cannot show were kept"));
            }
            Ok(checked)
        })
        .await
    }

    /// Deletes it.
    pub async fn delete(&self) -> Result<Stored, Problem> {
        loop {
            let before = self.read().await?;
            self.condition.check(before.version)?;
            let (collection, id, by) = (self.resource.collection, self.id.to_owned(), self.by());
            let delete = |pool| async move { collection.delete(&pool, (&id, before.version), &by).await };
            if let Some(row) = self.app.database.run(delete).await? {
                return Ok(row);
            }
        }
    }

    /// Makes it what it was in `version`, verbatim, as a new version; one that was deleted comes back.
    pub async fn restore(&self, version: i64) -> Result<Stored, Problem> {
        let collection = self.resource.collection;
        loop {
            let id = self.id.to_owned();
            let asked = |pool| async move {
                let current = collection.read(&pool, &id).await?.map(|row| row.version);
                let latest = changes::latest_version(&pool, collection, &id).await?;
                let document = changes::document_of(&pool, collection, (&id, version)).await?;
                Ok((current, latest, document))
            };
            let (current, latest, document) = self.app.database.run(asked).await?;
            let known = current.or(latest).ok_or_else(|| self.resource.not_found())?;
            self.condition.check(known)?;
            let document = document.ok_or_else(|| no_such_version(version))?;
            let row = match current {
                Some(current) => self.replace(current, document, "restore").await?,
                None => self.revive(known, document).await?,
            };
            if let Some(row) = row {
                return Ok(row);
            }
        }
    }

    async fn replace(&self, version: i64, document: String, action: &'static str) -> Result<Option<Stored>, Problem> {
        let (collection, id, by) = (self.resource.collection, self.id.to_owned(), self.by());
        let replace = |pool| async move { collection.replace(&pool, (&id, version), &document, &by, action).await };
        self.app.database.run(replace).await
    }

    async fn revive(&self, version: i64, document: String) -> Result<Option<Stored>, Problem> {
        let (collection, id, by) = (self.resource.collection, self.id.to_owned(), self.by());
        let revive = |pool| async move { collection.revive(&pool, (&id, version), &document, &by).await };
        self.app.database.run(revive).await
    }

    fn by(&self) -> String {
        self.caller.source.to_string()
    }
}

/// Nothing but a status other than active: what is malformed can be stopped without being mended first.
fn only_stops(sent: &RawObject) -> bool {
    let stopped = |raw: &RawValue| matches!(raw.get(), r#""draft""# | r#""paused""# | r#""archived""#);
    sent.iter().count() == 1 && sent.get("status").is_some_and(stopped)
}

fn no_such_version(version: i64) -> Problem {
    let message = format!("there is no document in version {version}; its history lists those that there are");
    Problem::new(Kind::NotFound, message).with_error("Version not found")
}
