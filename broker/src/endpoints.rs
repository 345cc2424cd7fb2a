//! ● Under which URLs clients reach an instance: from the Internet, and from the network the broker is in.
//!
//! ```text
//! host of the instance ▷ host of the broker, {instance} replaced ▷ intranet only: the address a listener is bound to
//! ```
//! The first that is there counts. Ports are those of the listeners.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an instance's ID takes the place of in the broker's own names.
pub const PLACEHOLDER: &str = "{instance}";

/// A DNS name or an IP address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

/// Why a text is no host name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is neither an IP address nor a DNS name: up to 253 of 0-9 A-Z a-z _ - in parts of up to 63 with dots between"
)]
pub struct ParseHostNameError(String);

impl FromStr for HostName {
    type Err = ParseHostNameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_letter = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'_' || octet == b'-';
        let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_letter);
        let is_name = text.len() <= 253 && text.split('.').all(is_label);
        if is_name || text.parse::<IpAddr>().is_ok() {
            return Ok(HostName(text.to_owned()));
        }
        Err(ParseHostNameError(text.chars().take(100).collect()))
    }
}

impl TryFrom<String> for HostName {
    type Error = ParseHostNameError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<HostName> for String {
    fn from(host: HostName) -> Self {
        host.0
    }
}

/// As it is written in a URL.
impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(&self.0) }
    }
}

/// Under which names an instance is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hosts {
    /// From anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internet: Option<HostName>,
    /// From the broker's own network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intranet: Option<HostName>,
}

/// Where the listeners of MQTT listen.
#[derive(Clone, Copy, Debug)]
pub struct Doors {
    /// MQTT over TCP.
    pub mqtt: SocketAddr,
    /// MQTT over TLS.
    pub mqtts: Option<SocketAddr>,
    /// MQTT over WebSocket.
    pub ws: SocketAddr,
    /// MQTT over WebSocket over TLS.
    pub wss: Option<SocketAddr>,
}

/// URLs of one network; absent is what there is no listener or no name for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Urls {
    /// MQTT over TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mqtt: Option<String>,
    /// MQTT over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mqtts: Option<String>,
    /// MQTT over WebSocket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ws: Option<String>,
    /// MQTT over WebSocket over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wss: Option<String>,
}

impl Urls {
    /// Those there are.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        [&self.mqtt, &self.mqtts, &self.ws, &self.wss].into_iter().filter_map(Option::as_deref)
    }
}

impl Doors {
    /// URLs with this host.
    pub fn urls(&self, host: &HostName) -> Urls {
        self.urls_with(|_| Some(host.to_string()))
    }

    /// URLs with the addresses the listeners are bound to; one that is bound to all of them tells none.
    pub fn own_urls(&self) -> Urls {
        self.urls_with(|address| {
            let ip = Some(address.ip()).filter(|ip| !ip.is_unspecified())?;
            Some(HostName(ip.to_string()).to_string())
        })
    }

    fn urls_with(&self, host: impl Fn(SocketAddr) -> Option<String>) -> Urls {
        let url = |scheme: &str, address: SocketAddr, path: &str| {
            Some(format!("{scheme}://{}:{}{path}", host(address)?, address.port()))
        };
        Urls {
            mqtt: url("mqtt", self.mqtt, ""),
            mqtts: self.mqtts.and_then(|address| url("mqtts", address, "")),
            ws: url("ws", self.ws, "/mqtt"),
            wss: self.wss.and_then(|address| url("wss", address, "/mqtt")),
        }
    }
}

/// The name that a name of the broker becomes for an instance.
pub fn named(template: &str, instance: &str) -> Result<HostName, ParseHostNameError> {
    template.replace(PLACEHOLDER, instance).parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_hosts_and_nothing_else_is() {
        for text in ["mqtt-demo.example.com", "broker", "192.0.2.7", "2001:db8::7"] {
            assert_eq!(text.parse::<HostName>().map(String::from), Ok(text.to_owned()));
        }
        let long = "a.".repeat(130);
        for text in [
            "",
            "a..b",
            "a b",
            "example.com:1883",
            "https://example.com",
            "żółw.pl",
            long.trim_end_matches('.'),
        ] {
            assert!(text.parse::<HostName>().is_err(), "{text}");
        }
    }

    #[test]
    fn urls_have_the_ports_of_the_listeners_and_addresses_of_version_6_their_brackets() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let doors = Doors {
            mqtt: at("0.0.0.0:1883"),
            mqtts: Some(at("[2001:db8::7]:8883")),
            ws: at("10.0.0.1:8083"),
            wss: None,
        };
        let shown = |urls: Urls| {
            [urls.mqtt, urls.mqtts, urls.ws, urls.wss].map(|url| url.unwrap_or("-".to_owned())).join(" ")
        };
        let host = named("{instance}.example.com", "mqtt-demo").unwrap();
        insta::assert_snapshot!(shown(doors.urls(&host)), @"mqtt://mqtt-demo.example.com:1883 mqtts://mqtt-demo.example.com:8883 ws://mqtt-demo.example.com:8083/mqtt -");
        insta::assert_snapshot!(shown(doors.own_urls()), @"- mqtts://[2001:db8::7]:8883 ws://10.0.0.1:8083/mqtt -");
    }
}
