//! Under which names the instances are reached.

use crate::endpoints::{HostName, Hosts, PLACEHOLDER, named};

/// Names for URLs; an instance may have its own.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct EndpointArgs {
    /// Name or address under which instances are reached from the Internet; `{instance}` stands for the instance's ID
    #[arg(long, env = "BROKER_INTERNET_HOST", value_name = "HOST")]
    pub internet_host: Option<String>,
    /// The same from the broker's own network [default: the addresses the listeners are bound to]
    #[arg(long, env = "BROKER_INTRANET_HOST", value_name = "HOST")]
    pub intranet_host: Option<String>,
}

impl EndpointArgs {
    /// The names of an instance: its own, or the broker's.
    pub fn hosts(&self, instance: &str, own: &Hosts) -> Hosts {
        let ours =
            |template: &Option<String>| template.as_deref().and_then(|text| named(text, instance).ok());
        let or = |own: &Option<HostName>, template| own.clone().or_else(|| ours(template));
        Hosts {
            internet: or(&own.internet, &self.internet_host),
            intranet: or(&own.intranet, &self.intranet_host),
        }
    }

    /// What is no name.
    pub fn mistakes(&self) -> Vec<String> {
        let given = [("--internet-host", &self.internet_host), ("--intranet-host", &self.intranet_host)];
        let wrong = given.into_iter().filter_map(|(option, host)| {
            let error = named(host.as_deref()?, "instance").err()?;
            Some(format!("{option}: {error}; {PLACEHOLDER} stands for the instance's ID"))
        });
        wrong.collect()
    }
}
