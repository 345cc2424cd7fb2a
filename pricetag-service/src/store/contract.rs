//! Every function of the store on SQLite, and on PostgreSQL when `TEST_DATABASE_URL` says where one is.
//!
//! The shop plays a story whose rows a model keeps; the database must give back the same rows.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor};
use wire::operation::{Action, Colour, Flash, Page};
use wire::tag::{ApStatus, TagHealth};
use wire::till::TillEntry;

use super::devices::{Standing, TagFilter};
use super::feed::TillFilter;
use super::operations::{OperationFilter, OperationView};
use super::prices::{ChangeFilter, ProductFilter};
use super::tasks::{Horizon, TaskFilter};
use super::{Database, StoreError, devices, faces, feed, load, operations, prices, tasks, write};
use crate::names::Actor;
use crate::render::Painted;
use crate::shop::operations::Wish;
use crate::shop::rows::{Rows, Write};
use crate::shop::tests::world::{World, device, key, store, tag};
use crate::shop::words::{Command, FromAccessPoint, Thing};

/// Two products; a change that completed, one that was cancelled, one on its way; a tag that was removed.
fn story() -> World {
    let mut world = World::new(4, 1);
    world.put_product("coffee", 499);
    world.put_product("milk", 129);
    for (number, product) in [(1, "coffee"), (2, "coffee"), (3, "milk")] {
        world.bind(number, product);
    }
    world.calm_down("north", 4);
    world.change("coffee", 549).unwrap();
    world.calm_down("north", 4);
    let cancelled = world.change("milk", 139).unwrap();
    world.deliver_all("north");
    world.command(Command::CancelChange { change: cancelled }).unwrap();
    world.command(Command::AttestRemoval { tag: tag(4) }).unwrap();
    world.change("coffee", 449).unwrap();
    for action in [
        Action::Identify,
        Action::LightUp { colour: Colour::Green, flash: Flash::Slow },
        Action::LightUp { colour: Colour::Red, flash: Flash::Fast },
        Action::PageFlip { page: Page::Information },
    ] {
        let wish = Wish { action, seconds: 10.try_into().unwrap(), within: Duration::from_mins(5) };
        world.command(Command::Operate(tag(1), wish)).unwrap();
        if action == Action::Identify {
            world.deliver_all("north");
            world.operate("north", 1);
            world.deliver_all("north");
        }
    }
    let health = TagHealth { tag: tag(1), seen: world.now, battery_mv: 2900, lqi: 200, temperature_c: -3 };
    let status = ApStatus::Status {
        clock: world.now,
        tasks_queued: 2,
        reports_waiting: 1,
        frames_refused: 7,
        part: 0,
        parts: 1,
        tags: vec![health],
    };
    world.say("north", FromAccessPoint::Status(status));
    world
}

/// Writes what the shop wrote, from the given row on.
async fn keep(database: &Database, world: &World, from: usize) {
    let mut transaction = database.begin().await.unwrap();
    for row in &world.writes[from..] {
        write::apply(&mut transaction, row, &Actor::api(), world.now).await.unwrap();
    }
    write::mark(&mut transaction, "the-last-one").await.unwrap();
    transaction.commit().await.unwrap();
}

fn sorted(mut rows: Rows) -> Rows {
    rows.stores.sort_by(|one, two| one.0.store.cmp(&two.0.store));
    rows.access_points.sort_by(|one, two| one.device.cmp(&two.device));
    rows.products.sort_by(|one, two| one.key.cmp(&two.key));
    rows.tags.sort_by_key(|(row, _)| row.tag);
    for (_, seen) in &mut rows.tags {
        *seen = None;
    }
    rows.entries.sort();
    rows.sent.sort_by_key(|(tag, sent)| (*tag, sent.version));
    rows.tasks.sort_by(|one, two| one.0.id.cmp(&two.0.id));
    rows.changes.sort_by(|one, two| one.id.cmp(&two.id));
    rows.operations.sort_by(|one, two| one.0.id.cmp(&two.0.id));
    rows
}

async fn rows_come_back(database: &Database, world: &World) {
    let mut db = database.reader().await.unwrap();
    assert_eq!(sorted(load::rows(&mut db).await.unwrap()), sorted(world.database.rows()));
    assert_eq!(load::mark(&mut db).await.unwrap(), "the-last-one");
}

