//! How a node goes: it says that it leaves, or it was ephemeral and stays down. Then its row is removed from the swarm.
//!
//! Keeps DESIGN's words: only what the managers own decides, which is the node's labels, never what a machine says of itself.
//! Must not remove a manager, a node that is up, or one that neither asked for it nor was ephemeral.

mod leave;
mod managers;
mod places;
mod plan;
mod remove;

pub(crate) use leave::leave;
pub(crate) use managers::{MANAGER_GONE, MANAGER_GONE_MOST, Silence, make_room, silent};
pub(crate) use places::Places;
pub(crate) use plan::{Concerned, Watch, concerned};
pub(crate) use remove::settle;

/// The label of an ephemeral machine's node, set with its grant's: for how many seconds it may be down.
pub(crate) const EPHEMERAL_LABEL: &str = "swarm-broker.ephemeral";
/// The label of a manager that was demoted because it was gone, for another one: since when, in seconds since 1970.
pub(crate) const GONE_LABEL: &str = "swarm-broker.gone";
/// The label of a node whose invite says that it replaces, and may be replaced by, another of its name; set with its grant's.
pub(crate) const REPLACES_LABEL: &str = "swarm-broker.replaces";
/// The label of a node that has said that it leaves: since when, in seconds since 1970. It outlives every broker, so
/// whichever looks next goes on with it.
pub(crate) const LEAVING_LABEL: &str = "swarm-broker.leaving";
/// The label by which one broker takes a node's removal on: since when, in seconds since 1970, the broker's id, and since
/// when the node was down by its last change before this one.
const REMOVING_LABEL: &str = "swarm-broker.removing";
