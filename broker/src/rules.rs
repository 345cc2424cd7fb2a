//! ● What an administrator has laid down for one instance, and what follows for a topic or a filter.
//!
//! A client may publish where its credential grants W and subscribe where it grants R; a grant is a topic filter in
//! which `{device}` stands for the client's DeviceID. P2P messages reach the client they name without a grant to read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::endpoints::Hosts;
use crate::permissions::Permissions;
use crate::system;
use crate::trie::Place;
use serde::{Deserialize, Serialize};
use service_kit::config::Secret;
use wire::topic::{Lengths, P2P_LEVEL, is_p2p, parent_of, wildcards_are_well_placed};
use wire::{GroupId, P2pAddress, Topic, TopicFilter};

/// ● Why a publish or a filter is refused.
mod refusal;
/// ● What clients are told of it.
mod words;

pub use refusal::{PublishRefusal, SubscribeRefusal};

/// Deepest topic of the standard profile, in levels, unless another is set.
pub const STANDARD_LEVELS_MAX: usize = 201;
/// Stands for the connected client's DeviceID in a grant.
pub const DEVICE_PLACEHOLDER: &str = "{device}";
/// Longest grant or parent topic, in characters.
pub const GRANT_CHARS_MAX: usize = 64;

/// Which set of rules a broker keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// Message Queue for MQTT: provisioned groups, parent topics and credentials.
    Strict,
    /// A plain MQTT broker: any client ID and topic, no credentials.
    Standard,
}

/// What a grant allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Actions {
    /// Subscribe.
    R,
    /// Publish.
    W,
    /// Both.
    RW,
}

impl Actions {
    /// Whether it allows to subscribe.
    pub fn reads(self) -> bool {
        matches!(self, Actions::R | Actions::RW)
    }

    /// Whether it allows to publish.
    pub fn writes(self) -> bool {
        matches!(self, Actions::W | Actions::RW)
    }
}

impl FromStr for Actions {
    type Err = ParseRuleError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "R" => Ok(Actions::R),
            "W" => Ok(Actions::W),
            "RW" => Ok(Actions::RW),
            _ => Err(ParseRuleError::Actions(text.chars().take(GRANT_CHARS_MAX + 1).collect())),
        }
    }
}

/// Why a text is no grant or parent topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseRuleError {
    /// Not a filter.
    #[error("`{0}` is not a topic filter of 1 to {GRANT_CHARS_MAX} characters with well-placed wildcards")]
    Grant(String),
    /// Not a parent topic.
    #[error("`{0}` is not a parent topic: 1 to {GRANT_CHARS_MAX} of 0-9 A-Z a-z _ -")]
    Parent(String),
    /// Not an action.
    #[error("`{0}` is not R, W or RW")]
    Actions(String),
}

/// The first level of topics, created by an administrator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ParentTopic(String);

impl ParentTopic {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for ParentTopic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for ParentTopic {
    type Err = ParseRuleError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let length_fits = (1..=GRANT_CHARS_MAX).contains(&text.chars().count());
        if length_fits && text.chars().all(wire::name::is_name_char) {
            return Ok(ParentTopic(text.to_owned()));
        }
        Err(ParseRuleError::Parent(text.chars().take(GRANT_CHARS_MAX + 1).collect()))
    }
}

impl TryFrom<String> for ParentTopic {
    type Error = ParseRuleError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ParentTopic> for String {
    fn from(parent: ParentTopic) -> String {
        parent.0
    }
}

/// Where a credential may do what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// A topic filter; may hold `{device}`.
    #[schema(value_type = String, example = "rtc-up/{device}")]
    pub topic: GrantFilter,
    /// `R`, `W` or `RW`.
    pub actions: Actions,
}

/// The topic filter of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GrantFilter(String);

impl FromStr for GrantFilter {
    type Err = ParseRuleError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let length_fits = (1..=GRANT_CHARS_MAX).contains(&text.chars().count());
        // The topic of a group's events is longer than a topic may be.
        let fits = length_fits || system::status_group(text).is_some();
        if fits && wildcards_are_well_placed(text) && !text.contains('\0') {
            return Ok(GrantFilter(text.to_owned()));
        }
        Err(ParseRuleError::Grant(text.chars().take(GRANT_CHARS_MAX + 1).collect()))
    }
}

impl TryFrom<String> for GrantFilter {
    type Error = ParseRuleError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<GrantFilter> for String {
    fn from(filter: GrantFilter) -> String {
        filter.0
    }
}

impl fmt::Display for GrantFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An access key: who may sign with it, and what that allows.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Its secret.
    pub secret: Secret,
    /// Whose clients it signs for; `None` for any group of the instance.
    pub groups: Option<BTreeSet<GroupId>>,
    /// What they may do.
    pub allow: Vec<Grant>,
    /// What requests to the API that are signed with it may do: `R` ask, `W` change, `RW` both.
    pub api: Option<Actions>,
}

/// Everything laid down for an instance.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Under which names it is reached.
    pub hosts: Hosts,
    /// Groups that exist.
    pub groups: BTreeSet<GroupId>,
    /// Parent topics that exist.
    pub topics: BTreeSet<ParentTopic>,
    /// Access keys.
    pub credentials: BTreeMap<String, Credential>,
}

