//! Reads what a program says of itself on `/metrics`, in Prometheus' text form.

use crate::program::Program;

/// One reading.
#[derive(Debug, Clone)]
pub struct Metrics(Vec<Sample>);

#[derive(Debug, Clone)]
struct Sample {
    name: String,
    labels: String,
    value: f64,
}

impl Metrics {
    /// Asks a program.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn of(program: &Program) -> Self {
        let answer =
            program.client().get("/metrics").await.unwrap_or_else(|e| panic!("{} has no metrics: {e}", program.name));
        assert_eq!(answer.status, 200, "{}", answer.text());
        Self::parse(&answer.text())
    }

    /// Reads the text form; lines that are no samples are skipped.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    /// The sum of a metric over those of its series that have all of `labels` (each as `name="value"`).
    #[must_use]
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let fits = |s: &&Sample| s.name == name && labels.iter().all(|label| s.labels.contains(label));
        self.0.iter().filter(fits).fold(0.0, |sum, s| sum + s.value)
    }

    /// Is there any series of this name?
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|s| s.name == name)
    }

    /// Every name, once.
    #[must_use]
    pub fn names(&self) -> std::collections::BTreeSet<&str> {
        self.0.iter().map(|s| s.name.as_str()).collect()
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    Some(Sample { name: name.to_owned(), labels: labels.trim_end_matches('}').to_owned(), value: value.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_by_label() {
        let metrics = Metrics::parse("# TYPE a counter\na{r=\"x\",s=\"1\"} 2\na{r=\"y\",s=\"1\"} 3\nb 7\n\n");
        let asked = |labels: &[&str]| metrics.sum("a", labels).to_string();
        assert_eq!([asked(&[]), asked(&["r=\"x\""]), asked(&["r=\"x\"", "s=\"2\""])], ["5", "2", "0"]);
        assert_eq!(metrics.names().into_iter().collect::<Vec<_>>(), ["a", "b"]);
    }
}
