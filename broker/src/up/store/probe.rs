//! Tries whether a store keeps conditions, before anything hangs on it: some ignore them in silence.

use super::{Put, Store, StoreError};

/// Refuses a store in which a second create or a stale update passes, or the right one does not.
pub(crate) async fn probe(store: &Store) -> Result<(), StoreError> {
    // A name that no other machine tries with at this moment.
    let name = format!("probe-{}", protocol::GrantId::random());
    let tried = conditions(store, &name).await;
    // Left there it does no harm.
    let _ = store.remove(&name).await;
    match tried? {
        None => Ok(()),
        Some(why) => Err(StoreError::Unfit(store.to_string(), why)),
    }
}

/// What is wrong with its conditions, if anything is.
async fn conditions(store: &Store, name: &str) -> Result<Option<&'static str>, StoreError> {
    let Put::Done(first) = store.create(name, text(1)).await? else {
        return Ok(Some("an object that is not there cannot be created"));
    };
    if store.create(name, text(2)).await? != Put::Conflict {
        return Ok(Some("a second create of the same object passes"));
    }
    let Put::Done(_) = store.update(name, text(3), &first).await? else {
        return Ok(Some("an update of the version that is there does not pass"));
    };
    if store.update(name, text(4), &first).await? != Put::Conflict {
        return Ok(Some("an update of a version that has moved on passes"));
    }
    match store.get(name).await? {
        Some(found) if found.bytes == text(3) => Ok(None),
        _ => Ok(Some("what was written last is not what is read")),
    }
}

fn text(number: u8) -> Vec<u8> {
    format!("A broker tries whether this store keeps conditions: {number}\n").into_bytes()
}
