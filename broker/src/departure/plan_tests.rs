use super::*;

const NOW: u64 = 1_000_000;
/// What is due about a node that nothing has taken the place of.
fn due(node: &Node, now: u64, seen: Duration) -> Option<Why> {
    super::due(node, None, now, seen)
}

const LONG: Duration = Duration::from_hours(9999);

/// A worker that is down since `NOW`.
fn node(labels: &[(&str, &str)]) -> Node {
    let id = "a".repeat(25).parse().expect("a node id");
    let mut node = Node::example(id, Availability::Active, NOW);
    (node.ready, node.down) = (false, true);
    node.labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    node
}

fn left() -> Node {
    let mut left = node(&[(LEAVING_LABEL, &NOW.to_string())]);
    left.availability = Availability::Drain;
    left
}

fn but(node: &Node, change: impl FnOnce(&mut Node)) -> Node {
    let mut node = node.clone();
    change(&mut node);
    node
}

#[test]
fn what_a_node_said_long_ago_is_not_taken_for_todays_word() {
    let late = NOW + FRESH;
    assert_eq!(due(&left(), late - 1, Duration::ZERO), Some(Why::Left));
    assert_eq!(due(&left(), late, Duration::ZERO), None, "it was cut off, or its raft restored");
    assert_eq!(due(&left(), late, SEEN), Some(Why::Left), "and does not come back");
}

#[test]
fn a_node_that_left_goes_as_soon_as_it_is_down() {
    assert_eq!(due(&left(), NOW, Duration::ZERO), Some(Why::Left));
    for (never, why) in [
        (but(&left(), |node| node.down = false), "it is unknown, or up"),
        (but(&left(), |node| node.role = Role::Manager), "a manager"),
        (but(&left(), |node| node.manager = Some("10.0.0.1:2377".into())), "demoted, and in raft still"),
        (but(&left(), |node| node.availability = Availability::Active), "an operator set it active again"),
    ] {
        assert_eq!(due(&never, NOW, LONG), None, "{why}");
    }
}

#[test]
fn an_ephemeral_node_goes_after_its_time_and_no_other_ever() {
    let gone = node(&[(EPHEMERAL_LABEL, "600")]);
    assert_eq!(due(&gone, NOW + 600 + CLOCKS, LONG), None);
    assert_eq!(due(&gone, NOW + 601 + CLOCKS, LONG), Some(Why::Gone(600)));
    let unclear = but(&gone, |node| node.updated = None);
    for never in [node(&[]), node(&[("ephemeral", "1")]), node(&[(EPHEMERAL_LABEL, "soon")]), unclear] {
        assert_eq!(due(&never, u64::MAX, LONG), None, "{:?}", never.labels);
    }
    assert_eq!(due(&node(&[(EPHEMERAL_LABEL, "18446744073709551615")]), u64::MAX, LONG), None);
    assert_eq!(due(&but(&gone, |node| node.role = Role::Manager), u64::MAX, LONG), None);
    assert_eq!(due(&but(&gone, |node| node.down = false), u64::MAX, LONG), None);
}

/// What is done about one node that is seen again and again, at these times after the first.
fn looks(watch: &mut Watch, node: &Node, now: u64, at: Instant, seconds: impl IntoIterator<Item = u64>) -> Vec<Step> {
    let look = |after| watch.look(concerned(std::slice::from_ref(node)), now, at + Duration::from_secs(after));
    seconds.into_iter().flat_map(look).map(|(_, step)| step).collect()
}

#[test]
fn a_node_that_somebody_set_active_again_is_no_node_that_leaves() {
    let (mut watch, at) = (Watch::default(), Instant::now());
    let kept = but(&left(), |node| node.availability = Availability::Active);
    let up = but(&kept, |node| (node.ready, node.down) = (true, false));
    assert_eq!(looks(&mut watch, &kept, NOW, at, [0]), [Step::Keep]);
    assert_eq!(looks(&mut watch, &up, NOW, at, [2]), [Step::Keep], "whether it is up or down");
    // Weeks later it is drained, for maintenance, and restarted.
    let unlabelled = but(&kept, |node| {
        node.labels.clear();
        node.availability = Availability::Drain;
    });
    assert_eq!(looks(&mut watch, &unlabelled, NOW + 9_999_999, at, [4]), []);
    assert_eq!(looks(&mut watch, &but(&left(), |node| node.down = false), NOW, at, [6]), [], "it is still leaving");
}

