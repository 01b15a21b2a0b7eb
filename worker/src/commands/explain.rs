//! `worker explain`: why a campaign was, or would be, shown to a user for an event, or why not.

use std::io::IsTerminal;

use chrono::{DateTime, Utc};
use shared::domain::campaign::explain::Check;
use shared::domain::raw_object::RawObject;
use shared::domain::rules::{Grouped, Step};
use shared::domain::user_key::KeyKind;
use shared::store::catalog::Loader;
use shared::store::explain::{self, Answer, Asked, Described, Occasion, Refused, Setting};

use super::campaign_file::campaign;
use super::{pool, say};
use crate::Problem;
use crate::settings::Settings;

/// `explain`.
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The id of a campaign, or a file with the document of one
    campaign: String,
    /// The user whose event it is; without one, a stranger
    #[arg(long)]
    user: Option<String>,
    /// The visitor, by the anonymous id
    #[arg(long, conflicts_with = "user")]
    anonymous: Option<String>,
    /// A stored event: its id or its messageId
    #[arg(long, value_name = "ID", conflicts_with = "event", required_unless_present = "event")]
    event_id: Option<String>,
    /// The name of an event, as if it came now
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// Of that event: a JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    properties: Option<RawObject>,
    /// Of that event: a JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    context: Option<RawObject>,
    /// Traits that the user would have by then: a JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    traits: Option<RawObject>,
    /// When it would come: 2026-11-22T10:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<DateTime<Utc>>,
    /// As JSON, as the API answers
    #[arg(long)]
    json: bool,
}

impl Explain {
    /// Runs the command.
    pub async fn run(self) -> Result<(), Problem> {
        let settings = Settings::from_environment()?;
        let pool = pool(&settings)?;
        let user = match (self.user, self.anonymous) {
            (Some(id), _) => Some((KeyKind::User, id)),
            (None, id) => id.map(|id| (KeyKind::Anonymous, id)),
        };
        let described = Described {
            event: self.event.unwrap_or_default(),
            properties: self.properties,
            context: self.context,
            traits: self.traits,
            timestamp: self.at,
        };
        let event = self.event_id.map_or(Occasion::Described(described), Occasion::Stored);
        let asked = Asked { campaign: campaign(&self.campaign)?, user, event };
        let snapshot = Loader::new(pool.clone(), false).read().await?;
        let placeholders = &settings.pipeline.placeholders;
        let setting = Setting { catalog: &snapshot.catalog, placeholders, now: Utc::now() };
        let answer = explain::explain(&pool, &asked, setting).await?.map_err(|why| refusal(&why))?;
        if self.json {
            say(&serde_json::to_string_pretty(&answer)?);
        } else {
            lines(&answer, Marks::of_output()).iter().for_each(|line| say(line));
        }
        Ok(())
    }
}

fn object(text: &str) -> Result<RawObject, String> {
    RawObject::parse(text).map_err(|error| format!("this is no JSON object: {error}"))
}

/// Why there is no answer.
pub fn refusal(refused: &Refused) -> String {
    match refused {
        Refused::NoCampaign => "there is no such campaign, and no such file".to_owned(),
        Refused::NoEvent => {
            "there is no such event: --event-id takes the id or the messageId of a stored event, --user or --anonymous says whose it is"
                .to_owned()
        }
        Refused::Malformed(faults) => {
            let all: Vec<String> = faults.iter().map(|fault| format!("\n  {fault}")).collect();
            format!("the campaign is malformed and does nothing:{}", all.concat())
        }
    }
}

/// How outcomes are marked.
#[derive(Debug, Clone, Copy)]
struct Marks {
    pass: &'static str,
    fail: &'static str,
    unknown: &'static str,
}

impl Marks {
    /// Signs for people, words for programs.
    fn of_output() -> Self {
        if std::io::stdout().is_terminal() {
            Self { pass: "✓", fail: "✗", unknown: "?" }
        } else {
            Self { pass: "pass   ", fail: "FAIL   ", unknown: "unknown" }
        }
    }

    fn of(self, pass: Option<bool>) -> &'static str {
        match pass {
            Some(true) => self.pass,
            Some(false) => self.fail,
            None => self.unknown,
        }
    }
}

fn lines(answer: &Answer, marks: Marks) -> Vec<String> {
    let (explanation, about) = (&answer.explanation, &answer.campaign);
    let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let version = about.version.map_or_else(|| "not stored".to_owned(), |version| format!("version {version}"));
    let mut lines = vec![
        explanation.summary.clone(),
        String::new(),
        format!("campaign  {} ({version}, {}) {}", about.name, shown(&about.status), shown(&about.id)),
        format!("event     {}", shown(&answer.event.event)),
        format!("as of     {}", answer.as_of),
        String::new(),
        "rules".to_owned(),
    ];
    step(&explanation.rules, marks, 1, &mut lines);
    lines.extend([String::new(), "checks".to_owned()]);
    let check = |check: &Check| format!("  {} {:<10} {}", marks.of(Some(check.pass)), check.check, check.detail);
    lines.extend(explanation.checks.iter().map(check));
    lines.push(String::new());
    let priority = &answer.priority;
    let place = priority.place.map_or_else(|| "not shown".to_owned(), |place| format!("place {place}"));
    lines.push(format!("priority  {} ({place} of {})", priority.value, priority.of));
    lines.extend(priority.before.iter().map(|other| format!("  behind  {other}")));
    if let Some(recorded) = &answer.recorded {
        lines.push(format!("recorded  {recorded}"));
    }
    lines.extend(answer.notes.iter().map(|note| format!("note      {note}")));
    lines
}

fn step(of: &Step, marks: Marks, depth: usize, lines: &mut Vec<String>) {
    let text = match of {
        Step::Rule(leaf) => leaf.text.as_str(),
        Step::Group(Grouped { any: Some(_), .. }) => "any of",
        Step::Group(Grouped { not: Some(_), .. }) => "not",
        Step::Group(_) => "all of",
    };
    lines.push(format!("{}{} {text}", "  ".repeat(depth), marks.of(of.pass())));
    of.inner().iter().for_each(|inner| step(inner, marks, depth + 1, lines));
}
