//! How many tasks each node of the swarm still has.
//!
//! Must not take a state that it does not know for the end of a task.

use std::collections::HashMap;

use bollard::models::{Task, TaskState};
use bollard::query_parameters::ListTasksOptions;
use protocol::NodeId;

use super::{Engine, EngineError};

/// How many tasks have not ended, by the node that they are on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks(HashMap<String, u32>);

impl Tasks {
    /// Those on this node.
    pub(crate) fn on(&self, node: &NodeId) -> u32 {
        self.0.get(node.as_str()).copied().unwrap_or(0)
    }

    fn count(tasks: Vec<Task>) -> Self {
        let mut counted = HashMap::new();
        for node in tasks.into_iter().filter(|task| !has_ended(task)).filter_map(|task| task.node_id) {
            *counted.entry(node).or_default() += 1;
        }
        Self(counted)
    }
}

impl Engine {
    /// All tasks that have not ended.
    pub(crate) async fn tasks(&self) -> Result<Tasks, EngineError> {
        self.call(|docker| async move { docker.list_tasks(None::<ListTasksOptions>).await }).await.map(Tasks::count)
    }
}

/// Whether nothing of the task runs any more, nor will.
fn has_ended(task: &Task) -> bool {
    let state = task.status.as_ref().and_then(|status| status.state);
    state.is_some_and(|state| match state {
        TaskState::COMPLETE
        | TaskState::SHUTDOWN
        | TaskState::FAILED
        | TaskState::REJECTED
        | TaskState::REMOVE
        | TaskState::ORPHANED => true,
        TaskState::NEW
        | TaskState::ALLOCATED
        | TaskState::PENDING
        | TaskState::ASSIGNED
        | TaskState::ACCEPTED
        | TaskState::PREPARING
        | TaskState::READY
        | TaskState::STARTING
        | TaskState::RUNNING => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_is_not_counted_and_what_is_not_known_is() {
        let node: NodeId = "a".repeat(25).parse().expect("a node id");
        let task = |state: Option<TaskState>, on: &str| Task {
            node_id: Some(on.to_owned()),
            status: Some(bollard::models::TaskStatus { state, ..Default::default() }),
            ..Default::default()
        };
        let other = "b".repeat(25);
        let tasks = vec![
            task(Some(TaskState::RUNNING), node.as_str()),
            task(Some(TaskState::ASSIGNED), node.as_str()),
            task(None, node.as_str()),
            task(Some(TaskState::SHUTDOWN), node.as_str()),
            task(Some(TaskState::FAILED), node.as_str()),
            task(Some(TaskState::RUNNING), &other),
        ];
        assert_eq!(Tasks::count(tasks).on(&node), 3);
        assert_eq!(Tasks::default().on(&node), 0);
    }
}
