//! Where a campaign's matches are told: `webhook` with `url`, `events`, `ordered`, `headers` and `enabled`.
//!
//! The door looks at the form only. Whether an address may be reached is asked when it is connected to, because a name can
//! lead elsewhere by then. There is no secret in it: a document is shown in histories, copies and exports, so secrets have a table of
//! their own, and headers, which would invite others, are limited to harmless ones. Apps are never given any of it.

use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Uri};

use super::option::Section;
use crate::domain::raw_object::RawObject;
use crate::domain::rules::Fault;

/// Longest address, in bytes.
pub const MAX_URL_BYTES: usize = 2_048;
/// Most headers of a webhook's own.
pub const MAX_HEADERS: usize = 10;
/// Longest value of one, in bytes.
pub const MAX_HEADER_BYTES: usize = 500;

/// The webhook of one campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// `https`, or `http` for networks of one's own; as written.
    pub url: String,
    /// Matches are told.
    pub on_match: bool,
    /// Conversions are told.
    pub on_conversion: bool,
    /// What is told of one user keeps their order.
    pub ordered: bool,
    /// Sent with each message; names in lower case.
    pub headers: Vec<(String, String)>,
    /// Something is told at all.
    pub enabled: bool,
}

impl Webhook {
    /// Reads the webhook of a document; `null` and absent are none.
    pub fn read(document: &RawObject, faults: &mut Vec<Fault>) -> Option<Self> {
        let is_there = document.get("webhook").is_some_and(|raw| raw.get() != "null");
        let before = faults.len();
        let section = Section::within(document, "webhook", faults);
        if !is_there || faults.len() > before {
            return None;
        }
        if section.object().get("secret").is_some() {
            let message = "must not stand in a campaign, whose history shows it: POST /v1/admin/webhooks/{campaign_id}/secret keeps it apart";
            faults.push(Fault::new(section.path("secret"), "not_allowed", message));
        }
        let url = section.text("url", faults);
        match url.as_deref().map(destination) {
            Some(Ok(_)) => {}
            Some(Err(why)) => faults.push(Fault::new(section.path("url"), "invalid_url", why)),
            None if faults.len() == before => {
                faults.push(Fault::new(section.path("url"), "missing_field", "must be the address that is told"));
            }
            None => {}
        }
        let (on_match, on_conversion) = events(&section, faults);
        Some(Self {
            url: url?,
            on_match,
            on_conversion,
            ordered: section.flag("ordered", faults),
            headers: headers(&section, faults),
            enabled: section.read("enabled", "true or false", faults).unwrap_or(true),
        })
    }

    /// Reads what was stored of a document as its `webhook`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut document = RawObject::default();
        document.set("webhook", &RawObject::parse(text).ok()?).ok()?;
        let mut faults = Vec::new();
        Self::read(&document, &mut faults).filter(|_| faults.is_empty())
    }
}

/// Reads an address; the error says what is wrong with it.
pub fn destination(url: &str) -> Result<Uri, String> {
    if url.len() > MAX_URL_BYTES {
        return Err(format!("must be at most {MAX_URL_BYTES} bytes"));
    }
    if url.contains('#') {
        return Err("must not hold a fragment (#…)".to_owned());
    }
    let wanted = "must be an address such as https://hooks.example.com/matches, in ASCII";
    let uri: Uri = url.parse().map_err(|error| format!("{wanted}: {error}"))?;
    if ![Some(&Scheme::HTTPS), Some(&Scheme::HTTP)].contains(&uri.scheme()) {
        return Err(wanted.to_owned());
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return Err("must not hold a user or a password: messages are signed instead".to_owned());
    }
    if uri.host().is_none_or(str::is_empty) || uri.port().is_none() && authority.ends_with(':') {
        return Err(wanted.to_owned());
    }
    Ok(uri)
}

fn events(section: &Section<'_>, faults: &mut Vec<Fault>) -> (bool, bool) {
    let wanted = r#"an array of "match" and "conversion""#;
    let Some(names) = section.read::<Vec<String>>("events", wanted, faults) else { return (true, false) };
    if names.is_empty() || names.iter().any(|name| !matches!(name.as_str(), "match" | "conversion")) {
        faults.push(Fault::new(section.path("events"), "unknown_value", format!("must be {wanted}, at least one")));
    }
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    (has("match"), has("conversion"))
}

