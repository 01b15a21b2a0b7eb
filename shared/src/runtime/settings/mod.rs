//! Settings: environment first, typed, with units, every mistake reported at once.
//!
//! A setting is declared once as a [`Setting`] constant (name, default, meaning) and read through a [`Reader`], which parses the
//! default the same way as a given value. The declarations are what the README's table and `.env.example` are compared with.
//! Tests hand over a map instead of the environment.

pub mod pipeline;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// One setting, as declared.
#[derive(Debug)]
pub struct Setting {
    /// Environment variable; units are part of the name.
    pub name: &'static str,
    /// Used when the variable is unset or blank. `None`: must be given.
    pub default: Option<&'static str>,
    /// What it does, for the settings table.
    pub meaning: &'static str,
    /// Never printed.
    pub secret: bool,
}

impl Setting {
    /// A setting with a default.
    #[must_use]
    pub const fn new(name: &'static str, default: &'static str, meaning: &'static str) -> Self {
        Self { name, default: Some(default), meaning, secret: false }
    }

    /// A setting that must be given.
    #[must_use]
    pub const fn required(name: &'static str, meaning: &'static str) -> Self {
        Self { name, default: None, meaning, secret: false }
    }

    /// The same, never printed.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

/// Everything that is wrong with the settings, one line each.
#[derive(Debug, thiserror::Error)]
#[error("{} setting(s) cannot be used:\n{}", .0.len(), .0.iter().map(|m| format!("  - {m}")).collect::<Vec<_>>().join("\n"))]
pub struct Mistakes(pub Vec<String>);

/// Reads settings from a map of variables and collects what is wrong.
pub struct Reader {
    given: BTreeMap<String, String>,
    used: Vec<(&'static str, String)>,
    mistakes: Vec<String>,
}

impl Reader {
    /// From the process environment.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::from_map(std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))))
    }

    /// From any variables.
    #[must_use]
    pub fn from_map(given: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { given: given.into_iter().collect(), used: Vec::new(), mistakes: Vec::new() }
    }

    /// A value of any type that reads from text. `expected` completes "… is not …".
    pub fn parse<T: FromStr + Default>(&mut self, setting: &'static Setting, expected: &str) -> T {
        let Some(text) = self.text_of(setting) else { return T::default() };
        text.parse().unwrap_or_else(|_| self.refuse(setting, &text, expected))
    }

    /// A whole number within bounds.
    pub fn number(&mut self, setting: &'static Setting, bounds: std::ops::RangeInclusive<u64>) -> u64 {
        let Some(text) = self.text_of(setting) else { return *bounds.start() };
        match text.replace('_', "").parse() {
            Ok(number) if bounds.contains(&number) => number,
            _ => {
                let expected = format!("a whole number from {} to {}", bounds.start(), bounds.end());
                self.refuse::<u64>(setting, &text, &expected)
            }
        }
    }

    /// A duration whose unit the setting's name ends with: `_SECONDS` (fractions allowed) or `_MILLISECONDS`.
    pub fn duration(&mut self, setting: &'static Setting) -> Duration {
        let Some(text) = self.text_of(setting) else { return Duration::ZERO };
        let unit = if setting.name.ends_with("_MILLISECONDS") { 1_000.0 } else { 1.0 };
        match text.parse::<f64>().map(|n| Duration::try_from_secs_f64(n / unit)) {
            Ok(Ok(duration)) => duration,
            _ => self.refuse(setting, &text, "a number of the unit in the name, zero or more"),
        }
    }

    /// `true` or `false`.
    pub fn flag(&mut self, setting: &'static Setting) -> bool {
        let Some(text) = self.text_of(setting) else { return false };
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => true,
            "false" | "0" | "no" => false,
            _ => self.refuse(setting, &text, "true or false"),
        }
    }

    /// A text.
    pub fn text(&mut self, setting: &'static Setting) -> String {
        self.text_of(setting).unwrap_or_default()
    }

