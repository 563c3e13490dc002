//! Nodes, boots that did not end, and invitations.

use maud::{Markup, html};

use super::records::row;
use super::text::{moment, short, visible};
use crate::review::story::{Explained, Invitation};
use crate::review::{Log, Story};

/// Who joined, and on whose invitation.
pub(super) fn nodes(logs: &[Log], story: &Story<'_>) -> Markup {
    html! {
        section #nodes {
            h2 { "Nodes " span.count { (story.nodes.len()) } }
            @if story.nodes.is_empty() { p.none { "None came in." } }
            @else {
                div.head.node { span { "In since" } span { "Hostname" } span { "Node" } span { "Role" } span { "Explained by" } span { "Labels" } }
            }
            @for node in &story.nodes {
                (row("node", None, logs, &node.records, &html! {
                    span.time { (moment(node.at)) }
                    span.name { (visible(node.hostname)) }
                    span.id title=(visible(node.id)) { (short(node.id)) }
                    span { (visible(node.role)) }
                    span.why { (explained(node.explained, story)) }
                    span.labels { @for (name, value) in &node.labels { span.label { (visible(name)) "=" (visible(value)) } " " } }
                }))
            }
        }
    }
}

fn explained(explained: Explained<'_>, story: &Story<'_>) -> Markup {
    match explained {
        Explained::Invited { invite } => {
            let by = story.invitations.iter().find(|one| one.id == invite).and_then(Invitation::by);
            html! {
                "invite " a.id href={ "#invite-" (visible(invite)) } title=(visible(invite)) { (short(invite)) }
                @match by {
                    Some(by) => { " of " (visible(by)) }
                    None => { span.muted { ", made elsewhere" } }
                }
            }
        }
        Explained::Adopted { by, why } => html! { "adopted by " (visible(by)) ": " (visible(why)) },
        Explained::Nothing => html! { strong.bad { "nothing" } },
    }
}

/// Machines that began and did not come.
pub(super) fn unfinished(logs: &[Log], story: &Story<'_>) -> Markup {
    html! {
        @if !story.unfinished.is_empty() {
            section #unfinished {
                h2 { "Not finished " span.count { (story.unfinished.len()) } }
                p.none { "These keys were given an identity, and no node has joined with them. One that was given the token may be in the swarm all the same." }
                div.head.boot { span { "Since" } span { "Hostname" } span { "Address" } span { "Invite" } span { "Got as far as" } }
                @for boot in &story.unfinished {
                    (row("boot", None, logs, &boot.records, &html! {
                        span.time { (moment(boot.at)) }
                        span.name { (visible(boot.hostname)) }
                        span.id { (visible(boot.source)) }
                        span { a.id href={ "#invite-" (visible(boot.invite)) } title=(visible(boot.invite)) { (short(boot.invite)) } }
                        span { @if boot.has_token { strong.warn { "the token" } } @else { "its identity" } }
                    }))
                }
            }
        }
    }
}

/// Who invited, whom, and how many came.
pub(super) fn invitations(logs: &[Log], story: &Story<'_>) -> Markup {
    html! {
        @if !story.invitations.is_empty() {
            section #invitations {
                h2 { "Invitations " span.count { (story.invitations.len()) } }
                div.head.invitation { span { "Made" } span { "Invite" } span { "By" } span { "Role" } span.number { "Joined" } span { "From networks" } span { "Ends" } }
                @for one in &story.invitations {
                    (row("invitation", Some(format!("invite-{}", visible(one.id))), logs, &one.records, &invitation(one)))
                }
            }
        }
    }
}

fn invitation(one: &Invitation<'_>) -> Markup {
    let ends = one.made.and_then(|made| made.count("ends"));
    html! {
        span.time { @match one.made { Some(made) => (moment(made.at())), None => span.muted { "not in these logs" } } }
        span.id title=(visible(one.id)) { (short(one.id)) }
        span { (visible(one.by().unwrap_or_default())) }
        span { (visible(one.made.map(|made| made.entry.text("role")).unwrap_or_default())) }
        span.number {
            (one.joined)
            @if let Some(uses) = one.uses() { " of " (uses) }
        }
        span { @if one.made.is_some() { @if one.networks().is_empty() { span.muted { "anywhere" } } @else { (visible(&one.networks().join(", "))) } } }
        span.time {
            @match (one.revoked, ends) {
                (Some(revoked), _) => { "revoked " (moment(revoked.at())) }
                (None, Some(ends)) => (moment(ends)),
                (None, None) => "",
            }
        }
    }
}
