//! Events of clients: that a connection began, that DISCONNECT came, that it is gone.
//!
//! They go to whoever is connected and subscribed to `$SYS/status/<GroupID>` at that time. Nothing is kept for those
//! who are away: when they are back they ask the API who is connected.

use std::net::SocketAddr;

use crate::broker::Broker;
use crate::instance::Instance;
use crate::names::known_client_id;
use crate::rules::Profile;
use crate::system::{self, StatusEvent, StatusKind};

/// A connection as events name it.
#[derive(Clone, Copy, Debug)]
pub struct Channel<'a> {
    /// Whose.
    pub client_id: &'a str,
    /// Unique per connection.
    pub id: u64,
    /// From where.
    pub address: SocketAddr,
}

impl Broker {
    /// Tells an event to those who are subscribed and connected. No client may be locked.
    pub fn tell_status(&self, instance: &Instance, channel: Channel<'_>, event_type: StatusKind) {
        // In the standard profile client IDs have no group.
        if self.config.profile == Profile::Standard {
            return;
        }
        let Ok(client_id) = known_client_id(channel.client_id) else { return };
        self.route_live(instance, &system::status_topic(&client_id.group()), || {
            system::status_payload(&StatusEvent {
                client_id: channel.client_id.to_owned(),
                time: self.clock.now(),
                event_type,
                channel_id: channel.id.to_string(),
                client_ip: channel.address.to_string(),
            })
        });
    }
}
