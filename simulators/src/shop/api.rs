//! The price-tag service's API, as far as the simulators use it.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service_kit::clock::Clock;
use service_kit::config::Secret;
use wire::tag::TagId;
use wire::till::{Price, ProductId, StoreId, TillAck, TillFeed, TillId};
use wire::{ClientId, DeviceId, Timestamp};

/// How long an answer may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a service that is starting is asked whether it is ready.
const READY_POLL: Duration = Duration::from_millis(200);
/// Most characters of a refusal that are repeated.
const DETAIL_CHARS_MAX: usize = 300;

/// Why there is no answer, or not the one asked for.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Nobody answered.
    #[error("no answer to {method} {url}")]
    Unreachable {
        /// What was asked.
        method: Method,
        /// Whom.
        url: String,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// The service says no.
    #[error("{method} {url} was refused: {status}, {detail}")]
    Refused {
        /// What was asked.
        method: Method,
        /// Whom.
        url: String,
        /// Its answer.
        status: StatusCode,
        /// Its reason.
        detail: String,
    },
    /// The answer is not what it should be.
    #[error("the answer of {url} cannot be read")]
    Answer {
        /// Whose.
        url: String,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// The HTTP client cannot be made.
    #[error("no HTTP client can be made")]
    Client(#[source] reqwest::Error),
    /// It did not become ready.
    #[error("{0} did not become ready in time")]
    NotReady(String),
}

/// What an access point needs to connect to the broker.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// Its name.
    pub access_point: DeviceId,
    /// Who it is to the broker.
    pub client_id: ClientId,
    /// Its MQTT username.
    pub username: String,
    /// Its MQTT password.
    pub password: Secret,
}

/// How far a till has come.
#[derive(Clone, Debug, Deserialize)]
pub struct TillStanding {
    /// Which.
    pub till: String,
    /// The last entry of the feed it acknowledged.
    pub cursor: u64,
    /// The last entry there is.
    pub head: u64,
    /// When it acknowledged last, in milliseconds since 1970.
    pub heard_at: Option<i64>,
}

/// What a refusal says (RFC 9457).
#[derive(Default, Deserialize)]
struct Refusal {
    title: Option<String>,
    detail: Option<String>,
}

/// Items of a list that are asked for at once.
const PAGE_ITEMS: u32 = 500;

/// A part of a list.
#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
    next: Option<String>,
}

/// Talks to one service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    token: Secret,
    http: reqwest::Client,
}

impl Client {
    /// To the service at `base`, like `http://127.0.0.1:8093`.
    pub fn new(base: &str, token: Secret) -> Result<Self, ApiError> {
        let http = reqwest::Client::builder().timeout(REQUEST_TIMEOUT).build().map_err(ApiError::Client)?;
        Ok(Client { base: base.trim_end_matches('/').to_owned(), token, http })
    }

    /// Where the service is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Returns once the service can do its work.
    pub async fn until_ready(&self, clock: &Clock, deadline: Timestamp) -> Result<(), ApiError> {
        let url = format!("{}/readyz", self.base);
        loop {
            let answer = self.http.get(&url).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if clock.now() >= deadline {
                return Err(ApiError::NotReady(self.base.clone()));
            }
            clock.sleep(READY_POLL).await;
        }
    }

    /// Makes something, or makes sure that it is so.
    pub async fn put(&self, path: &str, body: &Value) -> Result<(), ApiError> {
        self.send(Method::PUT, path, Some(body)).await.map(|_| ())
    }

