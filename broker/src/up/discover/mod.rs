//! Where other brokers may be, as the operator says: addresses, DNS names, or the tags of a cloud's machines.
//!
//! Keeps DESIGN §3b: it yields addresses, which are held against the pin as every address is, and finding nobody makes no swarm.
//! Must not take a secret from a command line, nor repeat what it does not understand: a secret may stand in it.

#[cfg(feature = "store")]
mod cloud;

use std::time::{Duration, Instant};

use protocol::{AddressError, BrokerAddress};

use crate::exit::{Code, Failure};

/// For all that one look at a cloud's tags asks.
const LOOK: Duration = Duration::from_secs(20);

/// Everything that `--discover` names.
#[derive(Debug, Default)]
pub(crate) struct Sources(Vec<Source>);

#[derive(Debug)]
enum Source {
    Address(BrokerAddress),
    #[cfg(feature = "store")]
    Cloud(cloud::Cloud),
}

/// What one look came to.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Where brokers may be.
    pub(super) addresses: Vec<BrokerAddress>,
    /// What did not answer, or knows nobody.
    pub(super) troubles: Vec<String>,
}

impl Sources {
    /// Reads what was given: each text is addresses with commas between them, or `provider=…` with its keys, or the former and
    /// then the latter.
    pub(crate) fn read(texts: &[String]) -> Result<Self, Failure> {
        let all = texts.iter().map(|text| read(text)).collect::<Result<Vec<_>, String>>();
        let wrong = |what| Failure::new(Code::Usage, format!("--discover: {what}"));
        Ok(Self(all.map_err(wrong)?.into_iter().flatten().collect()))
    }

    /// Whether another look may find others: who carries a tag changes. Names are looked up anew by who dials them.
    pub(super) fn change(&self) -> bool {
        self.0.iter().any(|source| !matches!(source, Source::Address(_)))
    }

    /// Where brokers may be now, in another order each time: they are dialled one after the other, and what stands behind some that
    /// swallow calls must have its turn. What does not answer is told and passed over; what cannot be asked from here is a
    /// failure.
    pub(super) async fn look(&self, until: Instant) -> Result<Found, Failure> {
        let mut found = Found::default();
        for source in &self.0 {
            source.look(until.min(Instant::now() + LOOK), &mut found).await?;
        }
        found.addresses.sort_by_cached_key(|_| protocol::random::<8>());
        for trouble in &found.troubles {
            tracing::warn!("{trouble}");
        }
        Ok(found)
    }
}

impl Source {
    #[cfg(feature = "store")]
    async fn look(&self, until: Instant, found: &mut Found) -> Result<(), Failure> {
        let cloud = match self {
            Self::Address(address) => {
                found.addresses.push(address.clone());
                return Ok(());
            }
            Self::Cloud(cloud) => cloud,
        };
        match cloud.look(until).await {
            Ok(addresses) => {
                tracing::info!(%cloud, found = addresses.len(), "looked for managers");
                found.addresses.extend(addresses);
            }
            Err(cloud::Trouble::Passing(what)) => found.troubles.push(format!("--discover '{cloud}': {what}")),
            Err(cloud::Trouble::Here(what)) => {
                return Err(Failure::new(Code::Config, format!("--discover '{cloud}': {what}")));
            }
        }
        Ok(())
    }

    #[cfg(not(feature = "store"))]
    #[expect(clippy::unused_async, reason = "with clouds it asks them")]
    async fn look(&self, _until: Instant, found: &mut Found) -> Result<(), Failure> {
        let Self::Address(address) = self;
        found.addresses.push(address.clone());
        Ok(())
    }
}

fn read(text: &str) -> Result<Vec<Source>, String> {
    let mut sources = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (part, after) = rest.split_once(',').unwrap_or((rest, ""));
        // No address has that sign. A comma after it belongs to a value.
        if part.contains('=') {
            sources.push(cloud_of(rest)?);
            break;
        }
        // Its words would repeat what is there.
        let no_address = |_: AddressError| {
            format!(
                "number {} in the list is no address: write HOST or HOST:PORT, with commas between",
                sources.len() + 1
            )
        };
        let address = part.trim().parse().map_err(no_address)?;
        sources.push(Source::Address(address));
        rest = after.trim_start();
    }
    if sources.is_empty() {
        Err("give addresses, a DNS name, or provider=… with its keys".into())
    } else {
        Ok(sources)
    }
}

#[cfg(feature = "store")]
fn cloud_of(text: &str) -> Result<Source, String> {
    cloud::read(text).map(Source::Cloud)
}

#[cfg(not(feature = "store"))]
fn cloud_of(_text: &str) -> Result<Source, String> {
    Err(ADDRESSES_ONLY.into())
}

#[cfg(not(feature = "store"))]
const ADDRESSES_ONLY: &str = "this broker looks up no cloud's tags: it was built without. Give addresses or a DNS name, or build one that does with: cargo build --locked --release --package broker --features store";

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Result<Vec<String>, String> {
        let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
        let sources = Sources::read(&texts).map_err(|failure| failure.to_string())?;
        let address = |source: &Source| match source {
            Source::Address(address) => address.to_string(),
            #[cfg(feature = "store")]
            Source::Cloud(cloud) => cloud.to_string(),
        };
        Ok(sources.0.iter().map(address).collect())
    }

    #[test]
    fn a_list_and_names_are_addresses() {
        let read = addresses(&["10.0.0.12, 10.0.0.13:8443", "brokers.internal", "fd00::1"]).expect("addresses");
        assert_eq!(read, ["10.0.0.12:7443", "10.0.0.13:8443", "brokers.internal:7443", "[fd00::1]:7443"]);
        for wrong in ["", " ", ",", "10.0.0.300", "a b"] {
            assert!(addresses(&[wrong]).is_err(), "{wrong:?}");
        }
        let told = addresses(&["10.0.0.12, api_token: dop_v1_secret"]).expect_err("refused");
        assert!(told.contains("number 2") && !told.contains("secret"), "{told}");
    }

    #[cfg(feature = "store")]
    #[test]
    fn a_variable_may_hold_addresses_and_then_a_cloud() {
        let read = addresses(&["10.0.0.12,provider=aws tag_key=role tag_value=a,b"]).expect("both");
        assert_eq!(read, ["10.0.0.12:7443", "provider=aws tag_key=role tag_value=a,b"]);
    }

    #[cfg(not(feature = "store"))]
    #[test]
    fn a_broker_without_clouds_says_how_to_get_one_and_repeats_nothing() {
        let told = addresses(&["provider=digitalocean tag_name=a api_token=dop_v1_secret"]).expect_err("refused");
        assert!(told.contains("--features store") && !told.contains("secret"), "{told}");
    }
}
