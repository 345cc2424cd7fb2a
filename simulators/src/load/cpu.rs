//! CPU time of a process, from `/proc/<pid>/stat`.

use std::time::Duration;

/// Kernel ticks per second on every Linux this runs on (`getconf CLK_TCK`).
const TICKS_PER_SEC: u64 = 100;

/// User and system time of a process so far; `None` when it is gone.
pub fn cpu_time(pid: u32) -> Option<Duration> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// proc(5): the name may hold spaces and parentheses, so fields are counted behind its last parenthesis.
fn parse(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1000 / TICKS_PER_SEC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fourteenth_and_fifteenth_field_count() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1";
        assert_eq!(parse(stat), Some(Duration::from_secs(2)));
        assert!(cpu_time(std::process::id()).is_some());
    }
}
