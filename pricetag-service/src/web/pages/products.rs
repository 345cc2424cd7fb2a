//! Products, and the form that changes a price.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form};
use chrono::NaiveDateTime;
use serde::Deserialize;
use service_kit::http::ToldByPage;
use service_kit::http::extract::{Params, Queried};
use service_kit::problem::Problem;
use wire::Timestamp;
use wire::till::{PRICE_MINOR_MAX, ParsePriceError, Price, ProductId, StoreId};

use super::{Page, Visitor};
use crate::engine::desk::CommandError;
use crate::names::{Actor, ProductKey, Remark};
use crate::shop::words::{Command, PriceWish, Refusal, Reply};
use crate::store::devices::{self, TagFilter, TagView};
use crate::store::feed::{self, TillFilter, TillView};
use crate::store::prices::{self, ChangeFilter, ChangeView, ProductFilter, ProductView, StoreView};
use crate::web::filters;
use crate::web::prices::product_view;
use crate::web::texts::money;
use crate::web::{App, Shared};

const PRODUCTS_MAX: u32 = 200;
const CHANGES_MAX: u32 = 12;
const TAGS_MAX: u32 = 60;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
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
    let filter = ProductFilter { after: filters::product_cursor(query.after)?, ..ProductFilter::default() };
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
    effective: String,
    name: String,
    about_price: Option<String>,
    about_reason: Option<String>,
    about_effective: Option<String>,
    about_name: Option<String>,
}

impl Complaint {
    /// A refusal that a field of the form can mend, and the kind it is counted as.
    fn about(refusal: Refusal) -> Result<(&'static str, Complaint), Problem> {
        let text = Some(refusal.to_string());
        let none = Complaint::default();
        if let Refusal::PriceUnchanged(_) = refusal {
            Ok(("price-unchanged", Complaint { about_price: text, ..none }))
        } else if let Refusal::BadTime(..) = refusal {
            Ok(("bad-effective-at", Complaint { about_effective: text, ..none }))
        } else if let Refusal::NameNeeded(_) = refusal {
            Ok(("name-needed", Complaint { about_name: text, ..none }))
        } else {
            Err(refusal.into())
        }
    }

    fn kind(&self) -> &'static str {
        match (&self.about_price, &self.about_reason, &self.about_effective) {
            (Some(_), _, _) => "bad-price",
            (None, Some(_), _) => "bad-reason",
            (None, None, Some(_)) => "bad-effective-at",
            (None, None, None) => "bad-actor",
        }
    }

    /// Where it belongs, and what was typed.
    fn with(self, key: &ProductKey, form: PriceForm) -> Complaint {
        let PriceForm { price, reason, effective, name, .. } = form;
        Complaint { store: key.store.to_string(), price, reason, effective, name, ..self }
    }
}

/// A product in one store, with its form.
struct Offer {
    product: ProductView,
    store: StoreView,
    tags: Vec<TagView>,
    tills: Vec<TillView>,
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
    let mut db = app.database.snapshot().await?;
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
        let filter = TillFilter { store: Some(product.store.clone()), change: None };
        let tills = feed::tills(&mut db, &filter).await?;
        let store = prices::list_stores(&mut db, Some(&product.store)).await?.pop();
        let Some(store) = store else { continue };
        let is_meant = complaint.store == product.store;
        let complaint = if is_meant { complaint.clone() } else { Complaint::default() };
        offers.push(Offer { product, store, tags, tills, complaint });
    }
    Ok(ProductPage { visitor, name, offers, changes })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct PriceForm {
    price: String,
    #[serde(default)]
    reason: String,
    /// UTC, as a browser's `datetime-local` sends it; empty: at once.
    #[serde(default)]
    effective: String,
    /// Who asks; may stay empty where no approval is needed.
    #[serde(default)]
    name: String,
    /// Whether a large step is meant.
    #[serde(default)]
    confirm_jump: bool,
}

/// Asks whether a large step is meant.
#[derive(Template)]
#[template(path = "confirm_price.html")]
struct JumpPage {
    visitor: Visitor,
    name: String,
    store: String,
    product: String,
    /// For people.
    from: String,
    to: String,
    /// `+120 %`.
    step: String,
    /// As it was typed.
    typed: PriceForm,
}

