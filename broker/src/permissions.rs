//! ● What one client may do: what it was granted, anything, or what the embedding program says.

use std::fmt::Debug;
use std::sync::Arc;

use wire::DeviceId;
use wire::topic::filter_matches;

use crate::rules::{Actions, DEVICE_PLACEHOLDER, Grant};

/// What one client may do, judged by the program that embeds the broker. Asked often and under locks: it must answer
/// from memory. An answer about a topic is remembered for a connection until another topic or new rules come.
pub trait Access: Debug + Send + Sync {
    /// Whether it may publish to a topic.
    fn may_publish(&self, topic: &str) -> bool;
    /// Whether it may subscribe to a filter, and still get messages of a topic: a topic is a filter without wildcards.
    fn may_subscribe(&self, filter: &str) -> bool;
}

/// What a connected client may do.
#[derive(Clone, Debug, Default)]
pub struct Permissions(Rights);

#[derive(Clone, Debug)]
enum Rights {
    Unlimited,
    Granted { read: Vec<String>, write: Vec<String> },
    Own(Arc<dyn Access>),
}

impl Default for Rights {
    fn default() -> Self {
        Rights::Granted { read: Vec::new(), write: Vec::new() }
    }
}

impl Permissions {
    /// Of a client of the standard profile, and of the broker's own API.
    pub fn unlimited() -> Self {
        Permissions(Rights::Unlimited)
    }

    /// Of `device` under these grants, with its own `DeviceID` filled in.
    pub fn of(grants: &[Grant], device: &DeviceId) -> Self {
        let filled = |wanted: fn(Actions) -> bool| {
            let matching = grants.iter().filter(move |grant| wanted(grant.actions));
            matching
                .map(|grant| grant.topic.to_string().replace(DEVICE_PLACEHOLDER, device.as_str()))
                .collect()
        };
        Permissions(Rights::Granted { read: filled(Actions::reads), write: filled(Actions::writes) })
    }

    /// As the embedding program says.
    pub fn own(access: Arc<dyn Access>) -> Self {
        Permissions(Rights::Own(access))
    }

    /// Whether it may publish to a topic.
    pub fn may_write(&self, topic: &str) -> bool {
        match &self.0 {
            Rights::Unlimited => true,
            Rights::Granted { write, .. } => write.iter().any(|filter| filter_matches(filter, topic)),
            Rights::Own(access) => access.may_publish(topic),
        }
    }

    /// Whether it may subscribe to a filter.
    pub fn may_read(&self, filter: &str) -> bool {
        match &self.0 {
            Rights::Unlimited => true,
            Rights::Granted { read, .. } => read.iter().any(|granted| filter_covers(granted, filter)),
            Rights::Own(access) => access.may_subscribe(filter),
        }
    }

    /// Whether it may publish anywhere at all.
    pub fn writes(&self) -> bool {
        match &self.0 {
            Rights::Unlimited | Rights::Own(_) => true,
            Rights::Granted { write, .. } => !write.is_empty(),
        }
    }
}

/// Whether every topic that `filter` matches is also matched by `granted`. A wildcard at the first level stands for no
/// topic that begins with `$` [MQTT-4.7.2-1].
pub fn filter_covers(granted: &str, filter: &str) -> bool {
    if filter.starts_with('$') && granted.starts_with(['+', '#']) {
        return false;
    }
    let mut granted_levels = granted.split('/');
    let mut filter_levels = filter.split('/');
    loop {
        match (granted_levels.next(), filter_levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (_, Some("#")) => return false,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            (Some(_) | None, Some(_) | None) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_grant_of_everything_is_none_of_the_brokers_own_topics() {
        assert!(filter_covers("#", "up/x"));
        assert!(!filter_covers("#", "$SYS/status/GID_TEST"));
        assert!(!filter_covers("+/status/#", "$SYS/status/GID_TEST"));
        assert!(filter_covers("$SYS/status/GID_TEST", "$SYS/status/GID_TEST"));
    }

    #[derive(Debug)]
    struct OnlyNews;

    impl Access for OnlyNews {
        fn may_publish(&self, _: &str) -> bool {
            false
        }
        fn may_subscribe(&self, filter: &str) -> bool {
            filter.starts_with("news/")
        }
    }

    #[test]
    fn an_embedding_program_has_the_only_say() {
        let own = Permissions::own(Arc::new(OnlyNews));
        assert!(own.may_read("news/#") && !own.may_read("up/#") && !own.may_write("news/x"));
    }

    proptest! {
        #[test]
        fn what_covers_a_filter_matches_all_it_matches(granted in "(a|\\+|\\$S)(/(a|b|\\+)){0,3}(/#)?", filter in "(a|\\+|\\$S)(/(a|b|\\+)){0,3}(/#)?", topic in "(a|\\$S)(/[ab]){0,4}") {
            if filter_covers(&granted, &filter) && filter_matches(&filter, &topic) {
                prop_assert!(filter_matches(&granted, &topic), "{} {} {}", granted, filter, topic);
            }
        }
    }
}
