//! The terminal: one line per event, with the time since the start.

use std::io::Write;

use service_kit::clock::Stopwatch;

/// Prints lines like `+8s  UP    Coffee 4.99 → 5.49`.
#[derive(Clone, Copy, Debug)]
pub struct Screen(Stopwatch);

impl Screen {
    /// The story begins.
    pub fn begin() -> Self {
        Screen(Stopwatch::start())
    }

    /// One event.
    pub fn event(&self, what: &str, text: &str) {
        print(&format!("{:<5} {what:<5} {text}", format!("+{}s", self.0.elapsed().as_secs())));
    }

    /// One event without a name.
    pub fn line(&self, text: &str) {
        print(&format!("{:<5} {text}", format!("+{}s", self.0.elapsed().as_secs())));
    }

    /// Text as it is.
    pub fn plain(&self, text: &str) {
        print(text);
    }
}

/// A terminal that is gone needs no story.
fn print(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Counts what was checked and prints a line for each.
#[derive(Debug)]
pub struct Tally {
    screen: Screen,
    passed: usize,
    failed: usize,
}

impl Tally {
    /// Nothing checked yet.
    pub fn new(screen: Screen) -> Self {
        Tally { screen, passed: 0, failed: 0 }
    }

    /// One check with its evidence or its failure.
    pub fn record(&mut self, what: &str, outcome: Result<String, String>) {
        match outcome {
            Ok(evidence) => {
                self.passed += 1;
                self.screen.line(&format!("ok      {what}: {evidence}"));
            }
            Err(failure) => {
                self.failed += 1;
                self.screen.line(&format!("FAILED  {what}: {failure}"));
            }
        }
    }

    /// The last line; whether nothing failed.
    pub fn close(self) -> bool {
        self.screen.plain(&format!("{} passed, {} failed", self.passed, self.failed));
        self.failed == 0
    }
}
