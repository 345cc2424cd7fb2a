//! ● What a client is told of a publish or a filter that is refused: what is wrong, and what would put it right.

use std::error::Error;

use wire::topic::{ParseTopicError, wildcards_are_well_placed};

use super::{PublishRefusal, SubscribeRefusal};
use crate::refusals::shortened;
use crate::system::UPLOAD_TOKEN;

impl PublishRefusal {
    /// For whoever published.
    pub fn words(&self, instance: &str) -> String {
        match self {
            PublishRefusal::Topic(ParseTopicError::Wildcard(topic)) => {
                format!("topic `{}` has a wildcard: + and # are for filters only", shortened(topic))
            }
            PublishRefusal::Topic(why) => with_causes(why),
            PublishRefusal::UnknownParent(parent) => unknown_parent(parent, instance),
            PublishRefusal::NotAllowed(topic) => {
                let topic = shortened(topic);
                format!("no grant to publish to `{topic}`: what the client signed in with needs W for it")
            }
            PublishRefusal::Reserved(topic) => {
                format!("`{}` is reserved: clients do not publish to $SYS and $share", shortened(topic))
            }
            PublishRefusal::SystemTopic(topic) if topic == UPLOAD_TOKEN => {
                format!("only clients that signed in with tokens publish to {UPLOAD_TOKEN}")
            }
            PublishRefusal::SystemTopic(topic) => {
                format!("`{}` is a system topic, which clients do not publish to", shortened(topic))
            }
            PublishRefusal::StandardTopic
            | PublishRefusal::TooDeep(_)
            | PublishRefusal::PayloadTooLarge(_) => self.to_string(),
        }
    }
}

impl SubscribeRefusal {
    /// For whoever wants to subscribe to `filter`.
    pub fn words(&self, filter: &str, instance: &str) -> String {
        match self {
            SubscribeRefusal::Filter(ParseTopicError::Wildcard(_)) | SubscribeRefusal::StandardFilter(_)
                if !wildcards_are_well_placed(filter) =>
            {
                wildcard_rule(filter).to_owned()
            }
            SubscribeRefusal::Filter(why) => with_causes(why),
            SubscribeRefusal::UnknownParent(parent) => unknown_parent(parent, instance),
            SubscribeRefusal::NotAllowed(_) => {
                "no grant to subscribe to it: what the client signed in with needs R for it".to_owned()
            }
            SubscribeRefusal::OthersP2p(_) => {
                "the P2P filter of another client: one's own needs no subscription".to_owned()
            }
            SubscribeRefusal::Refused(_) => "nobody may subscribe to it".to_owned(),
            SubscribeRefusal::SystemTopic(_) => {
                "of system topics only $SYS/status/<GroupID> of a group that exists can be read".to_owned()
            }
            SubscribeRefusal::StandardFilter(_)
            | SubscribeRefusal::Share
            | SubscribeRefusal::ShareName { .. } => self.to_string(),
        }
    }
}

fn unknown_parent(parent: &str, instance: &str) -> String {
    let parent = shortened(parent);
    format!("parent topic `{parent}` does not exist in instance `{instance}`: an administrator creates it")
}

/// Which rule a filter with misplaced wildcards breaks first.
fn wildcard_rule(filter: &str) -> &'static str {
    let is_alone = |level: &str| !level.contains(['+', '#']) || level == "+" || level == "#";
    if filter.split('/').all(is_alone) {
        "# must be the last level"
    } else {
        "+ and # must each be a whole level"
    }
}

fn with_causes(error: &ParseTopicError) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        words = format!("{words}: {deeper}");
        cause = deeper.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishing() {
        let parse = |topic: &str| PublishRefusal::Topic(topic.parse::<wire::Topic>().unwrap_err());
        let words = |refusal: PublishRefusal| refusal.words("mqtt-demo");
        insta::assert_snapshot!(words(parse("news/+")), @"topic `news/+` has a wildcard: + and # are for filters only");
        insta::assert_snapshot!(words(parse("down/p2p/bob")), @"P2P topic `down/p2p/bob` does not name exactly one client: client ID `bob` is not <GroupID>@@@<DeviceID>");
        insta::assert_snapshot!(words(parse("ab")), @"topic has 2 characters, 3 to 64 are allowed");
        insta::assert_snapshot!(words(PublishRefusal::UnknownParent("nowhere".to_owned())), @"parent topic `nowhere` does not exist in instance `mqtt-demo`: an administrator creates it");
        insta::assert_snapshot!(words(PublishRefusal::NotAllowed("up/x".to_owned())), @"no grant to publish to `up/x`: what the client signed in with needs W for it");
        let long = words(PublishRefusal::Reserved("x".repeat(60_000)));
        assert_eq!(long.matches('x').count(), 100, "{long}");
    }

    #[test]
    fn subscribing() {
        let words = |filter: &str| {
            let refusal = SubscribeRefusal::Filter(filter.parse::<wire::TopicFilter>().unwrap_err());
            refusal.words(filter, "mqtt-demo")
        };
        insta::assert_snapshot!(words("a/#/b"), @"# must be the last level");
        insta::assert_snapshot!(words("a/x+"), @"+ and # must each be a whole level");
        insta::assert_snapshot!(words("#"), @"topic has 1 characters, 3 to 64 are allowed");
        insta::assert_snapshot!(words("+/news"), @"parent topic `+` is empty or has a character other than 0-9 A-Z a-z _ -");
        insta::assert_snapshot!(SubscribeRefusal::StandardFilter(201).words("a/#/", "standard"), @"# must be the last level");
    }
}
