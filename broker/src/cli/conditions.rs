//! The flags that say what else an invite wants of its machines.

use protocol::{Availability, Conditions, HostnamePattern, Rate};

/// The conditions of an invite.
#[derive(clap::Args)]
pub(super) struct ConditionFlags {
    /// In place of --uses: how many machines it admits at a time. A place comes free when the node was removed from the swarm.
    /// For scaling groups; wants --from and --each-rate
    #[arg(long, value_name = "N", conflicts_with = "uses")]
    live: Option<u32>,
    /// No more new machines than N in a time, as 5/min, 20/h or 3/90s: the next ones are asked to come back
    #[arg(long, value_name = "N/TIME", value_parser = rate)]
    each_rate: Option<Rate>,
    /// What its machines must be called, with * for any text: 'web-*'
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    hostname: Option<HostnamePattern>,
    /// Whether its nodes get tasks once they are confirmed: active, pause or drain [default: active]
    #[arg(long, value_name = "HOW", value_parser = availability)]
    availability: Option<Availability>,
    /// A machine takes the place of a node that is down and is called as it is, if that joined by such an invite, too:
    /// that node is removed from the swarm
    #[arg(long)]
    replaces: bool,
    /// Each machine waits for 'broker approve', see 'broker pending'
    #[arg(long)]
    approve: bool,
}

impl ConditionFlags {
    /// How many machines it admits at a time, if they are counted so.
    pub(super) fn places(&self) -> Option<u32> {
        self.live
    }

    /// All of them.
    pub(super) fn read(&self) -> Conditions {
        Conditions {
            rate: self.each_rate,
            hostname: self.hostname.clone(),
            availability: self.availability,
            live: self.live.is_some(),
            replaces: self.replaces,
            approve: self.approve,
        }
    }
}

/// `5/min`, `20/h`, `3/90s`.
fn rate(text: &str) -> Result<Rate, &'static str> {
    let wanted = "write it like 5/min, 20/h or 3/90s";
    let (most, per) = text.split_once('/').ok_or(wanted)?;
    let per = if per.starts_with(|c: char| c.is_ascii_digit()) { per.to_owned() } else { format!("1{per}") };
    let per = humantime::parse_duration(&per).map_err(|_| wanted)?.as_secs();
    Ok(Rate { most: most.parse().map_err(|_| wanted)?, per })
}

fn pattern(text: &str) -> Result<HostnamePattern, &'static str> {
    text.to_owned().try_into()
}

fn availability(text: &str) -> Result<Availability, &'static str> {
    serde_json::from_value(text.into()).map_err(|_| "active, pause or drain")
}
