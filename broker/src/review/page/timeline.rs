//! The picture of the time: when machines joined, what was refused and replaced, and when there was an alarm.

use maud::{Markup, html};

use super::text::{counted, moment, strftime};
use crate::review::{Span, Story};

/// The picture's size, and where its lanes begin, in units of its own.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 222.0;
const LEFT: f64 = 104.0;
/// Where the axis is.
const AXIS: f64 = 196.0;
/// Into how many parts the time is cut.
const PARTS: usize = 120;
/// Seconds between two marks of the axis.
const STEPS: [u64; 16] =
    [1, 5, 15, 60, 300, 900, 3600, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000, 7_862_400, 31_536_000];

/// The picture; none where nothing happened.
pub(super) fn section(story: &Story<'_>, span: Span) -> Markup {
    let Some(scale) = Scale::of(story, span) else { return html! {} };
    let joined = scale.parts(story.nodes.iter().map(|node| (node.at, 1)));
    let refused = scale.parts(story.refusals.iter().flat_map(|group| &group.records).map(|told| (told.at(), 1)));
    let replaced = scale.parts(story.replaced.iter().map(|one| (one.at, 1)));
    let alarms = scale.parts(story.alarms.iter().flat_map(|group| &group.records).map(|told| (told.at(), 1)));
    html! {
        section #timeline {
            h2 { "Timeline" }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label="When machines joined, requests were refused, tokens and keys were replaced, and alarms were raised" {
                (axis(&scale))
                (bars(&scale, &joined, &Lane { name: "Nodes", class: "joined", base: 82.0, height: 66.0 }))
                (bars(&scale, &refused, &Lane { name: "Refusals", class: "refused", base: 126.0, height: 30.0 }))
                (marks(&scale, &replaced, &Lane { name: "Replaced", class: "replaced", base: 150.0, height: 5.0 }))
                (marks(&scale, &alarms, &Lane { name: "Alarms", class: "alarm", base: 176.0, height: 7.0 }))
            }
        }
    }
}

struct Lane {
    name: &'static str,
    class: &'static str,
    /// The lower edge of bars, the middle of marks.
    base: f64,
    height: f64,
}

/// Which time is where.
struct Scale {
    from: u64,
    to: u64,
}

impl Scale {
    fn of(story: &Story<'_>, span: Span) -> Option<Self> {
        let (from, to) = (span.since.or(story.first)?, span.until.or(story.last)?);
        story.first?;
        // A single moment is shown with something around it.
        let room = (60_u64.saturating_sub(to.saturating_sub(from))) / 2;
        Some(Self { from: from.saturating_sub(room), to: to.max(from) + room.max(1) })
    }

    fn length(&self) -> u64 {
        (self.to - self.from).max(1)
    }

    #[expect(clippy::cast_precision_loss, reason = "a picture is not that precise")]
    fn x(&self, at: u64) -> f64 {
        let share = at.clamp(self.from, self.to) - self.from;
        LEFT + (WIDTH - LEFT - 8.0) * share as f64 / self.length() as f64
    }

    /// How much of it happened in each part of the time.
    fn parts(&self, happened: impl Iterator<Item = (u64, usize)>) -> Vec<usize> {
        let mut parts = vec![0; PARTS];
        for (at, count) in happened {
            let share = u128::from(at.clamp(self.from, self.to) - self.from);
            let part = share * PARTS as u128 / u128::from(self.length());
            parts[usize::try_from(part).unwrap_or(PARTS).min(PARTS - 1)] += count;
        }
        parts
    }

    /// When a part begins.
    fn begin(&self, part: usize) -> u64 {
        let share = u128::from(self.length()) * part as u128 / PARTS as u128;
        self.from + u64::try_from(share).unwrap_or(0)
    }

    /// The marks of the axis: at whole hours, days and so on, at most eight of them.
    fn marks(&self) -> (u64, Vec<u64>) {
        let step = STEPS.into_iter().find(|step| self.length() / step <= 8).unwrap_or(self.length() / 8);
        (step, (self.from.div_ceil(step)..=self.to / step).map(|mark| mark * step).collect())
    }
}

