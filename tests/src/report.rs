//! The figures of a benchmark, as a table and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

/// One figure, and what it is held against.
#[derive(Serialize)]
pub struct Row {
    what: String,
    measured: f64,
    unit: &'static str,
    at_least: Option<f64>,
    at_most: Option<f64>,
}

impl Row {
    /// Without a target.
    #[must_use]
    pub fn figure(what: &str, measured: f64, unit: &'static str) -> Self {
        Self { what: what.to_owned(), measured, unit, at_least: None, at_most: None }
    }

    #[must_use]
    pub fn at_least(what: &str, measured: f64, at_least: f64, unit: &'static str) -> Self {
        Self { at_least: Some(at_least), ..Self::figure(what, measured, unit) }
    }

    #[must_use]
    pub fn at_most(what: &str, measured: f64, at_most: f64, unit: &'static str) -> Self {
        Self { at_most: Some(at_most), ..Self::figure(what, measured, unit) }
    }

    fn verdict(&self) -> &'static str {
        let held = self.at_least.is_none_or(|least| self.measured >= least)
            && self.at_most.is_none_or(|most| self.measured <= most);
        match (self.at_least, self.at_most) {
            (None, None) => "",
            _ if held => "met",
            _ => "MISSED",
        }
    }
}

/// Everything that was measured.
#[derive(Default, Serialize)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Adds a figure, and prints it.
    pub fn add(&mut self, row: Row) {
        eprintln!("{}: {:.2} {}", row.what, row.measured, row.unit);
        self.rows.push(row);
    }

    /// As a table.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::from("| figure | measured | target | |\n|---|---|---|---|\n");
        for row in &self.rows {
            let target = match (row.at_least, row.at_most) {
                (Some(least), _) => format!("at least {least}"),
                (_, Some(most)) => format!("at most {most}"),
                _ => String::new(),
            };
            let digits = if row.measured.abs() >= 1000.0 { 0 } else { 2 };
            let _ = writeln!(
                text,
                "| {} | {:.digits$} {} | {target} | {} |",
                row.what,
                row.measured,
                row.unit,
                row.verdict()
            );
        }
        text
    }
}

impl Report {
    /// Prints the table, and writes the figures to a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(&self, json: &std::path::Path) -> anyhow::Result<()> {
        println!("{}", self.text());
        if let Some(folder) = json.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(json, serde_json::to_string_pretty(self)? + "\n")?;
        println!("figures as JSON: {}", json.display());
        Ok(())
    }
}
