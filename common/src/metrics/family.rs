//! One metric with a label whose values are fixed when the process starts.

use super::{Cell, Snapshot};

/// A cell for each value of a label.
#[derive(Debug)]
pub struct Family<C> {
    label: &'static str,
    cells: Vec<(String, C)>,
    /// Where counts go whose position has no label; never shown.
    nowhere: C,
}

impl<C: Cell> Family<C> {
    pub fn new<V: Into<String>>(label: &'static str, values: impl IntoIterator<Item = V>) -> Family<C> {
        let cells = values.into_iter().map(|value| (value.into(), C::default())).collect();
        Family { label, cells, nowhere: C::default() }
    }

    /// The cell of the label's value at this position. Positions past the last are accepted and not shown.
    #[inline]
    pub fn at(&self, position: usize) -> &C {
        self.cells.get(position).map_or(&self.nowhere, |(_, cell)| cell)
    }

    /// The label's values with their cells.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &C)> {
        self.cells.iter().map(|(value, cell)| (value.as_str(), cell))
    }

    #[doc(hidden)]
    pub fn collect(&self, name: &str, help: &str, snapshot: &mut Snapshot<'_>) {
        for (value, cell) in self.iter() {
            snapshot.add(name, help, Some((self.label, value)), cell.value());
        }
    }
}