    /// Makes an access point known.
    pub async fn enrol(&self, store: &StoreId, access_point: &DeviceId) -> Result<Enrolled, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            client_id: ClientId,
            username: String,
            password: Secret,
        }
        let path = format!("/api/v1/stores/{store}/access-points/{access_point}");
        let Answer { client_id, username, password } = self.ask(Method::PUT, &path, Some(&json!({}))).await?;
        Ok(Enrolled { access_point: access_point.clone(), client_id, username, password })
    }

    /// Changes a price, however large the step; the id of the change.
    pub async fn change_price(
        &self,
        store: &StoreId,
        product: &ProductId,
        price: Price,
        reason: &str,
    ) -> Result<String, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            change: String,
        }
        let path = format!("/api/v1/stores/{store}/products/{product}/changes");
        let body = json!({ "price_minor": price.as_minor(), "reason": reason, "confirm_jump": true });
        let answer: Answer = self.ask(Method::POST, &path, Some(&body)).await?;
        Ok(answer.change)
    }

    /// How many there are of what.
    pub async fn summary(&self) -> Result<Value, ApiError> {
        self.get("/api/v1/summary").await
    }

    /// How a change is going.
    pub async fn change(&self, change: &str) -> Result<Value, ApiError> {
        self.get(&format!("/api/v1/changes/{change}")).await
    }

    /// What a tag should show and what it shows.
    pub async fn tag(&self, tag: TagId) -> Result<Value, ApiError> {
        self.get(&format!("/api/v1/tags/{tag}")).await
    }

    /// Every tag of a store: what it should show, what it shows, how it stands.
    pub async fn tags(&self, store: &StoreId) -> Result<Vec<Value>, ApiError> {
        let base = format!("/api/v1/tags?store={store}&limit={PAGE_ITEMS}");
        let mut page: Page<Value> = self.get(&base).await?;
        let mut tags = page.items;
        while let Some(next) = page.next {
            page = self.get(&format!("{base}&after={next}")).await?;
            tags.append(&mut page.items);
        }
        Ok(tags)
    }

    /// The tills of a store and how far each has come.
    pub async fn tills(&self, store: &StoreId) -> Result<Vec<TillStanding>, ApiError> {
        let page: Page<TillStanding> = self.get(&format!("/api/v1/stores/{store}/tills")).await?;
        Ok(page.items)
    }

    /// Entries of the till feed after a position.
    pub async fn till_feed(&self, store: &StoreId, after: u64) -> Result<TillFeed, ApiError> {
        self.get(&format!("/api/v1/stores/{store}/till-feed?after={after}")).await
    }

    /// Every current price, and the position it stands for.
    pub async fn till_snapshot(&self, store: &StoreId) -> Result<TillFeed, ApiError> {
        self.get(&format!("/api/v1/stores/{store}/till-feed/snapshot")).await
    }

    /// Tells that a till charges everything up to a position.
    pub async fn acknowledge(&self, store: &StoreId, till: &TillId, ack: &TillAck) -> Result<(), ApiError> {
        let path = format!("/api/v1/stores/{store}/tills/{till}/ack");
        self.send(Method::POST, &path, Some(ack)).await.map(|_| ())
    }

    /// Asks a tag to do something for some seconds; the operation as it is then.
    pub async fn operate(&self, tag: TagId, operation: &Value) -> Result<Value, ApiError> {
        self.ask(Method::POST, &format!("/api/v1/tags/{tag}/operations"), Some(operation)).await
    }

    /// An operation as it is.
    pub async fn operation(&self, operation: &str) -> Result<Value, ApiError> {
        self.get(&format!("/api/v1/operations/{operation}")).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.ask(Method::GET, path, None::<&Value>).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ApiError> {
        let response = self.send(method, path, body).await?;
        let url = response.url().to_string();
        response.json().await.map_err(|source| ApiError::Answer { url, source })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<reqwest::Response, ApiError> {
        let url = format!("{}{path}", self.base);
        let mut request = self.http.request(method.clone(), &url).bearer_auth(self.token.reveal());
        // Where a rule asks for a second person, who asks must have a name.
        request = request.header("x-actor", "simulator");
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = match request.send().await {
            Ok(response) if response.status().is_success() => return Ok(response),
            Ok(response) => response,
            Err(source) => return Err(ApiError::Unreachable { method, url, source }),
        };
        let status = response.status();
        let refusal: Refusal = response.json().await.unwrap_or_default();
        let detail = refusal.detail.or(refusal.title).unwrap_or_else(|| "without a reason".to_owned());
        let detail = detail.chars().take(DETAIL_CHARS_MAX).collect();
        Err(ApiError::Refused { method, url, status, detail })
    }
}
