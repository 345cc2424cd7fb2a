//! ● What is said while an act waits, and when it has waited enough.
//!
//! ```text
//! quiet ──3 s──▶ telling: a line when the reason is another, and every 5 s ──60 s──▶ given up
//! ```

use std::time::Duration;

/// An act that goes well takes less, and says nothing.
const QUIET: Duration = Duration::from_secs(3);
/// The longest silence after that.
const REPEAT: Duration = Duration::from_secs(5);
/// How long an act may take.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// What is to be done about a wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// Nothing new.
    Nothing,
    /// Say this.
    Tell(String),
    /// It is over, for this reason.
    GiveUp(String),
}

/// Watches one act.
#[derive(Clone, Debug, Default)]
pub struct Vigil {
    told: Option<(Duration, String)>,
}

impl Vigil {
    /// Whether it is too early to ask for a reason.
    pub fn is_quiet(&self, waited: Duration) -> bool {
        waited < QUIET
    }

    /// The act has waited so long, and still waits for `reason`.
    pub fn look(&mut self, waited: Duration, reason: &str) -> Word {
        if waited >= PATIENCE {
            return Word::GiveUp(format!("not done after {} s: waits for {reason}", PATIENCE.as_secs()));
        }
        let is_told = self
            .told
            .as_ref()
            .is_some_and(|(at, told)| told == reason && waited.saturating_sub(*at) < REPEAT);
        if self.is_quiet(waited) || is_told {
            return Word::Nothing;
        }
        self.told = Some((waited, reason.to_owned()));
        Word::Tell(format!("waits for {reason} ({} s)", waited.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(reasons: impl Fn(u64) -> &'static str) -> Vec<String> {
        let mut vigil = Vigil::default();
        let mut lines = Vec::new();
        for second in 0..=60 {
            match vigil.look(Duration::from_secs(second), reasons(second)) {
                Word::Nothing => {}
                Word::Tell(text) | Word::GiveUp(text) => lines.push(format!("{second}: {text}")),
            }
        }
        lines
    }

    #[test]
    fn a_change_of_the_reason_is_told_at_once_and_the_same_reason_every_five_seconds() {
        let lines = transcript(|second| match second {
            0..5 => "2 of 60 tags",
            5..12 => "1 of 60 tags",
            _ => "till main-2",
        });
        assert_eq!(
            lines[..5],
            [
                "3: waits for 2 of 60 tags (3 s)",
                "5: waits for 1 of 60 tags (5 s)",
                "10: waits for 1 of 60 tags (10 s)",
                "12: waits for till main-2 (12 s)",
                "17: waits for till main-2 (17 s)",
            ]
        );
    }

    #[test]
    fn after_a_minute_it_is_given_up_with_its_reason() {
        let lines = transcript(|_| "till main-2");
        assert_eq!(lines.last().unwrap(), "60: not done after 60 s: waits for till main-2");
        let gaps = lines.windows(2).map(|pair| {
            let second = |line: &str| line.split(':').next().unwrap().parse::<u64>().unwrap();
            second(&pair[1]) - second(&pair[0])
        });
        assert!(gaps.max().unwrap() <= 5);
    }
}
