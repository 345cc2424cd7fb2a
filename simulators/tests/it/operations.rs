//! Operations through every program, from the API to the tag, beside a price.

use serde_json::{Value, json};
use simulators::demo::acts;
use wire::operation::{Colour, Flash, Page};
use wire::till::Price;

use crate::world::World;

/// Waits until the service knows how an operation ended.
async fn ended(world: &World, operation: &Value) -> String {
    loop {
        let view = world.stage.api.operation(operation["operation"].as_str().unwrap()).await.unwrap();
        let state = view["state"].as_str().unwrap();
        if !["pending", "sent", "accepted"].contains(&state) {
            return state.to_owned();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_lights_up_and_flips_its_page_and_a_new_price_takes_the_page_away() {
    let world = World::start().await;
    let stage = &world.stage;
    acts::tags_are_current(stage).await.unwrap();
    let planned = &stage.shop.tags[0];
    let (tag, product) = (planned.config.tag, planned.product.clone());
    let lit = json!({"kind": "light_up", "colour": "red", "flash": "fast", "seconds": 300});
    let lit = stage.api.operate(tag, &lit).await.unwrap();
    let flip = stage.api.operate(tag, &json!({"kind": "page_flip", "seconds": 300})).await.unwrap();
    let is_so = |led, page| move |view: simulators::tag_fleet::TagView| (view.led, view.page) == (led, page);
    let both = is_so(Some((Colour::Red, Flash::Fast)), Some(Page::Information));
    stage.fleet.until(|fleet| fleet.view(tag).is_some_and(both)).await;
    assert_eq!((ended(&world, &lit).await.as_str(), ended(&world, &flip).await.as_str()), ("done", "done"));
    let behind = stage.fleet.shown(tag).expect("its face is behind the page").version;

    let before = stage.shop.products.iter().find(|known| known.product == product).unwrap().price;
    let price = Price::from_minor(before.as_minor() + 10).unwrap();
    stage.change_price(&product, price, "beside a page").await.unwrap();
    stage
        .fleet
        .until(|fleet| fleet.view(tag).is_some_and(|view| view.page.is_none() && view.led.is_some()))
        .await;
    stage.fleet.until(|fleet| fleet.shown(tag).is_some_and(|shown| shown.version > behind)).await;
    acts::tags_are_current(stage).await.unwrap();
    acts::audit_is_whole(stage).await.unwrap();
    world.stop().await;
}