/// Where a publish goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To everybody who subscribed.
    Subscribers,
    /// To one client, by its ID.
    Client(String),
}

/// What a granted filter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscribed {
    /// A filter that matches topics.
    Matching,
    /// The client's own P2P filter: granted, and nothing changes, since P2P needs no subscription.
    OwnP2p,
}

impl Rules {
    /// Where a publish to `topic` goes, or why it does not.
    pub fn check_publish(
        &self,
        topic: &str,
        permissions: &Permissions,
        lengths: Lengths,
    ) -> Result<Destination, PublishRefusal> {
        if system::is_system(topic) {
            return Err(PublishRefusal::SystemTopic(topic.to_owned()));
        }
        let parsed = Topic::within(topic, lengths).map_err(PublishRefusal::Topic)?;
        if !self.topics.contains(parsed.parent()) {
            return Err(PublishRefusal::UnknownParent(parsed.parent().to_owned()));
        }
        if !permissions.may_write(topic) {
            return Err(PublishRefusal::NotAllowed(topic.to_owned()));
        }
        if is_p2p(topic) {
            let address = P2pAddress::within(topic, lengths).map_err(PublishRefusal::Topic)?;
            return Ok(Destination::Client(address.target().to_string()));
        }
        Ok(Destination::Subscribers)
    }

    /// Whether `client_id` may subscribe to `filter`.
    pub fn check_subscribe(
        &self,
        filter: &str,
        client_id: &str,
        permissions: &Permissions,
        lengths: Lengths,
    ) -> Result<Subscribed, SubscribeRefusal> {
        if system::is_system(filter) {
            return self.check_status(filter, permissions);
        }
        let parsed = TopicFilter::within(filter, lengths).map_err(SubscribeRefusal::Filter)?;
        if !self.topics.contains(parsed.parent()) {
            return Err(SubscribeRefusal::UnknownParent(parsed.parent().to_owned()));
        }
        if filter.split('/').nth(1) == Some(P2P_LEVEL) {
            let own = filter.splitn(3, '/').nth(2) == Some(client_id);
            return if own {
                Ok(Subscribed::OwnP2p)
            } else {
                Err(SubscribeRefusal::OthersP2p(filter.to_owned()))
            };
        }
        if !permissions.may_read(filter) {
            return Err(SubscribeRefusal::NotAllowed(filter.to_owned()));
        }
        Ok(Subscribed::Matching)
    }

    fn check_status(&self, filter: &str, permissions: &Permissions) -> Result<Subscribed, SubscribeRefusal> {
        if !system::status_group(filter).is_some_and(|group| self.groups.contains(&group)) {
            return Err(SubscribeRefusal::SystemTopic(filter.to_owned()));
        }
        if !permissions.may_read(filter) {
            return Err(SubscribeRefusal::NotAllowed(filter.to_owned()));
        }
        Ok(Subscribed::Matching)
    }
}

/// The standard profile: any topic without wildcards that is not the broker's own, unless the embedding program says otherwise.
/// It has at most `levels_max` levels.
pub fn check_standard_topic(
    topic: &str,
    permissions: &Permissions,
    levels_max: usize,
) -> Result<Destination, PublishRefusal> {
    if topic.is_empty() || topic.contains(['+', '#']) {
        return Err(PublishRefusal::StandardTopic);
    }
    if is_too_deep(topic, levels_max) {
        return Err(PublishRefusal::TooDeep(levels_max));
    }
    if matches!(parent_of(topic), "$SYS" | "$share") {
        return Err(PublishRefusal::Reserved(topic.to_owned()));
    }
    if !permissions.may_write(topic) {
        return Err(PublishRefusal::NotAllowed(topic.to_owned()));
    }
    Ok(Destination::Subscribers)
}

/// The standard profile: any filter with well-placed wildcards that is not one of `refused`, unless the embedding
/// program says otherwise. It has at most `levels_max` levels.
pub fn check_standard_filter(
    filter: &str,
    refused: &[String],
    permissions: &Permissions,
    levels_max: usize,
) -> Result<Subscribed, SubscribeRefusal> {
    if filter.is_empty() || !wildcards_are_well_placed(filter) || is_too_deep(filter, levels_max) {
        return Err(SubscribeRefusal::StandardFilter(levels_max));
    }
    if refused.iter().any(|one| one == filter) {
        return Err(SubscribeRefusal::Refused(filter.to_owned()));
    }
    if !permissions.may_read(filter) {
        return Err(SubscribeRefusal::NotAllowed(filter.to_owned()));
    }
    Ok(Subscribed::Matching)
}

/// Whether a topic or filter has more levels than the standard profile takes.
pub fn is_too_deep(topic: &str, levels_max: usize) -> bool {
    topic.split('/').count() > levels_max
}

