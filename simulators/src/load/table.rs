//! ● Results side by side, as Markdown: a table per case, a row per figure, a column per label.
//!
//! A cell is the median of its runs; behind it, except in the first column, the first column's value divided by this
//! one. What went wrong is added up over the runs; of that a row without any is left out, but for losses.

use std::fmt::Write;

use serde_json::Value;

/// Where a figure is in the JSON of a run, and what it is called.
struct Figure {
    pointer: &'static str,
    name: &'static str,
    of_runs: OfRuns,
}

/// What is made of several runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OfRuns {
    /// Compared with the first column.
    Median,
    /// The median of something that no broker is better for.
    Plain,
    Sum,
    /// A sum that is worth a row only when it is not 0.
    Mishaps,
}

/// A line that is not the JSON of a run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not what `--json` prints: {why}")]
pub struct NotARun {
    /// Which, from 1.
    line: usize,
    /// Why not.
    why: String,
}

/// A run: what it is called, what was measured, and the figures.
struct Run {
    label: String,
    case: String,
    figures: Value,
}

const fn median(pointer: &'static str, name: &'static str) -> Figure {
    Figure { pointer, name, of_runs: OfRuns::Median }
}

const fn plain(pointer: &'static str, name: &'static str) -> Figure {
    Figure { pointer, name, of_runs: OfRuns::Plain }
}

const fn mishaps(pointer: &'static str, name: &'static str) -> Figure {
    Figure { pointer, name, of_runs: OfRuns::Mishaps }
}

const fn sum(pointer: &'static str, name: &'static str) -> Figure {
    Figure { pointer, name, of_runs: OfRuns::Sum }
}

/// Every figure that a table shows, in its order.
const FIGURES: [Figure; 58] = [
    median("/messages_per_second", "messages/s"),
    median("/cpu_us_per_message", "broker CPU, µs/message"),
    median("/latency/p50_us", "latency p50, µs"),
    median("/latency/p99_us", "latency p99, µs"),
    median("/latency/max_us", "latency max, µs"),
    plain("/sent_late_max_us", "sent late, max, µs"),
    plain("/load_cpu_us_per_message", "load's own CPU, µs/message"),
    median("/stored_per_second", "stored messages/s"),
    median("/stored_cpu_us_per_message", "broker CPU, µs/stored message"),
    median("/restart_ms", "restart, ms"),
    median("/restarted_rss_bytes", "memory after it, bytes"),
    median("/first_drained_ms", "return to first message, ms"),
    median("/drained_per_second", "drained messages/s"),
    median("/drained_cpu_us_per_message", "broker CPU, µs/drained message"),
    plain("/sessions_back", "sessions back"),
    sum("/delivered", "delivered"),
    plain("/disk/fsyncs_per_second", "disk: fsyncs/s"),
    plain("/disk/log_records_per_second", "disk: plain log, records/s"),
    median("/connects_per_second", "connects/s"),
    median("/connect_cpu_us", "broker CPU, µs/connect"),
    median("/connection_bytes", "memory, bytes/connection"),
    median("/filter_bytes", "memory, bytes/filter"),
    median("/idle_cpu_us_per_second", "broker CPU when idle, µs/s"),
    median("/at_10/latency/p50_us", "10: latency p50, µs"),
    median("/at_10/latency/p99_us", "10: latency p99, µs"),
    median("/at_10/connect/p50_us", "10: connect, µs"),
    median("/at_10/connect/cpu_us", "10: connect, µs CPU"),
    median("/at_10/subscribe/p50_us", "10: subscribe, µs"),
    median("/at_10/subscribe/cpu_us", "10: subscribe, µs CPU"),
    median("/at_10/first_publish/p50_us", "10: first publish, µs"),
    median("/at_10/first_publish/cpu_us", "10: first publish, µs CPU"),
    median("/at_10/disconnect/p50_us", "10: disconnect, µs"),
    median("/at_10/disconnect/cpu_us", "10: disconnect, µs CPU"),
    median("/at_1000/latency/p50_us", "1,000: latency p50, µs"),
    median("/at_1000/latency/p99_us", "1,000: latency p99, µs"),
    median("/at_1000/connect/p50_us", "1,000: connect, µs"),
    median("/at_1000/connect/cpu_us", "1,000: connect, µs CPU"),
    median("/at_1000/subscribe/p50_us", "1,000: subscribe, µs"),
    median("/at_1000/subscribe/cpu_us", "1,000: subscribe, µs CPU"),
    median("/at_1000/first_publish/p50_us", "1,000: first publish, µs"),
    median("/at_1000/first_publish/cpu_us", "1,000: first publish, µs CPU"),
    median("/at_1000/disconnect/p50_us", "1,000: disconnect, µs"),
    median("/at_1000/disconnect/cpu_us", "1,000: disconnect, µs CPU"),
    median("/at_all/latency/p50_us", "all: latency p50, µs"),
    median("/at_all/latency/p99_us", "all: latency p99, µs"),
    median("/at_all/connect/p50_us", "all: connect, µs"),
    median("/at_all/connect/cpu_us", "all: connect, µs CPU"),
    median("/at_all/subscribe/p50_us", "all: subscribe, µs"),
    median("/at_all/subscribe/cpu_us", "all: subscribe, µs CPU"),
    median("/at_all/first_publish/p50_us", "all: first publish, µs"),
    median("/at_all/first_publish/cpu_us", "all: first publish, µs CPU"),
    median("/at_all/disconnect/p50_us", "all: disconnect, µs"),
    median("/at_all/disconnect/cpu_us", "all: disconnect, µs CPU"),
    sum("/lost", "lost"),
    mishaps("/duplicated", "duplicated"),
    mishaps("/reordered", "out of order"),
    mishaps("/strange", "strange"),
    mishaps("/unacknowledged", "not acknowledged"),
];

