//! A table on standard output, and on a terminal drawn over the one before it: one write a time, so that nothing flickers.
//!
//! Must not write more than fits on the screen where it draws over: what scrolled away cannot be drawn over.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

use rustix::termios::tcgetwinsize;

use super::table::{Line, Tint};
use crate::exit::{Code, Failure};

/// Whether somebody still reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    Here,
    Gone,
}

/// Rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// What was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Drawn {
    pub(super) lines: usize,
    pub(super) size: Size,
}

/// A terminal that is drawn over.
#[derive(Default)]
pub(super) struct Screen {
    drawn: Option<Drawn>,
}

impl Screen {
    pub(super) fn draw(&mut self, lines: &[Line]) -> Result<Reader, Failure> {
        let size = size();
        let (text, lines) = frame(lines, size, self.drawn, has_colours());
        self.drawn = Some(Drawn { lines, size });
        write(&text)
    }
}

/// Prints the lines once, whole.
pub(super) fn print(lines: &[Line]) -> Result<(), Failure> {
    let colours = is_terminal() && has_colours();
    let text: String = lines.iter().map(|line| painted(&line.text, line.tint, colours) + "\n").collect();
    write(&text).map(drop)
}

/// Writes all of it at once. A reader that went away is no failure.
pub(super) fn write(text: &str) -> Result<Reader, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::Here),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::new(Code::Io, format!("standard output: {error}"))),
    }
}

/// Whether standard output is a terminal that can be drawn over.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

fn has_colours() -> bool {
    std::env::var_os("NO_COLOR").is_none()
}

fn size() -> Size {
    let of = |number: u16, else_it_is: usize| if number == 0 { else_it_is } else { usize::from(number) };
    let found = tcgetwinsize(io::stdout()).ok();
    let (rows, columns) = found.map_or((0, 0), |found| (found.ws_row, found.ws_col));
    Size { rows: of(rows, 24), columns: of(columns, 80) }
}

/// What to send so that these lines stand where the last ones did, and how many lines that are. The cursor is below them.
pub(super) fn frame(lines: &[Line], size: Size, drawn: Option<Drawn>, colours: bool) -> (String, usize) {
    // Where its size changed, nobody knows where the lines went: all of it is made empty.
    let mut text = match drawn {
        None => String::new(),
        Some(before) if before.size != size => "\u{1b}[H\u{1b}[2J".to_owned(),
        Some(Drawn { lines: 0, .. }) => "\r".to_owned(),
        Some(Drawn { lines, .. }) => format!("\r\u{1b}[{lines}A"),
    };
    let room = size.rows.saturating_sub(1).max(1);
    let over = lines.len() > room;
    let shown = if over { room.saturating_sub(1) } else { lines.len() };
    let more =
        over.then(|| Line::new(Tint::Head, &format!("{} more lines: the screen is too small", lines.len() - shown)));
    let all = lines.iter().take(shown).chain(&more);
    let mut count = 0;
    for line in all {
        text.push_str(&painted(&cut(&line.text, size.columns), line.tint, colours));
        text.push_str("\u{1b}[K\n");
        count += 1;
    }
    text.push_str("\u{1b}[J");
    (text, count)
}

/// As much as has room. What is not ASCII may take two columns.
fn cut(text: &str, columns: usize) -> String {
    let mut room = columns;
    let fits = |c: &char| {
        let width = if c.is_ascii() { 1 } else { 2 };
        let fits = room >= width;
        room = room.saturating_sub(width);
        fits
    };
    text.chars().take_while(fits).collect()
}

fn painted(text: &str, tint: Tint, colours: bool) -> String {
    let code = match tint {
        _ if !colours => return text.to_owned(),
        Tint::Plain => return text.to_owned(),
        Tint::Head => "1",
        Tint::Underway => "33",
        Tint::Wrong => "31",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}