fn headers(section: &Section<'_>, faults: &mut Vec<Fault>) -> Vec<(String, String)> {
    let wanted = "an object of header names and texts";
    let headers = section.read::<std::collections::BTreeMap<String, String>>("headers", wanted, faults);
    let headers = headers.unwrap_or_default();
    if headers.len() > MAX_HEADERS {
        let message = format!("has {} headers; at most {MAX_HEADERS} are allowed", headers.len());
        faults.push(Fault::new(section.path("headers"), "too_many", message));
        return Vec::new();
    }
    let mut good = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let path = format!("{}.{name}", section.path("headers"));
        let lower = name.to_ascii_lowercase();
        let is_ours = !lower.starts_with("x-") || lower.starts_with("x-forwarded-") || lower == "x-real-ip";
        if is_ours || HeaderName::from_bytes(lower.as_bytes()).is_err() {
            let message = "must be a name that begins with x- (but not x-forwarded- or x-real-ip); no place for secrets: messages are signed";
            faults.push(Fault::new(path, "not_allowed", message));
        } else if value.len() > MAX_HEADER_BYTES || HeaderValue::from_str(&value).is_err() || !value.is_ascii() {
            let message = format!("must be printable ASCII of at most {MAX_HEADER_BYTES} bytes");
            faults.push(Fault::new(path, "invalid_value", message));
        } else {
            good.push((lower, value));
        }
    }
    good
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Webhook>, Vec<String>) {
        let mut faults = Vec::new();
        let webhook = Webhook::read(&RawObject::parse(text).unwrap(), &mut faults);
        (webhook, faults.into_iter().map(|fault| fault.field).collect())
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        for none in ["{}", r#"{"webhook":null}"#] {
            assert_eq!(read(none), (None, vec![]), "{none}");
        }
        let (webhook, faults) =
            read(r#"{"webhook":{"url":" https://example.com/a?b=c ","headers":{"X-Team":"growth"}}}"#);
        assert_eq!(faults, [""; 0]);
        let webhook = webhook.unwrap();
        assert_eq!(webhook.url, "https://example.com/a?b=c");
        assert_eq!(webhook.headers, [("x-team".to_owned(), "growth".to_owned())]);
        assert!(webhook.on_match && webhook.enabled && !webhook.on_conversion && !webhook.ordered);
        let both =
            Webhook::parse(r#"{"url":"http://[::1]:8/","events":["conversion"],"ordered":true,"enabled":false}"#);
        let both = both.unwrap();
        assert!(!both.on_match && both.on_conversion && both.ordered && !both.enabled);
    }

    #[test]
    fn every_fault_is_named() {
        for (webhook, field) in [
            ("[]", "webhook"),
            ("{}", "webhook.url"),
            (r#"{"url":7}"#, "webhook.url"),
            (r#"{"url":"ftp://example.com"}"#, "webhook.url"),
            (r#"{"url":"example.com/a"}"#, "webhook.url"),
            (r#"{"url":"https://"}"#, "webhook.url"),
            (r#"{"url":"https://user:pass@example.com"}"#, "webhook.url"),
            (r#"{"url":"https://example.com/#a"}"#, "webhook.url"),
            (r#"{"url":"https://exämple.com/"}"#, "webhook.url"),
            (r#"{"url":"https://e.com","secret":"whsec_x"}"#, "webhook.secret"),
            (r#"{"url":"https://e.com","events":[]}"#, "webhook.events"),
            (r#"{"url":"https://e.com","events":["hold_out"]}"#, "webhook.events"),
            (r#"{"url":"https://e.com","headers":{"Authorization":"x"}}"#, "webhook.headers.Authorization"),
            (r#"{"url":"https://e.com","headers":{"x-forwarded-for":"x"}}"#, "webhook.headers.x-forwarded-for"),
            (r#"{"url":"https://e.com","headers":{"x-a\nb":"x"}}"#, "webhook.headers.x-a\nb"),
            (r#"{"url":"https://e.com","headers":{"x-a":"b\r\nc: d"}}"#, "webhook.headers.x-a"),
            (r#"{"url":"https://e.com","ordered":"yes"}"#, "webhook.ordered"),
            (r#"{"url":"https://e.com","enabled":1}"#, "webhook.enabled"),
        ] {
            assert_eq!(read(&format!(r#"{{"webhook":{webhook}}}"#)).1, [field], "{webhook}");
        }
    }
}
