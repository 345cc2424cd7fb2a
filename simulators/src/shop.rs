//! A shop to simulate: what there is in it, made from a seed, and how to set it up in a running price-tag service.

/// The price-tag service's API, as far as the simulators use it.
pub mod api;
/// What a shop sells.
mod catalogue;

use std::collections::BTreeMap;

use futures_util::{TryStreamExt, stream};
use serde_json::json;
use wire::DeviceId;
use wire::tag::{RadioKey, TagId};
use wire::till::{Price, ProductId, StoreId, TillId};

use self::api::Enrolled;
pub use self::api::{ApiError, Client};
use crate::air::Dice;
use crate::tag_fleet::TagConfig;

/// Most tags of one shop.
pub const TAGS_MAX: usize = 20_000;
/// Requests under way at the same time while a shop is set up.
const REQUESTS_AT_ONCE: usize = 8;
/// Simulated tags have locally administered addresses, which no maker gives out.
const ADDRESS_BASE: u64 = 0x0245_5300_0000_0000;

/// A shop. The same seed makes the same shop.
#[derive(Clone, Debug)]
pub struct ShopPlan {
    /// Its name in the system.
    pub store: StoreId,
    /// Its name for people.
    pub name: String,
    /// Of its prices.
    pub currency: String,
    /// What hangs under the ceiling.
    pub access_points: Vec<DeviceId>,
    /// What stands at the exit.
    pub tills: Vec<TillId>,
    /// What it sells.
    pub products: Vec<PlannedProduct>,
    /// What hangs at the shelves.
    pub tags: Vec<PlannedTag>,
}

/// A product.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedProduct {
    /// Its name in the system.
    pub product: ProductId,
    /// Its name for people.
    pub name: String,
    /// Its first price.
    pub price: Price,
    /// What one gets for it.
    pub unit: String,
}

/// A tag.
#[derive(Clone, Debug)]
pub struct PlannedTag {
    /// Its name, key and size. The key comes from the seed: good for a simulation, and for nothing else.
    pub config: TagConfig,
    /// Who serves it.
    pub access_point: DeviceId,
    /// What it shows the price of.
    pub product: ProductId,
}

/// Why there is no such shop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Tags need one.
    #[error("a shop needs an access point")]
    NoAccessPoint,
    /// Too many tags.
    #[error("a shop has at most {TAGS_MAX} tags, not {0}")]
    TooManyTags(usize),
    /// Our own text is no name; a mistake in the catalogue.
    #[error("the catalogue has a name that is none")]
    Name(#[from] wire::till::ParseShopNameError),
    /// Our own figure is no price; a mistake in the catalogue.
    #[error("the catalogue has a price that is none")]
    Price(#[from] wire::till::ParsePriceError),
}

impl ShopPlan {
    /// A shop with so many tags, in turn at each access point. Coffee has three, milk two, others one to three.
    pub fn new(
        seed: u64,
        store: StoreId,
        access_points: &[DeviceId],
        tags: usize,
    ) -> Result<ShopPlan, PlanError> {
        if access_points.is_empty() {
            return Err(PlanError::NoAccessPoint);
        }
        if tags > TAGS_MAX {
            return Err(PlanError::TooManyTags(tags));
        }
        let mut dice = Dice::new(seed);
        let mut plan = ShopPlan {
            name: format!("Corner shop {store}"),
            store,
            currency: "EUR".to_owned(),
            access_points: access_points.to_vec(),
            tills: vec!["till-1".parse()?],
            products: Vec::new(),
            tags: Vec::new(),
        };
        while plan.tags.len() < tags {
            let (product, copies) = catalogue::product(plan.products.len(), &mut dice)?;
            for _ in 0..copies.min(tags - plan.tags.len()) {
                let tag = plan.next_tag(seed, &product.product, &mut dice);
                plan.tags.push(tag);
            }
            plan.products.push(product);
        }
        Ok(plan)
    }

    fn next_tag(&self, seed: u64, product: &ProductId, dice: &mut Dice) -> PlannedTag {
        let number = self.tags.len();
        let mut key = [0; 16];
        key[..8].copy_from_slice(&dice.throw().to_be_bytes());
        key[8..].copy_from_slice(&dice.throw().to_be_bytes());
        // One tag in six is of the smaller kind.
        let (width, height) = if dice.between(1, 6) == 1 { (250, 122) } else { (296, 128) };
        let config = TagConfig {
            tag: TagId::from_address(ADDRESS_BASE | (seed & 0xffff) << 20 | number as u64),
            key: RadioKey::from_octets(key),
            width,
            height,
        };
        let access_point = self.access_points[number % self.access_points.len()].clone();
        PlannedTag { config, access_point, product: product.clone() }
    }

    /// The tags of each access point.
    pub fn tags_by_access_point(&self) -> BTreeMap<DeviceId, Vec<TagConfig>> {
        let mut all: BTreeMap<DeviceId, Vec<TagConfig>> = BTreeMap::new();
        for tag in &self.tags {
            all.entry(tag.access_point.clone()).or_default().push(tag.config.clone());
        }
        all
    }

    /// The tags that show a product.
    pub fn tags_of(&self, product: &ProductId) -> Vec<TagId> {
        let tags = self.tags.iter().filter(|tag| tag.product == *product);
        tags.map(|tag| tag.config.tag).collect()
    }
}

/// Sets the shop up in a running service; doing it again changes nothing. Returns the access points' credentials.
pub async fn furnish(api: &Client, plan: &ShopPlan) -> Result<Vec<Enrolled>, ApiError> {
    let store = &plan.store;
    let base = format!("/api/v1/stores/{store}");
    api.put(&base, &json!({ "name": plan.name, "currency": plan.currency })).await?;
    let mut enrolled = Vec::new();
    for access_point in &plan.access_points {
        enrolled.push(api.enrol(store, access_point).await?);
    }
    for till in &plan.tills {
        api.put(&format!("{base}/tills/{till}"), &json!({})).await?;
    }
    at_once(&plan.products, async |product| {
        let body =
            json!({ "name": product.name, "price_minor": product.price.as_minor(), "unit": product.unit });
        api.put(&format!("{base}/products/{}", product.product), &body).await
    })
    .await?;
    at_once(&plan.tags, async |PlannedTag { config, access_point, .. }| {
        let TagConfig { tag, key, width, height } = config;
        let body = json!({
            "store": store,
            "access_point": access_point,
            "key": key.to_hex(),
            "width": width,
            "height": height,
        });
        api.put(&format!("/api/v1/tags/{tag}"), &body).await
    })
    .await?;
    at_once(&plan.tags, async |planned| {
        let path = format!("/api/v1/tags/{}/binding", planned.config.tag);
        api.put(&path, &json!({ "product": planned.product })).await
    })
    .await?;
    Ok(enrolled)
}

async fn at_once<T>(things: &[T], request: impl AsyncFn(&T) -> Result<(), ApiError>) -> Result<(), ApiError> {
    let things = stream::iter(things.iter().map(Ok));
    things.try_for_each_concurrent(REQUESTS_AT_ONCE, |thing| request(thing)).await
}

#[cfg(test)]
mod tests;
