//! Products, and the form that changes a price.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use service_kit::problem::Problem;
use wire::till::{Price, ProductId, StoreId};

use super::{Page, Visitor};
use crate::engine::desk::CommandError;
use crate::names::{Actor, ProductKey, Remark};
use crate::shop::words::{Command, Refusal, Reply};
use crate::store::devices::{self, TagFilter, TagView};
use crate::store::prices::{self, ChangeFilter, ChangeView, ProductFilter, ProductView};
use crate::web::extract::{Params, Queried};
use crate::web::{App, Shared};

const PRODUCTS_MAX: u32 = 200;
const CHANGES_MAX: u32 = 12;
const TAGS_MAX: u32 = 60;

#[derive(Debug, Deserialize)]
pub(in crate::web) struct ListQuery {
    after: Option<String>,
}

#[derive(Template)]
#[template(path = "products.html")]
pub(in crate::web) struct ProductList {
    visitor: Visitor,
    products: Vec<ProductView>,
    next: Option<String>,
}

pub(in crate::web) async fn list(
    State(app): Shared,
    visitor: Visitor,
    Queried(query): Queried<ListQuery>,
) -> Result<Page<ProductList>, Problem> {
    let mut db = app.database.reader().await?;
    let filter = ProductFilter { after: query.after, ..ProductFilter::default() };
    let products = prices::list_products(&mut db, &filter, PRODUCTS_MAX).await?;
    let is_full = products.len() == usize::try_from(PRODUCTS_MAX).unwrap_or(usize::MAX);
    let last = products.last().filter(|_| is_full);
    let next = last.map(|last| format!("{}/{}", last.store, last.product));
    Ok(Page(ProductList { visitor, products, next }))
}

/// What somebody typed, and what is wrong with it.
#[derive(Clone, Debug, Default)]
struct Complaint {
    store: String,
    price: String,
    reason: String,
    about_price: Option<String>,
    about_reason: Option<String>,
}

/// A product in one store, with its form.
struct Offer {
    product: ProductView,
    tags: Vec<TagView>,
    complaint: Complaint,
}

#[derive(Template)]
#[template(path = "product.html")]
pub(in crate::web) struct ProductPage {
    visitor: Visitor,
    name: String,
    offers: Vec<Offer>,
    changes: Vec<ChangeView>,
}

pub(in crate::web) async fn page(
    State(app): Shared,
    visitor: Visitor,
    Params(product): Params<ProductId>,
) -> Result<Page<ProductPage>, Problem> {
    product_page(&app, visitor, &product, Complaint::default()).await.map(Page)
}

async fn product_page(
    app: &App,
    visitor: Visitor,
    product: &ProductId,
    complaint: Complaint,
) -> Result<ProductPage, Problem> {
    let mut db = app.database.reader().await?;
    let filter = ProductFilter { product: Some(product.to_string()), ..ProductFilter::default() };
    let products = prices::list_products(&mut db, &filter, PRODUCTS_MAX).await?;
    let Some(first) = products.first() else {
        let detail = format!("no store has a product `{product}`");
        return Err(Problem::not_found("product-not-found", detail));
    };
    let name = first.name.clone();
    let filter = ChangeFilter { product: Some(product.to_string()), ..ChangeFilter::default() };
    let changes = prices::list_changes(&mut db, &filter, CHANGES_MAX).await?;
    let mut offers = Vec::new();
    for product in products {
        let filter = TagFilter {
            store: Some(product.store.clone()),
            product: Some(product.product.clone()),
            ..TagFilter::default()
        };
        let tags = devices::list_tags(&mut db, &filter, TAGS_MAX).await?;
        let is_meant = complaint.store == product.store;
        let complaint = if is_meant { complaint.clone() } else { Complaint::default() };
        offers.push(Offer { product, tags, complaint });
    }
    Ok(ProductPage { visitor, name, offers, changes })
}

#[derive(Debug, Deserialize)]
pub(in crate::web) struct PriceForm {
    price: String,
    #[serde(default)]
    reason: String,
}

/// Changes the price, or shows the form again with what is wrong.
pub(in crate::web) async fn change_price(
    State(app): Shared,
    visitor: Visitor,
    Params((store, product)): Params<(StoreId, ProductId)>,
    Form(form): Form<PriceForm>,
) -> Result<Response, Problem> {
    let mut complaint = Complaint {
        store: store.to_string(),
        price: form.price.clone(),
        reason: form.reason.clone(),
        ..Complaint::default()
    };
    let price = form.price.parse::<Price>();
    let reason =
        Some(form.reason.trim()).filter(|text| !text.is_empty()).map(str::parse::<Remark>).transpose();
    match (price, reason) {
        (Ok(price), Ok(reason)) => {
            let key = ProductKey { store, product: product.clone() };
            match app.desk.command(Actor::web(), Command::ChangePrice { key, price, reason }).await {
                Ok(Reply::Change(change)) => {
                    return Ok(Redirect::to(&format!("/changes/{change}")).into_response());
                }
                Ok(Reply::Done | Reply::Till { .. }) => {}
                Err(CommandError::Refused(refusal @ Refusal::PriceUnchanged(_))) => {
                    complaint.about_price = Some(refusal.to_string());
                }
                Err(other) => return Err(other.into()),
            }
        }
        (price, reason) => {
            complaint.about_price = price.err().map(|e| e.to_string());
            complaint.about_reason = reason.err().map(|e| e.to_string());
        }
    }
    let page = product_page(&app, visitor, &product, complaint).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, Page(page)).into_response())
}
