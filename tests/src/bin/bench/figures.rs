//! What was measured, and how it is shown.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

/// All figures of a run.
#[derive(Default)]
pub(crate) struct Figures {
    rows: Vec<Row>,
}

struct Row {
    name: &'static str,
    ours: (String, Duration),
    theirs: (String, Duration),
}

impl Row {
    fn ratio(&self) -> f64 {
        self.ours.1.as_secs_f64() / self.theirs.1.as_secs_f64()
    }
}

impl Figures {
    /// Adds a figure: how long this took, and how long that did.
    pub(crate) fn add(&mut self, name: &'static str, ours: (&str, Duration), theirs: (&str, Duration)) {
        let owned = |(what, took): (&str, Duration)| (what.to_owned(), took);
        self.rows.push(Row { name, ours: owned(ours), theirs: owned(theirs) });
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let ((this, took), (that, beside)) = (&row.ours, &row.theirs);
            let (took, beside) = (took.as_secs_f64(), beside.as_secs_f64());
            let _ = writeln!(text, "{:<28} {:>7.2}", row.name, row.ratio());
            let _ = writeln!(text, "    {took:>8.3} s  {this}");
            let _ = writeln!(text, "    {beside:>8.3} s  {that}");
        }
        text
    }

    /// For programs: each ratio by its name, and the times behind it.
    pub(crate) fn json(&self) -> String {
        let mut object = Map::new();
        let mut seconds = Map::new();
        for row in &self.rows {
            object.insert(row.name.to_owned(), json!(row.ratio()));
            seconds.insert(row.name.to_owned(), json!([row.ours.1.as_secs_f64(), row.theirs.1.as_secs_f64()]));
        }
        object.insert("seconds".to_owned(), Value::Object(seconds));
        format!("{}\n", Value::Object(object))
    }
}