#[test]
fn an_ephemeral_node_has_time_to_come_back_to_managers_that_were_away_themselves() {
    let at = Instant::now();
    // By the swarm's clock it is down for a year: the managers were off, or their clock was set.
    let (gone, now) = (node(&[(EPHEMERAL_LABEL, "86400")]), NOW + 366 * 86400);
    let mut watch = Watch::default();
    assert_eq!(looks(&mut watch, &gone, now, at, (0..600).step_by(2)), [], "it was not seen down for ten minutes");
    assert_eq!(looks(&mut watch, &gone, now, at, [600]), [Step::Remove(Why::Gone(86400))]);
    assert_eq!(looks(&mut watch, &gone, NOW + 86400, at, [602]), [], "both clocks count");

    let changed = but(&gone, |node| node.version += 1);
    assert_eq!(looks(&mut watch, &changed, now, at, [604]), [], "it was up in between");
    assert_eq!(looks(&mut watch, &changed, now, at, (606..1206).step_by(30)), []);
    assert_eq!(looks(&mut watch, &changed, now, at, [1236]), [], "so long this broker has seen nothing");
    let soon = node(&[(EPHEMERAL_LABEL, "60")]);
    let mut watch = Watch::default();
    assert_eq!(looks(&mut watch, &soon, now, at, (0..60).step_by(2)), []);
    assert_eq!(looks(&mut watch, &soon, now, at, [60]), [Step::Remove(Why::Gone(60))], "no longer than its own time");
}

#[test]
fn those_that_left_do_not_wait_for_those_that_are_gone() {
    let gone = node(&[(EPHEMERAL_LABEL, "0")]);
    let left = but(&left(), |node| node.id = "b".repeat(25).parse().expect("a node id"));
    let up = but(&gone, |node| (node.ready, node.down) = (true, false));
    let nodes = concerned(&[gone, left, up, node(&[])]);
    assert_eq!(nodes.len(), 2, "the others are nobody's concern");
    let steps = Watch::default().look(nodes, NOW + 10, Instant::now());
    let steps: Vec<_> = steps.into_iter().map(|(_, step)| step).collect();
    assert_eq!(steps, [Step::Remove(Why::Left), Step::Remove(Why::Gone(0))]);
}

#[test]
fn what_one_broker_has_taken_on_is_left_to_it_for_a_while_by_any_clock() {
    let labelled = but(&left(), |node| drop(node.labels.insert(REMOVING_LABEL.into(), format!("{NOW} b1"))));
    assert_eq!(due(&labelled, NOW + TURN - 1, LONG), None);
    assert_eq!(due(&labelled, NOW + TURN, LONG), Some(Why::Left), "it was cut off");
    // A broker whose clock is a year ahead took it on.
    assert_eq!(due(&labelled, NOW - TURN + 1, LONG), None);
    assert_eq!(due(&labelled, NOW - 7 * 86400, LONG), Some(Why::Left));
}

#[test]
fn a_removal_that_was_taken_on_and_not_done_does_not_begin_its_time_anew() {
    let gone = node(&[(EPHEMERAL_LABEL, "86400")]);
    let now = NOW + 86400 + CLOCKS + 1;
    let take_on = |node: &Node, now: u64| {
        let label = taken(node, now, "b1");
        but(node, |node| {
            node.labels.insert(REMOVING_LABEL.into(), label);
            (node.updated, node.version) = (Some(now + 2), node.version + 1);
        })
    };
    let cut_off = take_on(&gone, now);
    assert_eq!(due(&cut_off, now + TURN, LONG), Some(Why::Gone(86400)));
    let twice = take_on(&cut_off, now + TURN);
    assert_eq!(due(&twice, now + 2 * TURN, LONG), Some(Why::Gone(86400)), "nor the second time");
    let back = but(&cut_off, |node| node.updated = Some(now + 60));
    assert_eq!(due(&back, now + 86400, LONG), None, "it was up since: that begins anew");
    assert_eq!(due(&back, now + 60 + 86400 + CLOCKS + 1, LONG), Some(Why::Gone(86400)));
}