async fn a_store_is_seen(database: &Database, world: &World) {
    let Some(Write::Store(row)) = world.writes.first().cloned() else {
        panic!("a story begins with a store")
    };
    let mut transaction = database.begin().await.unwrap();
    let (currency, store) = ("CHF".parse().unwrap(), row.store.clone());
    let other = Write::Store(crate::shop::rows::StoreRow { currency, ..row });
    write::apply(&mut transaction, &other, &Actor::api(), world.now).await.unwrap();
    transaction.rollback().await.unwrap();
    let mut db = database.reader().await.unwrap();
    let view = prices::list_stores(&mut db, Some(store.as_str())).await.unwrap().pop().unwrap();
    assert_eq!((view.currency.as_str(), view.products, view.tags, view.tills), ("EUR", 2, 3, 1));
}

async fn tags_are_seen(database: &Database) {
    let mut db = database.reader().await.unwrap();
    let all = devices::list_tags(&mut db, &TagFilter::default(), 10).await.unwrap();
    let standings: Vec<Standing> = all.iter().map(|view| view.standing).collect();
    assert_eq!(standings, [Standing::Held, Standing::Held, Standing::Updating, Standing::Removed]);
    let view = devices::find_tag(&mut db, tag(1)).await.unwrap().unwrap();
    let health = view.health.unwrap();
    assert_eq!((health.battery_mv, health.lqi, health.temperature_c), (2900, Some(200), Some(-3)));
    assert_eq!(view.shows.unwrap().price_minor, Some(549));
    assert_eq!(view.should_show.unwrap().price_minor, Some(449));
    let filter = TagFilter {
        store: Some("s1".to_owned()),
        access_point: Some("north".to_owned()),
        product: Some("coffee".to_owned()),
        after: Some(tag(1).to_string()),
    };
    let some = devices::list_tags(&mut db, &filter, 10).await.unwrap();
    assert_eq!(some.iter().map(|view| view.tag.clone()).collect::<Vec<_>>(), [tag(2).to_string()]);
    assert!(devices::find_tag(&mut db, tag(99)).await.unwrap().is_none());
    let (should, shows) = devices::faces_of(&mut db, tag(1)).await.unwrap().unwrap();
    assert!(should.is_some() && shows.is_some() && should != shows);
    let points = devices::list_access_points(&mut db, Some("s1"), Some("north"), 0).await.unwrap();
    assert_eq!((points[0].tags, points[0].tasks_open, points[0].frames_refused), (3, 3, 7));
    assert!(points[0].is_online);
}

async fn prices_are_seen(database: &Database) {
    let mut db = database.reader().await.unwrap();
    let products = prices::list_products(&mut db, &ProductFilter::default(), 10).await.unwrap();
    let told: Vec<_> = products.iter().map(|view| (view.price_minor, view.till_minor, view.tags)).collect();
    assert_eq!(told, [(449, Some(449), 2), (129, Some(129), 1)]);
    let after = ProductFilter { after: Some("s1/coffee".to_owned()), ..ProductFilter::default() };
    assert_eq!(prices::list_products(&mut db, &after, 10).await.unwrap().len(), 1);
    assert!(prices::find_product(&mut db, &key("tea")).await.unwrap().is_none());
    let changes = prices::list_changes(&mut db, &ChangeFilter::default(), 10).await.unwrap();
    let states: Vec<&str> = changes.iter().map(|view| view.state.as_str()).collect();
    assert_eq!(states, ["running", "running", "cancelled", "completed"]);
    let completed = &changes[3];
    assert_eq!((completed.shelf.displayed, completed.shelf.total), (2, 2));
    assert_eq!((completed.till.applied, completed.till.total, completed.till.unproven), (1, 1, false));
    let id = completed.change.parse().unwrap();
    assert!(prices::find_change(&mut db, &id).await.unwrap().unwrap().ended_at.is_some());
    let filter = ChangeFilter {
        store: Some("s1".to_owned()),
        product: Some("coffee".to_owned()),
        state: Some("running".to_owned()),
        before: None,
    };
    assert_eq!(prices::list_changes(&mut db, &filter, 10).await.unwrap().len(), 1);
    let steps = tasks::steps_of_change(&mut db, &id).await.unwrap();
    assert_eq!(steps.iter().filter(|step| step.state == "displayed").count(), 2);
}

