//! Charts that follow second by second: `console.js` draws them from what a stream tells.

/// A chart: its title, and its lines with the figure each shows.
pub struct Chart {
    pub title: &'static str,
    pub unit: &'static str,
    pub lines: &'static [(&'static str, &'static str)],
}
