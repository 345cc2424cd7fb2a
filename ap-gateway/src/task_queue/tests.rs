use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const TAG: TagId = TagId::from_address(1);

fn face(version: u64) -> FaceHash {
    FaceHash::of(&version.to_be_bytes())
}

fn task(version: u64) -> Task {
    Task { task: format!("t{version}"), version, face: face(version), begun: false }
}

/// A tag that shows `version`; 0 shows nothing.
fn shown(version: u64) -> Shown {
    let face = (version > 0).then(|| face(version));
    Shown { version, face, at: Timestamp::EPOCH, battery_mv: 3000 }
}

fn told(report: &TagReport) -> String {
    match report {
        TagReport::Accepted { version, .. } => format!("accepted {version}"),
        TagReport::Outdated { version, newest, .. } => format!("outdated {version} by {newest}"),
        TagReport::Displayed { version, .. } => format!("displayed {version}"),
        TagReport::Failed { version, reason, .. } => format!("failed {version} {reason:?}"),
        TagReport::OperationAccepted { .. }
        | TagReport::OperationDone { .. }
        | TagReport::OperationFailed { .. } => panic!("{report:?} is about no task"),
    }
}

/// Plays a script of words like `add:7`, and writes down what each led to.
fn play(script: &str) -> String {
    let mut queue = TaskQueue::new(TAG);
    let lines = script.split_whitespace().map(|word| {
        let (what, version) = word.split_once(':').unwrap_or((word, "0"));
        let version: u64 = version.parse().unwrap();
        let reports = match what {
            "add" => queue.add(task(version)),
            "again" => queue.add(Task { face: face(99), ..task(version) }),
            "begin" => queue.begin(version).unwrap_or_default(),
            "shows" => queue.check_in(shown(version)).reports,
            "leave" => queue.leave_roster(),
            "unfit" => queue.give_up_face(face(version)),
            "cancel" if queue.cancel(&format!("t{version}"), version) => vec![],
            "confirm" | "broken" => {
                let drawn = if what == "broken" { Drawn::ScreenBroken } else { Drawn::Shown };
                match queue.confirm(drawn, shown(version)) {
                    Confirmed::Ended(reports) => reports,
                    Confirmed::Repeated => return format!("{word} -> repeated"),
                    Confirmed::Unknown => return format!("{word} -> unknown"),
                }
            }
            other => return format!("{other}:{version} -> refused"),
        };
        format!("{word} -> {}", reports.iter().map(told).collect::<Vec<_>>().join(", "))
    });
    lines.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_task_is_shown_and_its_repetitions_are_answered_again() {
    insta::assert_snapshot!(play("add:3 add:3 begin:3 confirm:3 confirm:3 add:3 shows:3 add:2 again:3"), @r"
    add:3 -> accepted 3
    add:3 -> accepted 3
    begin:3 ->
    confirm:3 -> displayed 3
    confirm:3 -> repeated
    add:3 -> displayed 3
    shows:3 ->
    add:2 -> outdated 2 by 3
    again:3 -> outdated 3 by 3
    ");
}

#[test]
fn the_newest_wins_and_what_was_begun_is_followed_to_its_end() {
    insta::assert_snapshot!(play("add:1 add:2 begin:2 add:3 add:4 confirm:2 shows:2 confirm:3 begin:4 confirm:4"), @r"
    add:1 -> accepted 1
    add:2 -> accepted 2, outdated 1 by 2
    begin:2 ->
    add:3 -> accepted 3
    add:4 -> accepted 4, outdated 3 by 4
    confirm:2 -> displayed 2
    shows:2 ->
    confirm:3 -> unknown
    begin:4 ->
    confirm:4 -> displayed 4
    ");
}

#[test]
fn a_begun_task_that_the_tag_drops_is_outdated() {
    insta::assert_snapshot!(play("add:2 begin:2 add:3 shows:0 confirm:3"), @r"
    add:2 -> accepted 2
    begin:2 ->
    add:3 -> accepted 3
    shows:0 -> outdated 2 by 3
    confirm:3 -> displayed 3
    ");
    insta::assert_snapshot!(play("add:2 begin:2 add:3 begin:3 confirm:2 confirm:3"), @r"
    add:2 -> accepted 2
    begin:2 ->
    add:3 -> accepted 3
    begin:3 -> outdated 2 by 3
    confirm:2 -> unknown
    confirm:3 -> displayed 3
    ");
}

#[test]
fn a_check_in_confirms_as_well() {
    insta::assert_snapshot!(play("add:2 begin:2 shows:2 add:3 begin:3 add:4 shows:3"), @r"
    add:2 -> accepted 2
    begin:2 ->
    shows:2 -> displayed 2
    add:3 -> accepted 3
    begin:3 ->
    add:4 -> accepted 4
    shows:3 -> displayed 3
    ");
}

#[test]
fn a_tag_that_shows_a_higher_version_is_not_taken_back() {
    insta::assert_snapshot!(play("add:2 shows:9 add:5 add:10 shows:10"), @r"
    add:2 -> accepted 2
    shows:9 -> outdated 2 by 9
    add:5 -> outdated 5 by 9
    add:10 -> accepted 10
    shows:10 -> displayed 10
    ");
}

#[test]
fn a_task_can_fail_or_be_cancelled_before_it_is_begun() {
    insta::assert_snapshot!(play("add:1 broken:1 broken:1 add:1 add:2 unfit:2 add:3 cancel:3 cancel:3 add:3 add:4 begin:4 cancel:4 leave"), @r"
    add:1 -> accepted 1
    broken:1 -> failed 1 ScreenBroken
    broken:1 -> repeated
    add:1 -> failed 1 ScreenBroken
    add:2 -> accepted 2
    unfit:2 -> failed 2 FaceUnfit
    add:3 -> accepted 3
    cancel:3 ->
    cancel:3 -> refused
    add:3 -> outdated 3 by 3
    add:4 -> accepted 4
    begin:4 ->
    cancel:4 -> refused
    leave -> failed 4 UnknownTag
    ");
}

#[test]
fn the_same_picture_under_an_older_number_counts() {
    let mut queue = TaskQueue::new(TAG);
    queue.check_in(shown(4));
    queue.add(Task { face: face(4), ..task(5) });
    let checked_in = queue.check_in(shown(4));
    assert_eq!(checked_in.reports.iter().map(told).collect::<Vec<_>>(), ["displayed 5"]);
    assert!(!checked_in.is_surprise);
    assert_eq!(queue.versions().screen, Screen::Shows { version: 5, face: face(4) });
    assert_eq!(queue.check_in(shown(4)), CheckedIn::default());
}

#[test]
fn only_what_no_task_explains_is_a_surprise() {
    let mut queue = TaskQueue::new(TAG);
    assert!(queue.check_in(shown(0)).is_surprise, "it may have lost what another access point gave it");
    assert!(!queue.check_in(shown(0)).is_surprise);
    queue.add(task(2));
    assert!(!queue.check_in(shown(2)).is_surprise);
    assert!(queue.check_in(shown(0)).is_surprise, "it lost its picture");
    assert!(queue.check_in(shown(7)).is_surprise, "somebody else fed it");
    assert!(!queue.check_in(shown(7)).is_surprise);
}

#[test]
fn a_blank_screen_is_told_from_a_tag_that_was_not_heard() {
    let mut queue = TaskQueue::new(TAG);
    assert_eq!(queue.versions().screen, Screen::Unheard);
    queue.add(task(3));
    assert_eq!(queue.versions(), TagVersions { tag: TAG, screen: Screen::Unheard, queued: 3 });
    queue.check_in(shown(0));
    assert_eq!(queue.versions(), TagVersions { tag: TAG, screen: Screen::Blank, queued: 3 });
    queue.confirm(Drawn::Shown, shown(3));
    assert_eq!(queue.versions().screen, Screen::Shows { version: 3, face: face(3) });
    assert!(queue.check_in(shown(0)).is_surprise, "it lost its picture");
    assert_eq!(queue.versions(), TagVersions { tag: TAG, screen: Screen::Blank, queued: 0 });
}

#[derive(Clone, Debug)]
enum Step {
    Add(u64),
    Begin(u64),
    Shows(u64),
    Confirm(u64, Drawn),
    Cancel(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let drawn =
        prop_oneof![4 => Just(Drawn::Shown), 1 => Just(Drawn::ScreenBroken), 1 => Just(Drawn::FaceUnfit)];
    prop_oneof![
        5 => (1..9_u64).prop_map(Step::Add),
        3 => (1..9_u64).prop_map(Step::Begin),
        2 => (0..9_u64).prop_map(Step::Shows),
        4 => ((1..9_u64), drawn).prop_map(|(version, drawn)| Step::Confirm(version, drawn)),
        1 => (1..9_u64).prop_map(Step::Cancel),
    ]
}

fn perform(queue: &mut TaskQueue, step: &Step) -> Vec<TagReport> {
    match *step {
        Step::Add(version) => queue.add(task(version)),
        Step::Begin(version) => queue.begin(version).unwrap_or_default(),
        Step::Shows(version) => queue.check_in(shown(version)).reports,
        Step::Confirm(version, drawn) => match queue.confirm(drawn, shown(version)) {
            Confirmed::Ended(reports) => reports,
            Confirmed::Repeated | Confirmed::Unknown => vec![],
        },
        Step::Cancel(version) => {
            queue.cancel(&format!("t{version}"), version);
            vec![]
        }
    }
}

proptest! {
    #[test]
    fn nothing_at_or_below_a_confirmed_version_is_ever_wanted(steps in prop::collection::vec(step(), 0..60)) {
        let mut queue = TaskQueue::new(TAG);
        let mut confirmed = 0;
        for step in &steps {
            for report in perform(&mut queue, step) {
                if let TagReport::Displayed { version, .. } = report {
                    confirmed = confirmed.max(version);
                }
            }
            if let Step::Shows(version) = step {
                confirmed = confirmed.max(*version);
            }
            prop_assert!(queue.wanted().is_none_or(|task| task.version > confirmed));
        }
    }

    #[test]
    fn the_newest_wins_in_any_order_and_number(versions in prop::collection::vec(1..9_u64, 1..30)) {
        let mut queue = TaskQueue::new(TAG);
        for version in &versions {
            queue.add(task(*version));
        }
        prop_assert_eq!(queue.wanted().map(|task| task.version), versions.iter().max().copied());
        prop_assert_eq!(queue.open().count(), 1);
    }

    #[test]
    fn every_accepted_task_ends_in_one_way_or_is_open(steps in prop::collection::vec(step(), 0..60)) {
        let mut queue = TaskQueue::new(TAG);
        let mut accepted = BTreeSet::new();
        let mut cancelled = BTreeSet::new();
        let mut ends: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
        for step in &steps {
            let before: Vec<u64> = queue.open().map(|task| task.version).collect();
            for report in perform(&mut queue, step) {
                let (version, end) = match &report {
                    TagReport::Accepted { version, .. } => {
                        accepted.insert(*version);
                        continue;
                    }
                    TagReport::Displayed { version, .. } => (*version, "displayed"),
                    TagReport::Failed { version, .. } => (*version, "failed"),
                    TagReport::Outdated { version, .. } => (*version, "outdated"),
                    TagReport::OperationAccepted { .. }
                    | TagReport::OperationDone { .. }
                    | TagReport::OperationFailed { .. } => panic!("{report:?} is about no task"),
                };
                // What is said about a task that had ended before answers a question that came again.
                if before.contains(&version) {
                    ends.entry(version).or_default().insert(end);
                }
            }
            if let Step::Cancel(version) = step && before.contains(version) && queue.open().all(|task| task.version != *version) {
                cancelled.insert(*version);
            }
        }
        let open: BTreeSet<u64> = queue.open().map(|task| task.version).collect();
        for version in accepted {
            let count = ends.get(&version).map_or(0, BTreeSet::len)
                + usize::from(open.contains(&version)) + usize::from(cancelled.contains(&version));
            prop_assert_eq!(count, 1, "version {} has {:?}", version, ends.get(&version));
        }
    }

    #[test]
    fn the_same_thing_twice_changes_nothing(steps in prop::collection::vec(step(), 0..60)) {
        let mut queue = TaskQueue::new(TAG);
        for step in &steps {
            perform(&mut queue, step);
            let once = queue.clone();
            perform(&mut queue, step);
            prop_assert_eq!(&queue, &once);
        }
    }
}