async fn tasks_are_seen(database: &Database) {
    let mut db = database.reader().await.unwrap();
    let open = TaskFilter { state: Some("open".to_owned()), ..TaskFilter::default() };
    let open = tasks::list_tasks(&mut db, &open, 10).await.unwrap();
    assert_eq!(open.len(), 3);
    let filter = TaskFilter {
        state: Some("displayed".to_owned()),
        tag: Some(tag(1).to_string()),
        product: Some("coffee".to_owned()),
        change: None,
        before: Some(open[0].task.clone()),
        overdue_before: 0,
    };
    let displayed = tasks::list_tasks(&mut db, &filter, 10).await.unwrap();
    assert_eq!(displayed.iter().map(|task| task.version).collect::<Vec<_>>(), [2, 1]);
    let id = displayed[0].task.parse().unwrap();
    assert_eq!(tasks::find_task(&mut db, &id, 0).await.unwrap().unwrap().price_minor, Some(549));
    let steps = tasks::transitions(&mut db, &id).await.unwrap();
    let steps: Vec<String> =
        steps.iter().map(|step| format!("{} {} {}", step.step, step.to, step.actor)).collect();
    assert_eq!(
        steps,
        ["1 pending api", "2 sent api", "3 pending api", "4 sent api", "5 accepted api", "6 displayed api"]
    );
    let everything = Horizon { online_after: 0, overdue_before: i64::MAX };
    let late =
        TaskFilter { state: Some("overdue".to_owned()), overdue_before: i64::MAX, ..TaskFilter::default() };
    let late = tasks::list_tasks(&mut db, &late, 10).await.unwrap();
    let summary = tasks::summary(&mut db, everything).await.unwrap();
    assert_eq!((late.len(), summary.tasks_overdue), (3, 3));
    assert!(late.iter().all(|task| task.overdue));
    assert_eq!((summary.tags, summary.tasks_open, summary.tasks_held, summary.changes_running), (3, 3, 2, 2));
}

async fn operations_are_seen(database: &Database) {
    let mut db = database.reader().await.unwrap();
    let all = operations::list(&mut db, &OperationFilter::default(), 10).await.unwrap();
    let told = |view: &OperationView| format!("{} {} {}", view.kind, view.state, view.reason);
    assert_eq!(
        all.iter().map(told).collect::<Vec<_>>(),
        ["page_flip sent ", "light_up sent ", "light_up superseded ", "identify done "]
    );
    let light_up = &all[1];
    assert_eq!((light_up.colour.as_deref(), light_up.flash.as_deref()), (Some("red"), Some("fast")));
    assert_eq!((all[0].page.as_deref(), light_up.seconds, light_up.sendings), (Some("information"), 10, 1));
    let filter = OperationFilter {
        state: Some("open".to_owned()),
        tag: Some(tag(1).to_string()),
        kind: Some("light_up".to_owned()),
        before: Some(all[0].operation.clone()),
    };
    let some = operations::list(&mut db, &filter, 10).await.unwrap();
    assert_eq!(some.iter().map(|view| &view.operation).collect::<Vec<_>>(), [&light_up.operation]);
    let id = all[3].operation.parse().unwrap();
    assert_eq!(operations::find(&mut db, &id).await.unwrap().unwrap().actor, "api");
    let steps = operations::transitions(&mut db, &id).await.unwrap();
    let steps: Vec<String> = steps.iter().map(|step| format!("{} {}", step.step, step.to)).collect();
    assert_eq!(steps, ["1 pending", "2 sent", "3 accepted", "4 done"]);
    assert!(operations::find(&mut db, &"nope".parse().unwrap()).await.unwrap().is_none());
}

async fn the_feed_is_read(database: &Database) {
    let mut db = database.reader().await.unwrap();
    let snapshot = feed::snapshot(&mut db, &store()).await.unwrap();
    let told = |entry: &TillEntry| format!("{} {} {}", entry.seq, entry.product, entry.price);
    assert_eq!(snapshot.entries.iter().map(told).collect::<Vec<_>>(), ["2 milk 1.29", "4 coffee 4.49"]);
    assert_eq!(snapshot.head, 4);
    let after = feed::after(&mut db, &store(), 2).await.unwrap();
    assert_eq!(after.entries.iter().map(told).collect::<Vec<_>>(), ["4 coffee 4.49"]);
    let tills = feed::tills(&mut db, &TillFilter::default()).await.unwrap();
    let told: Vec<_> = tills.iter().map(|at| (at.cursor, at.head, at.behind, at.holds)).collect();
    assert_eq!(told, [(3, 4, 1, 1)]);
    assert!(tills[0].heard_at.is_some());
    let cancelled = TillFilter { change: Some("nope".to_owned()), store: None };
    assert!(feed::tills(&mut db, &cancelled).await.unwrap().is_empty());
}

