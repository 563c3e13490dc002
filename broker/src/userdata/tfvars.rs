//! The variables of the Terraform module in `cloud-init/terraform`, which renders the same user-data itself.

use protocol::InviteLine;
use serde_json::json;

use super::{Order, Program};

pub(super) fn write(order: &Order, invite: &InviteLine) -> String {
    let mut variables = serde_json::Map::from_iter([("invite".to_owned(), json!(invite.expose()))]);
    match &order.program {
        Program::InImage => variables.insert("embed".into(), json!(true)),
        Program::Fetched(joiners) => variables.insert("joiner_sha256".into(), json!(joiners)),
    };
    if order.install_docker {
        variables.insert("install_docker".into(), json!(true));
    }
    for (name, value) in &order.settings {
        variables.insert(name.trim_start_matches("JOINER_").to_lowercase(), json!(value));
    }
    let text = serde_json::to_string_pretty(&variables).unwrap_or_else(|_| unreachable!("maps of texts serialise"));
    text + "\n"
}
