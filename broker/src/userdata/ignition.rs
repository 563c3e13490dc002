//! An Ignition configuration, specification 3.3.0: Flatcar and Fedora CoreOS.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::files::{File, Files, INVITE};

pub(super) fn write(files: &Files) -> String {
    // Where the image has the unit, it is enabled only.
    let joins = files.plain.iter().any(|file| file.path == INVITE);
    let unit = match &files.unit {
        Some(unit) => json!({ "name": "joiner.service", "enabled": true, "contents": unit.content }),
        None => json!({ "name": "joiner.service", "enabled": true }),
    };
    let mut units = if joins { vec![unit] } else { Vec::new() };
    let leave = |leave: &File| json!({ "name": "joiner-leave.service", "enabled": true, "contents": leave.content });
    units.extend(files.leave.as_ref().map(leave));
    // What Ignition calls a drop-in is the same file.
    units.extend(files.up.as_ref().map(|up| {
        let dropins = json!([{ "name": "up.conf", "contents": up.content }]);
        json!({ "name": "broker.service", "enabled": true, "dropins": dropins })
    }));
    let config = json!({
        "ignition": { "version": "3.3.0" },
        "storage": { "files": files.plain.iter().map(file).collect::<Vec<_>>() },
        "systemd": { "units": units },
    });
    config.to_string() + "\n"
}

fn file(file: &File) -> Value {
    // The invite stands as it is, so that its copies can be found on the machine and overwritten: all of its characters
    // mean themselves in a URL (RFC 2397, RFC 3986 §2.3).
    let source = if file.path == INVITE {
        format!("data:,{}%0A", file.content.trim_end())
    } else {
        format!("data:;base64,{}", STANDARD.encode(&file.content))
    };
    json!({ "path": file.path, "mode": file.mode, "overwrite": true, "contents": { "source": source } })
}
