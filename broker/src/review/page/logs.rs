//! The logs, and whether they are what was signed.

use maud::{Markup, html};

use super::text::{counted, grouped, visible, visible_lines};
use crate::review::Log;

/// One line a log.
pub(super) fn section(logs: &[Log]) -> Markup {
    html! {
        section #logs aria-label="Logs" {
            table.logs {
                thead { tr { th { "Log of broker" } th.number { "Records" } th { "Verified" } th { "Signed with" } th { "Read from" } } }
                tbody {
                    @for log in logs {
                        @let wrong = log.wrong();
                        tr.wrong[wrong.is_some()] {
                            td.id { (visible(&log.name())) }
                            td.number { (records(log)) }
                            td {
                                @match &wrong {
                                    None => {
                                        span.good { "✓ as signed" }
                                        @if !log.cosigned_by.is_empty() { br; span.muted { "cosigned by " (visible(&log.cosigned_by.join(", "))) } }
                                    }
                                    Some(words) => { strong.bad { "✗ WRONG" } " " (visible(words)) }
                                }
                                @if log.unreadable > 0 { " " (counted(usize::try_from(log.unreadable).unwrap_or(usize::MAX), "line is no record", "lines are no records")) }
                            }
                            td.key {
                                (signed_with(log))
                                @if let Some(signed) = &log.signed {
                                    details.note {
                                        summary { "signed head over " (grouped(usize::try_from(signed.head.size).unwrap_or(usize::MAX))) " records" }
                                        pre { (visible_lines(&signed.note)) }
                                    }
                                }
                            }
                            td.path { (visible(&log.folder.display().to_string())) }
                        }
                    }
                }
            }
        }
    }
}

fn records(log: &Log) -> String {
    let count = log.checked.as_ref().map_or(0, |checked| checked.records);
    grouped(usize::try_from(count).unwrap_or(usize::MAX))
}

fn signed_with(log: &Log) -> Markup {
    let checked = log.checked.as_ref().ok();
    let Some(key) = checked.and_then(|checked| checked.key.as_deref()) else {
        return html! { span.muted { "nobody that is known" } };
    };
    html! {
        code { (visible(key)) }
        @if !checked.is_some_and(|checked| checked.trusted) { " " span.muted { "found beside the log" } }
    }
}
