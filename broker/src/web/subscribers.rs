//! Subscribers: which clients have a subscription that matches a topic, or a certain one.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use service_kit::http::extract::Queried;
use service_kit::problem::Problem;
use utoipa::{IntoParams, ToSchema};
use wire::topic::{filter_matches, is_p2p, wildcards_are_well_placed};

use super::App;
use super::page::LIMITS;
use crate::client::Client;
use crate::instance::Instance;
use crate::rules::Profile;
use crate::sync::{locked, read_locked};
use crate::trie::Place;

/// A client and its subscriptions that were asked about.
#[derive(Serialize, ToSchema)]
pub struct SubscriberView {
    client_id: String,
    online: bool,
    /// Filter and QoS of each.
    subscriptions: Vec<(String, u8)>,
}

/// Either a topic or a filter. The next page is asked for with `after` = the last client ID of this one.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SubscribersQuery {
    /// Whose subscriptions match this topic.
    topic: Option<String>,
    /// Whose subscription is this very filter, also `$share/<name>/<filter>`.
    filter: Option<String>,
    /// Only after this client ID, for the next page.
    after: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// What is asked about.
enum Asked {
    Topic(String),
    Filter(String),
}

impl Asked {
    fn of(topic: Option<String>, filter: Option<String>) -> Result<Self, Problem> {
        match (topic, filter) {
            (Some(topic), None) if topic.is_empty() || topic.contains(['+', '#', '\0']) => {
                let detail =
                    "a topic has at least one character and no wildcards; ask for a `filter` instead";
                Err(Problem::unprocessable("topic-invalid", detail))
            }
            (Some(topic), None) => Ok(Asked::Topic(topic)),
            (None, Some(filter)) if !wildcards_are_well_placed(Place::of(&filter).filter) => {
                Err(Problem::unprocessable("filter-invalid", "the wildcards of this filter are misplaced"))
            }
            (None, Some(filter)) => Ok(Asked::Filter(filter)),
            (None, None) | (Some(_), Some(_)) => {
                Err(Problem::bad_request("topic-or-filter", "ask for a `topic` or for a `filter`"))
            }
        }
    }

    fn matches(&self, subscription: &str) -> bool {
        match self {
            Asked::Topic(topic) => filter_matches(Place::of(subscription).filter, topic),
            Asked::Filter(filter) => filter == subscription,
        }
    }

    /// The first clients after `after`, in order of client ID; never more than `count` are held.
    fn find(&self, instance: &Instance, after: Option<&str>, count: usize) -> Vec<Arc<Client>> {
        let mut first: BTreeMap<String, Arc<Client>> = BTreeMap::new();
        let mut take = |client: &Arc<Client>| {
            let is_beyond =
                first.len() >= count && first.last_key_value().is_some_and(|(last, _)| *client.id >= **last);
            if is_beyond || after.is_some_and(|after| &*client.id <= after) {
                return;
            }
            first.insert(client.id.to_string(), client.clone());
            if first.len() > count {
                first.pop_last();
            }
        };
        let subscriptions = read_locked(&instance.subscriptions);
        match self {
            Asked::Topic(topic) => subscriptions.each_of_topic(topic, &mut take),
            Asked::Filter(filter) => subscriptions.each_of_filter(Place::of(filter), &mut take),
        }
        drop(subscriptions);
        first.into_values().collect()
    }

    /// It may have unsubscribed meanwhile.
    fn view(&self, client: &Client) -> SubscriberView {
        let state = locked(&client.state);
        let asked = state.session.subscriptions.iter().filter(|(filter, _)| self.matches(filter));
        SubscriberView {
            client_id: client.id.to_string(),
            online: client.is_open(),
            subscriptions: asked.map(|(filter, options)| (filter.clone(), options.qos.number())).collect(),
        }
    }
}

/// Lists who is subscribed to a topic, or by a filter, in order of client ID. P2P messages need no subscription, so a P2P
/// topic has no subscribers.
#[utoipa::path(get, path = "/api/v1/instances/{instance}/subscribers", params(SubscribersQuery),
    responses((status = 200, body = Vec<SubscriberView>), (status = 404, description = "no such instance"),
        (status = 400, description = "neither a topic nor a filter, or both; an unknown query key, or a value of another type"),
        (status = 422, description = "a topic with wildcards, a filter with misplaced ones, or a limit outside 1 to 1000")))]
pub async fn list(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Queried(query): Queried<SubscribersQuery>,
) -> Result<Json<Vec<SubscriberView>>, Problem> {
    let instance = app.instance(&id)?;
    let limit = LIMITS.check(query.limit)?;
    let asked = Asked::of(query.topic, query.filter)?;
    if let Asked::Topic(topic) = &asked
        && app.broker.config.profile == Profile::Strict
        && is_p2p(topic)
    {
        return Ok(Json(Vec::new()));
    }
    let found = asked.find(&instance, query.after.as_deref(), limit as usize);
    Ok(Json(found.iter().map(|client| asked.view(client)).collect()))
}