    /// A comma list; entries are trimmed, empty ones dropped.
    pub fn list(&mut self, setting: &'static Setting) -> Vec<String> {
        self.text(setting).split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
    }

    /// One of a fixed set.
    pub fn one_of<T: Copy + Default>(&mut self, setting: &'static Setting, choices: &[(&str, T)]) -> T {
        let Some(text) = self.text_of(setting) else { return T::default() };
        match choices.iter().find(|(name, _)| *name == text) {
            Some((_, value)) => *value,
            None => {
                let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
                self.refuse(setting, &text, &format!("one of {}", names.join(", ")))
            }
        }
    }

    /// Adds a mistake about settings that only hold together.
    pub fn mistake(&mut self, message: impl Into<String>) {
        self.mistakes.push(message.into());
    }

    /// The settings in force, one `NAME=value` line each, secrets redacted; or every mistake.
    pub fn finish(self) -> Result<InForce, Mistakes> {
        if self.mistakes.is_empty() { Ok(InForce(self.used)) } else { Err(Mistakes(self.mistakes)) }
    }

    fn text_of(&mut self, setting: &'static Setting) -> Option<String> {
        let given = self.given.get(setting.name).map(|v| v.trim()).filter(|v| !v.is_empty());
        let Some(text) = given.or(setting.default) else {
            self.mistakes.push(format!("{} is not set: {}", setting.name, setting.meaning));
            return None;
        };
        let text = text.to_owned();
        let shown = if setting.secret && !text.is_empty() { "[redacted]".to_owned() } else { text.clone() };
        self.used.push((setting.name, shown));
        Some(text)
    }

    fn refuse<T: Default>(&mut self, setting: &'static Setting, text: &str, expected: &str) -> T {
        let shown = if setting.secret { "[redacted]" } else { text };
        self.mistakes.push(format!("{}={shown} is not {expected}", setting.name));
        T::default()
    }
}

/// The settings in force, ready to print: secrets are already redacted.
#[derive(Debug)]
pub struct InForce(Vec<(&'static str, String)>);

impl InForce {
    /// Logs each, as an entry of its own: an entry is one line.
    pub fn log(&self) {
        self.0.iter().for_each(|(name, value)| tracing::info!("setting {name}={value}"));
    }
}

impl fmt::Display for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, value)| writeln!(f, "  {name}={value}"))
    }
}

/// A value that must not be printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static COUNT: Setting = Setting::new("COUNT", "5", "how many");
    static KEY: Setting = Setting::required("KEY", "the key").secret();
    static WAIT: Setting = Setting::new("WAIT_SECONDS", "1.5", "how long");
    static PAUSE: Setting = Setting::new("PAUSE_MILLISECONDS", "20", "how long");

    fn reader(given: &[(&str, &str)]) -> Reader {
        Reader::from_map(given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let mut reader = reader(&[("COUNT", "many"), ("WAIT_SECONDS", "-1")]);
        reader.number(&COUNT, 1..=9);
        reader.text(&KEY);
        reader.duration(&WAIT);
        let text = reader.finish().unwrap_err().to_string();
        for part in [
            "3 setting(s)",
            "COUNT=many is not a whole number from 1 to 9",
            "KEY is not set: the key",
            "WAIT_SECONDS=-1",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn secrets_are_never_printed() {
        let mut reader = reader(&[("KEY", "hunter2")]);
        let key = Secret::from(reader.text(&KEY));
        assert_eq!((key.expose(), format!("{key:?}").as_str()), ("hunter2", "[redacted]"));
        assert!(!reader.finish().unwrap().to_string().contains("hunter2"));
    }

    #[test]
    fn units_are_in_the_names_and_blank_is_unset() {
        let mut reader = reader(&[("COUNT", " ")]);
        assert_eq!(reader.number(&COUNT, 1..=9), 5);
        assert_eq!(reader.duration(&WAIT), Duration::from_millis(1_500));
        assert_eq!(reader.duration(&PAUSE), Duration::from_millis(20));
    }
}
