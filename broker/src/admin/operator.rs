//! Who an operator is, for the audit log.

/// A user as the log names it: its number, and its name where this machine knows one.
pub(crate) fn operator(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.map_or_else(|| format!("uid {uid}"), |name| format!("uid {uid} ({name})"))
}