/// Tables of all results, in the order in which cases and labels appear.
pub fn markdown(lines: &str) -> Result<String, NotARun> {
    let lines = lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let runs: Vec<Run> = lines.map(|(index, line)| read(index + 1, line)).collect::<Result<_, _>>()?;
    let mut out = String::new();
    for case in in_order(runs.iter().map(|run| run.case.as_str())) {
        let runs: Vec<&Run> = runs.iter().filter(|run| run.case == case).collect();
        put_table(&mut out, case, &runs);
    }
    Ok(out)
}

fn read(line: usize, text: &str) -> Result<Run, NotARun> {
    let figures: Value =
        serde_json::from_str(text).map_err(|error| NotARun { line, why: error.to_string() })?;
    let word = |key: &str| {
        let missing = || NotARun { line, why: format!("it has no `{key}`") };
        figures[key].as_str().map(str::to_owned).ok_or_else(missing)
    };
    Ok(Run { label: word("label")?, case: word("case")?, figures })
}

/// Each once, as they appear.
fn in_order<'a>(words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for word in words {
        if !found.contains(&word) {
            found.push(word);
        }
    }
    found
}

fn put_table(out: &mut String, case: &str, runs: &[&Run]) {
    let labels = in_order(runs.iter().map(|run| run.label.as_str()));
    let separator = if out.is_empty() { "" } else { "\n" };
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{separator}### {case}\n\n| | {} |", labels.join(" | "));
    let _ = writeln!(out, "|---|{}", "---|".repeat(labels.len()));
    for figure in &FIGURES {
        let values: Vec<Option<f64>> = labels.iter().map(|label| of_label(figure, runs, label)).collect();
        if values.iter().flatten().any(|value| figure.of_runs != OfRuns::Mishaps || *value > 0.0) {
            let cells: Vec<String> = values
                .iter()
                .enumerate()
                .map(|(column, value)| cell(figure, &values, column, *value))
                .collect();
            let _ = writeln!(out, "| {} | {} |", figure.name, cells.join(" | "));
        }
    }
}

