//! The shop under every interleaving of people, access points, tags and tills.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const TAGS: u64 = 3;
const TILLS: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    Change { product: &'static str, minor: i64 },
    Wish { product: &'static str, minor: i64, ahead: Option<u64> },
    Approve { pick: usize },
    Pause { pick: usize },
    Resume { pick: usize },
    Freeze,
    Thaw,
    Rule { above: Option<u16> },
    Cancel,
    Bind { tag: u64, product: Option<&'static str> },
    AddTill { till: usize },
    RemoveTill { till: usize },
    Down { pick: usize, fate: Fate },
    Up { pick: usize, fate: Fate },
    Hello,
    SendReports,
    LoseStore,
    CheckIn { tag: u64 },
    LosePicture { tag: u64 },
    Fetch { till: usize },
    ApplyOne { till: usize },
    SendAck { till: usize },
    DeliverAck { pick: usize },
    RestartTill { till: usize },
    RestartService,
    UplinkBack,
    Wait { seconds: u64 },
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrive,
    ArriveTwice,
    Lost,
}

fn any_step() -> impl Strategy<Value = Step> {
    let product = || prop::sample::select(vec!["coffee", "milk"]);
    let fate = || prop_oneof![6 => Just(Fate::Arrive), 2 => Just(Fate::ArriveTwice), 2 => Just(Fate::Lost)];
    let pick = || any::<usize>();
    prop_oneof![
        6 => (product(), 1_i64..6).prop_map(|(product, minor)| Step::Change { product, minor }),
        5 => (product(), 1_i64..6, prop::option::of(prop::sample::select(vec![5, 100, 1000])))
            .prop_map(|(product, minor, ahead)| Step::Wish { product, minor, ahead }),
        3 => pick().prop_map(|pick| Step::Approve { pick }),
        1 => pick().prop_map(|pick| Step::Pause { pick }),
        2 => pick().prop_map(|pick| Step::Resume { pick }),
        1 => Just(Step::Freeze),
        2 => Just(Step::Thaw),
        1 => prop::sample::select(vec![None, Some(0), Some(60)]).prop_map(|above| Step::Rule { above }),
        1 => Just(Step::Cancel),
        2 => (1..=TAGS, prop::option::weighted(0.8, product())).prop_map(|(tag, product)| Step::Bind { tag, product }),
        2 => (0..TILLS).prop_map(|till| Step::AddTill { till }),
        1 => (0..TILLS).prop_map(|till| Step::RemoveTill { till }),
        12 => (pick(), fate()).prop_map(|(pick, fate)| Step::Down { pick, fate }),
        12 => (pick(), fate()).prop_map(|(pick, fate)| Step::Up { pick, fate }),
        2 => Just(Step::Hello),
        6 => Just(Step::SendReports),
        1 => Just(Step::LoseStore),
        10 => (1..=TAGS).prop_map(|tag| Step::CheckIn { tag }),
        1 => (1..=TAGS).prop_map(|tag| Step::LosePicture { tag }),
        4 => (0..TILLS).prop_map(|till| Step::Fetch { till }),
        6 => (0..TILLS).prop_map(|till| Step::ApplyOne { till }),
        4 => (0..TILLS).prop_map(|till| Step::SendAck { till }),
        4 => pick().prop_map(|pick| Step::DeliverAck { pick }),
        1 => (0..TILLS).prop_map(|till| Step::RestartTill { till }),
        1 => Just(Step::RestartService),
        1 => Just(Step::UplinkBack),
        3 => prop::sample::select(vec![1, 20, 130, 700, 1900]).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// Everything shows and charges 0.03, and a till more than there was may come.
fn open_shop() -> World {
    let mut world = World::new(TAGS, TILLS - 1);
    for (number, product) in [(1, "coffee"), (2, "coffee"), (3, "milk")] {
        world.put_product(product, 3);
        world.bind(number, product);
    }
    world.calm_down("north", TAGS);
    world
}

fn meet<T: Clone>(queue: &mut Vec<T>, pick: usize, fate: Fate) -> Option<T> {
    let index = pick % queue.len().max(1);
    match fate {
        _ if queue.is_empty() => None,
        Fate::Arrive => Some(queue.remove(index)),
        Fate::ArriveTwice => queue.get(index).cloned(),
        Fate::Lost => {
            queue.remove(index);
            None
        }
    }
}

/// A command about one of the changes that have not ended, if there is one.
fn with_live(
    world: &mut World,
    pick: usize,
    person: &str,
    command: impl FnOnce(ChangeId) -> Command,
) -> Option<Result<Reply, Refusal>> {
    let live: Vec<_> = world.database.changes.values().filter(|row| row.ended.is_none()).collect();
    let change = live.get(pick % live.len().max(1))?.id.clone();
    Some(world.command_by(person, command(change)))
}

/// Nothing holds anything back any more, and the time of everything comes.
fn let_everything_go(world: &mut World) {
    play(world, Step::Thaw);
    world.advance(Duration::from_secs(1000));
    for change in world.database.changes.clone().into_keys() {
        drop(world.command_by("bob", Command::ApproveChange { change: change.clone() }));
        drop(world.command_by("bob", Command::ResumeChange { change }));
    }
}

fn play(world: &mut World, step: Step) {
    match step {
        Step::Change { product, minor } => drop(world.change(product, minor)),
        Step::Wish { product, minor, ahead } => drop(world.wish("alice", product, minor, ahead)),
        Step::Approve { pick } => {
            drop(with_live(world, pick, "bob", |change| Command::ApproveChange { change }));
        }
        Step::Pause { pick } => {
            drop(with_live(world, pick, "bob", |change| Command::PauseChange { change }));
        }
        Step::Resume { pick } => {
            drop(with_live(world, pick, "bob", |change| Command::ResumeChange { change }));
        }
        Step::Freeze => drop(world.command(Command::FreezeStore { store: store(), reason: None })),
        Step::Thaw => drop(world.command(Command::ThawStore { store: store() }).unwrap()),
        Step::Rule { above } => {
            world.command(Command::SetApproval { store: store(), above }).unwrap();
        }
        Step::Cancel => {
            let live = world.database.changes.values().rfind(|row| row.ended.is_none());
            if let Some(change) = live.map(|row| row.id.clone()) {
                world.command(Command::CancelChange { change }).unwrap();
            }
        }
        Step::Bind { tag: number, product: Some(product) } => world.bind(number, product),
        Step::Bind { tag: number, product: None } => {
            world.command(Command::Unbind { tag: tag(number) }).unwrap();
        }
        Step::AddTill { till } => world.add_till(till),
        Step::RemoveTill { till } => world.remove_till(till),
        Step::Down { pick, fate } => {
            if let Some((_, message)) = meet(&mut world.down, pick, fate) {
                world.hear("north", message);
            }
        }
        Step::Up { pick, fate } => {
            if let Some((_, message)) = meet(&mut world.up, pick, fate) {
                world.say("north", message);
            }
        }
        Step::Hello => world.say_hello("north"),
        Step::SendReports => world.send_reports("north"),
        Step::LoseStore => world.lose_store("north"),
        Step::CheckIn { tag } => world.check_in("north", tag),
        Step::LosePicture { tag } => world.lose_picture(tag),
        Step::Fetch { till } => world.fetch(till),
        Step::ApplyOne { till } => world.apply_one(till),
        Step::SendAck { till } => world.send_ack(till),
        Step::DeliverAck { pick } => {
            if let Some((till, upto)) = meet(&mut world.acks, pick, Fate::ArriveTwice) {
                world.ack(till, upto);
            }
        }
        Step::RestartTill { till } => world.restart_till(till),
        Step::RestartService => world.restart(),
        Step::UplinkBack => drop(world.handle(Input::UplinkBack)),
        Step::Wait { seconds } => world.advance(Duration::from_secs(seconds)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn no_till_is_ever_above_a_tag_and_in_the_end_everything_agrees(
        steps in prop::collection::vec(any_step(), 1..120)
    ) {
        let mut world = open_shop();
        for step in steps {
            play(&mut world, step);
            world.check();
        }
        let_everything_go(&mut world);
        world.calm_down("north", TAGS);
        world.check();
        for row in world.database.changes.values() {
            prop_assert!(row.ended.is_some(), "{row:?}");
        }
        for (order, progress) in world.database.tasks.values() {
            prop_assert!(progress.state.is_end(), "{order:?} {progress:?}");
        }
        for number in 1..=TAGS {
            let wanted = world.shop.tags[&tag(number)].row.product.clone();
            let wanted = wanted.map(|key| (key.product.clone(), world.shop.products[&key].row.price));
            prop_assert_eq!(world.shown_price(number), wanted, "tag {}", number);
        }
        for (key, product) in &world.shop.products {
            for real in world.tills.iter().filter(|real| real.is_registered) {
                prop_assert_eq!(real.charges.get(key), Some(&product.row.price));
            }
        }
    }
}
