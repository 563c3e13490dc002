//! Why a list of expected machines does not read, and what to do: one line for whoever gave it.
//!
//! What it quotes of the list is short, and fit for a terminal.

/// What is wrong with it. Whoever tells it says before it where the list came from.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("it is empty. Give a hostname a line, or what 'terraform output -json' prints")]
    Empty,
    #[error("it is no text in UTF-8. Give a hostname a line, or JSON")]
    NoText,
    #[error(
        "it is no whole JSON: {0}. Give all that 'terraform output -json' printed, or a list without brackets, a \
         hostname a line"
    )]
    Broken(String),
    #[error(
        "it names no machine. Of Terraform, give an output with the machines in it, as a list of hostnames or a map from \
         hostname to address, such as 'workers' in the module's examples: terraform output -json workers"
    )]
    NoName,
    #[error(
        "{at}: '{shown}' is no hostname: those are of letters, digits, '-', '.' and '_'. If other things stand there \
         too, give the machines only: terraform output -json NAME, or a list, a hostname a line"
    )]
    NoHostname { at: String, shown: String },
    #[error(
        "{at}: the object there says neither 'hostname' nor 'name', so it names no machine. Give it one of them, or its \
         address under 'address'"
    )]
    Nameless { at: String },
    #[error("{at}: a join token or an invite stands where a hostname should. Keep it secret, and take it out of there")]
    Secret { at: String },
    #[error("'{what}' is there twice: {first} and {second}. Name each machine once")]
    Twice { what: String, first: String, second: String },
    #[error("it names {0} machines, and at most {1} can be compared. Give them in parts")]
    TooMany(usize, usize),
}

/// As much of a text from outside as one line of an error has room for.
pub(super) fn cut(text: &str) -> String {
    const ROOM: usize = 60;
    let begin: String = text.chars().take(ROOM).flat_map(char::escape_debug).collect();
    if text.chars().count() > ROOM { format!("{begin}…") } else { begin }
}

/// Where something stands in JSON: under this key of what stands there. Of all of it, where there is no more to say.
pub(super) fn place(at: &str, key: &str) -> String {
    match (at, key) {
        ("", "") => "the JSON".into(),
        (at, "") => at.to_owned(),
        ("", key) => cut(key),
        (at, key) => format!("{at}.{}", cut(key)),
    }
}