fn of_label(figure: &Figure, runs: &[&Run], label: &str) -> Option<f64> {
    let runs = runs.iter().filter(|run| run.label == label);
    let mut values: Vec<f64> = runs.filter_map(|run| run.figures.pointer(figure.pointer)?.as_f64()).collect();
    values.sort_by(f64::total_cmp);
    match figure.of_runs {
        OfRuns::Sum | OfRuns::Mishaps => (!values.is_empty()).then(|| values.iter().sum()),
        OfRuns::Median | OfRuns::Plain => middle(&values),
    }
}

/// The median of sorted values; of two in the middle their mean.
fn middle(values: &[f64]) -> Option<f64> {
    let upper = values.get(values.len() / 2)?;
    let lower = values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(*upper, *lower))
}

fn cell(figure: &Figure, values: &[Option<f64>], column: usize, value: Option<f64>) -> String {
    let Some(value) = value else { return "–".to_owned() };
    let first = values.first().copied().flatten();
    match (figure.of_runs, first) {
        (OfRuns::Median, Some(first)) if column > 0 && value > 0.0 => {
            format!("{} ({})", short(value), short(first / value))
        }
        (OfRuns::Median | OfRuns::Plain | OfRuns::Sum | OfRuns::Mishaps, _) => short(value),
    }
}

/// Three digits that count.
fn short(value: f64) -> String {
    let whole = value.fract().abs() < f64::EPSILON;
    match value {
        _ if value >= 1e6 => format!("{:.2}M", value / 1e6),
        _ if value >= 1e5 => format!("{:.0}k", value / 1e3),
        _ if value >= 1e4 => format!("{:.1}k", value / 1e3),
        _ if value >= 100.0 || whole => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_become_medians_with_ratios_and_sums() {
        let lines = [
            r#"{"label":"ours","case":"a","messages_per_second":300000,"cpu_us_per_message":2.0,"load_cpu_us_per_message":1,"lost":0,"strange":0}"#,
            r#"{"label":"theirs","case":"a","messages_per_second":60000.5,"cpu_us_per_message":null,"load_cpu_us_per_message":2,"lost":1,"duplicated":7}"#,
            r#"{"label":"ours","case":"a","messages_per_second":100000,"cpu_us_per_message":4.0,"lost":0}"#,
            r#"{"label":"ours","case":"a","messages_per_second":200000,"cpu_us_per_message":3.25,"lost":0}"#,
            "",
            r#"{"label":"theirs","case":"a","messages_per_second":39999.5,"lost":2}"#,
            r#"{"label":"theirs","case":"b","latency":{"p50_us":99.94},"disk":null}"#,
        ];
        insta::assert_snapshot!(markdown(&lines.join("\n")).unwrap(), @r"
        ### a

        | | ours | theirs |
        |---|---|---|
        | messages/s | 200k | 50.0k (4) |
        | broker CPU, µs/message | 3.25 | – |
        | load's own CPU, µs/message | 1 | 2 |
        | lost | 0 | 3 |
        | duplicated | – | 7 |

        ### b

        | | theirs |
        |---|---|
        | latency p50, µs | 99.9 |
        ");
    }

    #[test]
    fn what_is_no_run_is_named_by_its_line() {
        let say = |lines: &str| markdown(lines).unwrap_err().to_string();
        let run = r#"{"label":"ours","case":"a"}"#;
        assert!(
            say(&format!("{run}\n\nhello")).starts_with("line 3 is not what `--json` prints: expected value")
        );
        assert_eq!(say(r#"{"label":"ours"}"#), "line 1 is not what `--json` prints: it has no `case`");
    }

    #[test]
    fn numbers_have_three_digits_that_count() {
        let all = [0.0, 0.126, 7.0, 12.34, 123.4, 9999.4, 12_345.0, 123_456.0, 1_234_567.0].map(short);
        assert_eq!(all, ["0", "0.13", "7", "12.3", "123", "9999", "12.3k", "123k", "1.23M"]);
    }
}