async fn faces_are_kept(database: &Database, world: &World) {
    let face = wire::face::Face::from_pixels(296, 128, |x, y| x == y).unwrap();
    let file = face.to_file();
    let hash = wire::face::FaceHash::of(&file);
    let painted = Painted { hash, content: "a diagonal".to_owned(), face };
    let mut transaction = database.begin().await.unwrap();
    faces::add(&mut transaction, &painted, world.now).await.unwrap();
    faces::add(&mut transaction, &painted, world.now).await.unwrap();
    transaction.commit().await.unwrap();
    let mut db = database.reader().await.unwrap();
    assert_eq!(faces::find(&mut db, hash).await.unwrap(), Some(file));
    assert_eq!(faces::find(&mut db, wire::face::FaceHash::of(b"")).await.unwrap(), None);
    assert!(faces::wanted(&mut db).await.unwrap().is_empty());
}

async fn a_snapshot_is_of_one_moment(database: &Database) {
    let mut snapshot = database.snapshot().await.unwrap();
    assert_eq!(load::mark(&mut snapshot).await.unwrap(), "the-last-one");
    let mut transaction = database.begin().await.unwrap();
    write::mark(&mut transaction, "a-later-one").await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(load::mark(&mut snapshot).await.unwrap(), "the-last-one");
    drop(snapshot);
    let mut db = database.reader().await.unwrap();
    assert_eq!(load::mark(&mut db).await.unwrap(), "a-later-one");
}

async fn what_is_gone_leaves_nothing(database: &Database, world: &mut World) {
    let from = world.writes.len();
    for number in [1, 2, 3] {
        world.command(Command::AttestRemoval { tag: tag(number) }).unwrap();
    }
    world.calm_down("north", 0);
    for number in [1, 2, 3, 4] {
        world.command(Command::Remove(Thing::Tag(tag(number)))).unwrap();
    }
    for product in ["coffee", "milk"] {
        world.command(Command::Remove(Thing::Product(key(product)))).unwrap();
    }
    keep(database, world, from).await;
    let mut db = database.reader().await.unwrap();
    assert_eq!(feed::snapshot(&mut db, &store()).await.unwrap().entries, [], "nobody charges them any more");
    drop(db);
    rows_come_back(database, world).await;
    let from = world.writes.len();
    world.remove_till(0);
    world.command(Command::Remove(Thing::AccessPoint(store(), device("north")))).unwrap();
    world.command(Command::Remove(Thing::Store(store()))).unwrap();
    keep(database, world, from).await;
    let mut db = database.reader().await.unwrap();
    assert_eq!(load::rows(&mut db).await.unwrap(), Rows::default());
}

async fn broken_rules_are_refused(database: &Database, world: &World) {
    let transition = world.writes.iter().find(|write| matches!(write, Write::Transition { .. })).unwrap();
    let mut transaction = database.begin().await.unwrap();
    let refused = write::apply(&mut transaction, transition, &Actor::api(), world.now).await.unwrap_err();
    let StoreError::Sql(sqlx::Error::Database(cause)) = refused else { panic!("{refused}") };
    assert!(cause.is_unique_violation());
}

async fn check(url: &str) {
    let (database, mut world) = (Database::open(url).await.unwrap(), story());
    keep(&database, &world, 0).await;
    rows_come_back(&database, &world).await;
    a_store_is_seen(&database, &world).await;
    tags_are_seen(&database).await;
    prices_are_seen(&database).await;
    tasks_are_seen(&database).await;
    operations_are_seen(&database).await;
    the_feed_is_read(&database).await;
    faces_are_kept(&database, &world).await;
    broken_rules_are_refused(&database, &world).await;
    a_snapshot_is_of_one_moment(&database).await;
    what_is_gone_leaves_nothing(&database, &mut world).await;
    database.close().await;
    // A second start finds its migrations done.
    Database::open(url).await.unwrap().close().await;
}

#[tokio::test]
async fn the_store_on_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    check(&format!("sqlite://{}?mode=rwc", dir.path().join("shop.db").display())).await;
}

#[tokio::test]
async fn the_store_on_postgres() {
    let Ok(url) = std::env::var("TEST_DATABASE_URL") else { return };
    sqlx::any::install_default_drivers();
    let admin = sqlx::AnyPool::connect(&url).await.unwrap();
    let schema = format!("pricetag_{}", service_kit::random::secret_text());
    admin.execute(AssertSqlSafe(format!("create schema {schema}"))).await.unwrap();
    let separator = if url.contains('?') { '&' } else { '?' };
    check(&format!("{url}{separator}options[search_path]={schema}")).await;
    admin.execute(AssertSqlSafe(format!("drop schema {schema} cascade"))).await.unwrap();
    admin.close().await;
}