fn axis(scale: &Scale) -> Markup {
    let (step, marks) = scale.marks();
    let form = |at: u64| match step {
        1..60 => strftime(at, "%H:%M:%S"),
        60..86_400 => strftime(at, "%H:%M"),
        _ => strftime(at, "%-d %b"),
    };
    // The day stands where it is another one than at the mark before.
    let day = |at: u64| (at / 86_400, strftime(at, "%-d %b %Y"));
    let year = |at: u64| strftime(at, "%Y");
    html! {
        g.axis {
            line x1=(LEFT) y1=(AXIS) x2=(WIDTH - 8.0) y2=(AXIS) {}
            @for (index, at) in marks.iter().copied().enumerate() {
                @let before = index.checked_sub(1).map(|before| marks[before]);
                line.grid x1=(round(scale.x(at))) y1="10" x2=(round(scale.x(at))) y2=(AXIS) {}
                text x=(round(scale.x(at))) y=(AXIS + 13.0) text-anchor="middle" { (form(at)) }
                @if step < 86_400 {
                    @if before.is_none_or(|before| day(before).0 != day(at).0) { text.day x=(round(scale.x(at))) y=(AXIS + 25.0) text-anchor="middle" { (day(at).1) } }
                } @else if before.is_none_or(|before| year(before) != year(at)) {
                    text.day x=(round(scale.x(at))) y=(AXIS + 25.0) text-anchor="middle" { (year(at)) }
                }
            }
        }
    }
}

fn title(lane: &Lane, scale: &Scale, part: usize, count: usize) -> String {
    let what = lane.name.to_lowercase();
    format!(
        "{} to {}: {} · {what}",
        moment(scale.begin(part)),
        moment(scale.begin(part + 1)),
        counted(count, "once", "times")
    )
    .replace("1 once", "once")
}

#[expect(clippy::cast_precision_loss, reason = "a picture is not that precise")]
fn bars(scale: &Scale, parts: &[usize], lane: &Lane) -> Markup {
    let most = parts.iter().copied().max().unwrap_or(0);
    let width = (WIDTH - LEFT - 8.0) / PARTS as f64;
    html! {
        g class={ "lane " (lane.class) } {
            text.name x="0" y=(lane.base) { (lane.name) }
            @if most > 0 { text.most x="0" y=(lane.base - 13.0) { "up to " (most) } }
            line.base x1=(LEFT) y1=(lane.base) x2=(WIDTH - 8.0) y2=(lane.base) {}
            @for (part, count) in parts.iter().copied().enumerate() {
                @if count > 0 {
                    @let height = (lane.height * count as f64 / most as f64).max(2.5);
                    rect x=(round(width.mul_add(part as f64, LEFT))) y=(round(lane.base - height)) width=(round(width - 1.0)) height=(round(height)) rx="1" {
                        title { (title(lane, scale, part, count)) }
                    }
                }
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a picture is not that precise")]
fn marks(scale: &Scale, parts: &[usize], lane: &Lane) -> Markup {
    let width = (WIDTH - LEFT - 8.0) / PARTS as f64;
    html! {
        g class={ "lane " (lane.class) } {
            text.name x="0" y=(lane.base + 4.0) { (lane.name) }
            line.base x1=(LEFT) y1=(lane.base) x2=(WIDTH - 8.0) y2=(lane.base) {}
            @for (part, count) in parts.iter().copied().enumerate() {
                @if count > 0 {
                    @let x = width.mul_add(part as f64 + 0.5, LEFT);
                    path d=(shape(lane, x)) { title { (title(lane, scale, part, count)) } }
                    @if count > 1 { text.many x=(round(x + lane.height + 2.0)) y=(lane.base + 4.0) { (count) } }
                }
            }
        }
    }
}

/// A triangle for an alarm, a diamond for the rest: told apart without colours, too.
fn shape(lane: &Lane, x: f64) -> String {
    let (top, bottom, left, right) = (
        round(lane.base - lane.height),
        round(lane.base + lane.height),
        round(x - lane.height),
        round(x + lane.height),
    );
    let (x, middle) = (round(x), round(lane.base));
    match lane.class {
        "alarm" => format!("M{x} {top}L{right} {bottom}L{left} {bottom}Z"),
        _ => format!("M{x} {top}L{right} {middle}L{x} {bottom}L{left} {middle}Z"),
    }
}

/// To a tenth: the file stays small.
fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