impl JumpPage {
    fn new(visitor: Visitor, product: ProductView, form: PriceForm, to: Price) -> JumpPage {
        JumpPage {
            visitor,
            from: product.price(),
            to: money(to.as_minor(), &product.currency),
            step: step_text(product.price_minor, to.as_minor()),
            name: product.name,
            store: product.store,
            product: product.product,
            typed: form,
        }
    }
}

/// `+120.4 %`, `−99.7 %`: cut and not rounded, so that nothing but nothing is a hundred per cent less.
fn step_text(from_minor: i64, to_minor: i64) -> String {
    let sign = if to_minor > from_minor { "+" } else { "−" };
    let per_mille = (to_minor - from_minor).abs() * 1000 / from_minor.max(1);
    format!("{sign}{}.{} %", per_mille / 10, per_mille % 10)
}

/// The price somebody typed, or what is wrong with it.
fn typed_price(text: &str) -> Result<Price, String> {
    let range =
        || Price::from_minor(PRICE_MINOR_MAX).map_or_else(|e| e.to_string(), |max| format!("0.01 to {max}"));
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("the price is empty: type one from {}", range()));
    }
    text.parse().map_err(|e: ParsePriceError| {
        let (whole, decimals) = text.split_once(['.', ',']).unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_digit());
        let is_number =
            digits(whole.strip_prefix('-').unwrap_or(whole)) && digits(decimals) && decimals.len() <= 2;
        if is_number {
            let shown: String = text.chars().take(32).collect();
            format!("price {shown} is out of range: type one from {}", range())
        } else {
            e.to_string()
        }
    })
}

/// What was typed, parsed, or what is wrong with each field.
fn parse(
    visitor: &Visitor,
    form: &PriceForm,
    key: &ProductKey,
) -> Result<(Actor, PriceWish), Box<Complaint>> {
    let reason = filled(&form.reason).map(str::parse::<Remark>).transpose();
    let effective = filled(&form.effective).map(typed_time).transpose();
    let actor = visitor.actor(&form.name);
    match (typed_price(&form.price), reason, effective, actor) {
        (Ok(price), Ok(reason), Ok(effective), Ok(actor)) => {
            let confirms_jump = form.confirm_jump;
            Ok((actor, PriceWish { key: key.clone(), price, reason, confirms_jump, effective }))
        }
        (price, reason, effective, actor) => Err(Box::new(Complaint {
            about_price: price.err(),
            about_reason: reason.err().map(|e| e.to_string()),
            about_effective: effective.err(),
            about_name: actor.err().and_then(|e| e.detail),
            ..Complaint::default()
        })),
    }
}

fn filled(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

/// `2026-11-30T08:00`, in UTC.
fn typed_time(text: &str) -> Result<Timestamp, String> {
    let parsed = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let shown: String = text.chars().take(32).collect();
    parsed
        .map(|at| Timestamp::from_millis(at.and_utc().timestamp_millis()))
        .ok_or_else(|| format!("`{shown}` is no time: type one like 2026-11-30T08:00, in UTC"))
}

/// Changes the price, or shows the form again with what is wrong.
pub(in crate::web) async fn change_price(
    State(app): Shared,
    visitor: Visitor,
    Params((store, product)): Params<(StoreId, ProductId)>,
    Form(form): Form<PriceForm>,
) -> Result<Response, Problem> {
    let key = ProductKey { store, product };
    let (kind, complaint) = match parse(&visitor, &form, &key) {
        Err(complaint) => (complaint.kind(), *complaint),
        Ok((actor, wish)) => {
            let price = wish.price;
            match app.desk.command(actor, Command::ChangePrice(wish)).await {
                Ok(Reply::Change(change)) => {
                    return Ok(Redirect::to(&format!("/changes/{change}")).into_response());
                }
                Ok(Reply::Done | Reply::Till { .. } | Reply::Operation(_)) => ("", Complaint::default()),
                Err(CommandError::Refused(Refusal::PriceJump { .. })) => {
                    let view = product_view(&app, &key).await?;
                    return Ok(Page(JumpPage::new(visitor, view, form, price)).into_response());
                }
                Err(CommandError::Refused(refusal)) => Complaint::about(refusal)?,
                Err(other) => return Err(other.into()),
            }
        }
    };
    let complaint = complaint.with(&key, form);
    let page = product_page(&app, visitor, &key.product, complaint).await?;
    let counted = Extension(ToldByPage(kind.into()));
    Ok((StatusCode::UNPROCESSABLE_ENTITY, counted, Page(page)).into_response())
}
