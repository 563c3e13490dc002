//! What was measured, and how it is shown.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

/// All figures of a run.
#[derive(Default)]
pub(crate) struct Figures {
    rows: Vec<Row>,
}

enum Row {
    /// Ours over theirs.
    Ratio { name: &'static str, of: Of, ours: (String, f64), theirs: (String, f64) },
    /// What there is nothing beside.
    Alone { name: &'static str, what: String, value: f64 },
}

/// What a ratio is of: where the values behind it are in the object, and what a person reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Seconds,
    PerSecond,
}

impl Of {
    const ALL: [Self; 2] = [Self::Seconds, Self::PerSecond];

    fn key(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::PerSecond => "per_second",
        }
    }

    fn shown(self, value: f64) -> String {
        match self {
            Self::Seconds => format!("{value:>9.4} s "),
            Self::PerSecond => format!("{value:>9.1} /s"),
        }
    }
}

impl Figures {
    /// Adds a figure: how long this took, and how long that did.
    pub(crate) fn add(&mut self, name: &'static str, ours: (&str, Duration), theirs: (&str, Duration)) {
        let seconds = |(what, took): (&str, Duration)| (what.to_owned(), took.as_secs_f64());
        self.rows.push(Row::Ratio { name, of: Of::Seconds, ours: seconds(ours), theirs: seconds(theirs) });
    }

    /// Adds a figure: how many of this there were in a second, and how many of that.
    pub(crate) fn add_rates(&mut self, name: &'static str, ours: (&str, f64), theirs: (&str, f64)) {
        let owned = |(what, rate): (&str, f64)| (what.to_owned(), rate);
        self.rows.push(Row::Ratio { name, of: Of::PerSecond, ours: owned(ours), theirs: owned(theirs) });
    }

    /// Adds a figure that is no ratio.
    pub(crate) fn add_alone(&mut self, name: &'static str, what: &str, value: f64) {
        self.rows.push(Row::Alone { name, what: what.to_owned(), value });
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let _ = match row {
                Row::Ratio { name, of, ours: (this, took), theirs: (that, beside) } => {
                    let (took_shown, beside_shown) = (of.shown(*took), of.shown(*beside));
                    let ratio = took / beside;
                    writeln!(text, "{name:<28} {ratio:>9.2}\n    {took_shown}  {this}\n    {beside_shown}  {that}")
                }
                Row::Alone { name, what, value } => writeln!(text, "{name:<28} {value:>9}\n                  {what}"),
            };
        }
        text
    }

    /// For programs: each figure by its name, and the values behind a ratio.
    pub(crate) fn json(&self) -> String {
        let mut object = Map::new();
        for row in &self.rows {
            match row {
                Row::Ratio { name, ours, theirs, .. } => object.insert((*name).to_owned(), json!(ours.1 / theirs.1)),
                Row::Alone { name, value, .. } => object.insert((*name).to_owned(), json!(value)),
            };
        }
        for kind in Of::ALL {
            let behind = self.rows.iter().filter_map(|row| match row {
                Row::Ratio { name, of, ours, theirs } if *of == kind => {
                    Some(((*name).to_owned(), json!([ours.1, theirs.1])))
                }
                _ => None,
            });
            object.insert(kind.key().to_owned(), Value::Object(behind.collect()));
        }
        format!("{}\n", Value::Object(object))
    }
}