#[test]
fn a_removal_ends_where_anything_speaks_against_it_at_the_last_moment() {
    let take_on = |node: &Node| but(node, |node| drop(node.labels.insert(REMOVING_LABEL.into(), "1 b1 1".into())));
    let (gone, left) = (take_on(&node(&[(EPHEMERAL_LABEL, "600")])), take_on(&left()));
    assert!(is_still(&gone, Why::Gone(600), "1 b1 1") && is_still(&left, Why::Left, "1 b1 1"));
    for (node, why) in [(&gone, Why::Gone(600)), (&left, Why::Left)] {
        let is = |change: fn(&mut Node)| is_still(&but(node, change), why, "1 b1 1");
        assert!(!is(|node| node.down = false), "it came back");
        assert!(!is(|node| node.role = Role::Manager) && !is(|node| node.manager = Some("10.0.0.1:2377".into())));
        assert!(!is(|node| drop(node.labels.insert(REMOVING_LABEL.into(), "2 b2 1".into()))), "another broker's");
        assert!(!is(|node| drop(node.labels.remove(REMOVING_LABEL))), "somebody took it away");
        assert!(!is(|node| {
            node.labels.remove(EPHEMERAL_LABEL);
            node.availability = Availability::Active;
        }));
    }
    assert!(!is_still(&gone, Why::Gone(60), "1 b1 1"), "it has another time now");
}

#[test]
fn a_node_goes_when_another_of_its_name_has_confirmed_and_both_invites_say_so() {
    let labels = [(REPLACES_LABEL, "true"), (GRANT_LABEL, "g")];
    let old = node(&labels);
    let new = but(&old, |node| {
        node.id = "b".repeat(25).parse().expect("a node id");
        (node.ready, node.down, node.created) = (true, false, old.created + 1);
        node.hostname.make_ascii_uppercase();
    });
    let steps = |old: &Node, new: &Node| {
        let nodes = concerned(&[old.clone(), new.clone()]);
        let steps = Watch::default().look(nodes, NOW, Instant::now());
        steps.into_iter().map(|(node, step)| (node.id, step)).collect::<Vec<_>>()
    };
    assert_eq!(steps(&old, &new), [(old.id.clone(), Step::Remove(Why::Replaced))]);
    for (old, new, why) in [
        (but(&old, |node| (node.ready, node.down) = (true, false)), new.clone(), "never one that is up"),
        (but(&old, |node| node.role = Role::Manager), new.clone(), "never a manager"),
        (but(&old, |node| drop(node.labels.remove(REPLACES_LABEL))), new.clone(), "its invite did not say so"),
        (but(&old, |node| drop(node.labels.remove(GRANT_LABEL))), new.clone(), "it was joined by hand"),
        (old.clone(), but(&new, |node| drop(node.labels.remove(REPLACES_LABEL))), "the new one's did not"),
        (old.clone(), but(&new, |node| drop(node.labels.remove(GRANT_LABEL))), "it has not confirmed"),
        (old.clone(), but(&new, |node| node.created = old.created), "it is not newer"),
        (old.clone(), but(&new, |node| (node.ready, node.down) = (false, true)), "it is down itself"),
        (old.clone(), but(&new, |node| node.hostname.push('x')), "it is another machine"),
    ] {
        assert_eq!(steps(&old, &new), [], "{why}");
    }
    let twin = but(&old, |node| node.updated = Some(new.created + CHANGE_OF_LIVES + 1));
    assert_eq!(steps(&twin, &new), [], "it was up beside the newer one: another machine of that name");
    assert_eq!(super::due(&twin, Some(new.created), NOW, SEEN), Some(Why::Replaced), "and does not come back");
    let taken = but(&old, |node| drop(node.labels.insert(REMOVING_LABEL.into(), "1 b1 1".into())));
    assert!(is_still(&taken, Why::Replaced, "1 b1 1"));
    assert!(!is_still(&but(&taken, |node| drop(node.labels.remove(REPLACES_LABEL))), Why::Replaced, "1 b1 1"));
}
