//! MIME multipart with one part, the `#cloud-config`: further parts can be put beside it (RFC 2046 §5.1).

use super::cloud_config;
use super::files::Files;

/// It stands in no file that is written: none of them has a line that begins with two dashes.
const BOUNDARY: &str = "==swarm-joiner==";

pub(super) fn write(files: &Files) -> String {
    // The lists of this part are added to those of the other parts, not put in their place.
    let head = "Content-Type: text/cloud-config; charset=\"utf-8\"\n\
                MIME-Version: 1.0\n\
                Content-Transfer-Encoding: 8bit\n\
                Content-Disposition: attachment; filename=\"joiner.cfg\"\n\
                X-Merge-Type: list(append)+dict(no_replace,recurse_list)+str()\n";
    format!(
        "Content-Type: multipart/mixed; boundary=\"{BOUNDARY}\"\nMIME-Version: 1.0\n\n--{BOUNDARY}\n{head}\n{}--{BOUNDARY}--\n",
        cloud_config::write(files)
    )
}