/// Splits a shared subscription into its name and its filter (MQTT 5 section 4.8.2).
pub fn split_share(filter: &str) -> Result<Place<'_>, SubscribeRefusal> {
    let place = Place::of(filter);
    let is_share = filter == "$share" || filter.starts_with("$share/");
    let name_is_sound = |name: &str| !name.is_empty() && !name.contains(['+', '#']);
    if is_share && (!place.share.is_some_and(name_is_sound) || place.filter.is_empty()) {
        return Err(SubscribeRefusal::Share);
    }
    Ok(place)
}

/// The name of a share in the strict profile is no longer than a filter.
pub fn check_share_name(place: &Place<'_>, lengths: Lengths) -> Result<(), SubscribeRefusal> {
    let (chars, max) = (place.share.map_or(0, |name| name.chars().count()), lengths.topic_chars_max);
    if chars > max { Err(SubscribeRefusal::ShareName { chars, max }) } else { Ok(()) }
}

/// Whether a stored message may still go to a client: rights are checked again on replay. A P2P message needs none.
pub fn may_still_read(topic: &str, permissions: &Permissions) -> bool {
    is_p2p(topic) || permissions.may_read(topic)
}

/// The parent topic of a filter, for statistics.
pub fn parent_topic(filter: &str) -> &str {
    parent_of(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            groups: ["GID_RTC_APP".parse().unwrap()].into(),
            topics: ["rtc-up", "rtc-down"].into_iter().map(|topic| topic.parse().unwrap()).collect(),
            ..Rules::default()
        }
    }

    fn phone() -> Permissions {
        let grant = |topic: &str, actions| Grant { topic: topic.parse().unwrap(), actions };
        let grants = [
            grant("rtc-up/{device}", Actions::W),
            grant("rtc-down/news/#", Actions::R),
            grant("$SYS/status/GID_RTC_APP", Actions::R),
            grant("$SYS/status/GID_GONE", Actions::R),
            grant("+/up", Actions::RW),
        ];
        Permissions::of(&grants, &"alice-1".parse().unwrap())
    }

    fn publish(topic: &str) -> String {
        rules()
            .check_publish(topic, &phone(), Lengths::default())
            .map_or_else(|e| e.to_string(), |to| format!("{to:?}"))
    }

    fn subscribe(filter: &str) -> String {
        let outcome = rules().check_subscribe(filter, "GID_RTC_APP@@@alice-1", &phone(), Lengths::default());
        outcome.map_or_else(|e| e.to_string(), |what| format!("{what:?}"))
    }

    #[test]
    fn publishing() {
        insta::assert_snapshot!(publish("rtc-up/alice-1"), @"Subscribers");
        insta::assert_snapshot!(publish("rtc-up/bob-1"), @"no grant to publish to `rtc-up/bob-1`");
        insta::assert_snapshot!(publish("rtc-sideways/alice-1"), @"parent topic `rtc-sideways` does not exist");
        insta::assert_snapshot!(publish("rtc-up/#"), @"the topic is not valid");
        insta::assert_snapshot!(publish("$SYS/status/GID_RTC_APP"), @"`$SYS/status/GID_RTC_APP` is a system topic, which clients do not publish to");
        insta::assert_snapshot!(publish("$up/up"), @"`$up/up` is a system topic, which clients do not publish to");
        let manager = Permissions::of(
            &[Grant { topic: "rtc-down/p2p/+".parse().unwrap(), actions: Actions::W }],
            &"mgr".parse().unwrap(),
        );
        let to = rules().check_publish("rtc-down/p2p/GID_RTC_APP@@@bob-1", &manager, Lengths::default());
        assert_eq!(to, Ok(Destination::Client("GID_RTC_APP@@@bob-1".to_owned())));
        assert!(rules().check_publish("rtc-down/p2p/bob", &manager, Lengths::default()).is_err());
    }

    #[test]
    fn subscribing() {
        insta::assert_snapshot!(subscribe("rtc-down/news/+"), @"Matching");
        insta::assert_snapshot!(subscribe("rtc-down/news/#"), @"Matching");
        insta::assert_snapshot!(subscribe("rtc-down/#"), @"no grant to subscribe to `rtc-down/#`");
        insta::assert_snapshot!(subscribe("#"), @"the filter is not valid");
        insta::assert_snapshot!(subscribe("$SYS/status/GID_RTC_APP"), @"Matching");
        insta::assert_snapshot!(subscribe("$SYS/status/GID_GONE"), @"`$SYS/status/GID_GONE` is a system topic; only $SYS/status/<GroupID> of a group that exists can be read");
        insta::assert_snapshot!(subscribe("$SYS/status/+"), @"`$SYS/status/+` is a system topic; only $SYS/status/<GroupID> of a group that exists can be read");
        insta::assert_snapshot!(subscribe("$SYS/#"), @"`$SYS/#` is a system topic; only $SYS/status/<GroupID> of a group that exists can be read");
        insta::assert_snapshot!(subscribe("rtc-down/p2p/GID_RTC_APP@@@alice-1"), @"OwnP2p");
        insta::assert_snapshot!(subscribe("rtc-down/p2p/GID_RTC_APP@@@bob-1"), @"`rtc-down/p2p/GID_RTC_APP@@@bob-1` is the P2P filter of another client");
    }
}
