//! Making a swarm, and where its certificates are on this machine.
//!
//! Must not decide whether one may be made.

use std::path::PathBuf;
use std::time::Duration;

use bollard::models::{SwarmInitRequest, SwarmSpec, SwarmSpecCaConfig};
use bollard::query_parameters::{LeaveSwarmOptions, ListServicesOptions};
use certs::NodeKeyPair;
use zeroize::Zeroizing;

use super::{Engine, EngineError};

/// What can only be set when a swarm is made. Empty: Docker's own choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Formation {
    /// What the node listens on for other managers.
    pub(crate) listen: Option<String>,
    /// What other nodes reach this one at.
    pub(crate) advertise: Option<String>,
    /// What the overlay networks use.
    pub(crate) data_path: Option<String>,
    /// Their port.
    pub(crate) data_path_port: Option<u32>,
    /// The networks that overlay networks are cut from.
    pub(crate) pools: Vec<String>,
    /// How large a piece each of them gets, as a prefix length.
    pub(crate) pool_mask: Option<u32>,
    /// How long a node's certificate is good for.
    pub(crate) certificates: Option<Duration>,
}

impl Engine {
    /// Makes a swarm of this one engine.
    pub(crate) async fn form(&self, formation: Formation) -> Result<(), EngineError> {
        let expiry = formation.certificates.map(|length| i64::try_from(length.as_nanos()).unwrap_or(i64::MAX));
        let ca = SwarmSpecCaConfig { node_cert_expiry: expiry, ..SwarmSpecCaConfig::default() };
        let spec = SwarmSpec { ca_config: Some(ca), ..SwarmSpec::default() };
        let request = SwarmInitRequest {
            listen_addr: Some(formation.listen.unwrap_or_else(|| "0.0.0.0:2377".into())),
            advertise_addr: formation.advertise,
            data_path_addr: formation.data_path,
            data_path_port: formation.data_path_port,
            default_addr_pool: (!formation.pools.is_empty()).then_some(formation.pools),
            subnet_size: formation.pool_mask,
            force_new_cluster: Some(false),
            spec: expiry.is_some().then_some(spec),
        };
        self.call(|docker| async move { docker.init_swarm(request).await }).await.map(drop)
    }

    /// Leaves a swarm that has this one engine and no service.
    pub(crate) async fn leave(&self) -> Result<(), EngineError> {
        let services =
            self.call(|docker| async move { docker.list_services(None::<ListServicesOptions>).await }).await?;
        if !services.is_empty() {
            return Err(EngineError::InUse);
        }
        let options = LeaveSwarmOptions { force: true };
        match self.call(|docker| async move { docker.leave_swarm(Some(options)).await }).await {
            // If its outcome is not known, the next look at the engine tells it.
            Ok(()) | Err(EngineError::TimedOut) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// This node's certificate and key, from the engine's folder.
    pub(crate) async fn node_key(&self) -> Result<NodeKeyPair, String> {
        let info = self.call(|docker| async move { docker.info().await }).await.map_err(|error| error.to_string())?;
        let root = info.docker_root_dir.ok_or("the engine does not say where its files are")?;
        let folder = PathBuf::from(root).join("swarm/certificates");
        let read = |name: &str| {
            let path = folder.join(name);
            let text = std::fs::read_to_string(&path).map(Zeroizing::new);
            text.map_err(|error| format!("{} cannot be read: {error}", path.display()))
        };
        NodeKeyPair::from_pem(&read("swarm-node.crt")?, &read("swarm-node.key")?).map_err(|error| error.to_string())
    }
}
