//! A folder keeps conditions, whoever else writes; what does not keep them is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use protocol::ClusterId;

use super::*;

async fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("shared-by-managers"), "").expect("written");
    let store = Store::open(&format!("file://{}", folder.path().display()), &[]).await.expect("opens");
    (folder, store)
}

#[tokio::test]
async fn a_folder_keeps_conditions_and_is_left_as_it_was() {
    let (folder, store) = store().await;
    probe(&store).await.expect("keeps them");
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).expect("reads").flatten().map(|entry| entry.file_name()).collect();
    assert!(left.iter().all(|name| name == ".lock" || name == "shared-by-managers"), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_creates_and_updates_at_once_one_passes() {
    let (folder, store) = store().await;
    let all = |version: Option<Version>| {
        let store = store.clone();
        async move {
            let passed = Arc::new(AtomicUsize::new(0));
            let tasks = (0..32).map(|number| {
                let (store, passed, version) = (store.clone(), passed.clone(), version.clone());
                tokio::spawn(async move {
                    let bytes = format!("{number}").into_bytes();
                    let put = match &version {
                        None => store.create("one", bytes).await,
                        Some(version) => store.update("one", bytes, version).await,
                    };
                    if put.expect("an outcome") != Put::Conflict {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await.expect("no panic");
            }
            passed.load(Ordering::Relaxed)
        }
    };
    assert_eq!(all(None).await, 1);
    std::fs::write(folder.path().join("one"), "as it was").expect("written");
    let version = store.get("one").await.expect("reads").expect("is there").version;
    assert_eq!(all(Some(version)).await, 1);
}

#[tokio::test]
async fn a_folder_that_went_away_is_not_an_empty_one() {
    let (folder, store) = store().await;
    assert!(store.get("one").await.expect("reads").is_none());
    // What is seen once nothing is mounted there: the mount point, which is a folder as well.
    std::fs::remove_file(folder.path().join("shared-by-managers")).expect("removed");
    for gone in [false, true] {
        if gone {
            std::fs::remove_dir(folder.path()).expect("empty");
        }
        assert!(matches!(store.get("one").await, Err(StoreError::Unavailable(..))));
        assert!(matches!(store.create("one", Vec::new()).await, Err(StoreError::Unavailable(..))));
        let failure = Store::open(&store.to_string(), &[]).await.expect_err("not mounted");
        assert!(failure.code == Code::TryAgain && failure.to_string().contains("touch "), "{failure}");
    }
}

#[tokio::test]
async fn a_folder_that_hangs_is_unavailable_in_time() {
    let (folder, store) = store().await;
    // Reading it waits for whoever writes into it.
    let pipe = folder.path().join("one");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let ask = || async { store.get("one").await.expect_err("nothing to read").to_string() };
    // More than may hang at a time.
    let told = tokio::join!(ask(), ask(), ask(), ask(), ask(), ask());
    for failure in [told.0, told.5] {
        assert!(failure.contains("no answer within 6 s"), "{failure}");
    }
    // Lets them go, and the test end.
    drop(std::fs::OpenOptions::new().read(true).write(true).open(&pipe).expect("opens"));
}

#[tokio::test]
async fn what_is_no_store_has_words() {
    for url in ["", "/a/folder", "file://a/folder", "ftp://a/b", "memory:///"] {
        let failure = Store::open(url, &[]).await.expect_err("no store").to_string();
        assert!(failure.contains("file:///FOLDER"), "{url}: {failure}");
    }
}

#[cfg(not(feature = "store"))]
#[tokio::test]
async fn a_broker_without_object_stores_names_the_build_that_has_them() {
    let failure = Store::open("s3://managers/prod", &[]).await.expect_err("no store").to_string();
    assert!(failure.contains("--features store"), "{failure}");
}

#[cfg(feature = "store")]
#[tokio::test]
async fn an_object_stores_options_are_its_own_and_no_secrets() {
    let open = async |url: &str, key: &str| Store::open(url, &[(key.to_owned(), "x".to_owned())]).await.map(drop);
    for (url, key) in [
        ("s3://b/p", "region"),
        ("s3://b/p", "web_identity_token_file"),
        ("s3://b/p", "allow_http"),
        ("s3://b/p", "server_side_encryption"),
        ("az://c/p", "account_name"),
        ("gs://b/p", "application_credentials"),
    ] {
        let opened = open(url, key).await.err().map(|failure| failure.to_string());
        assert!(opened.as_ref().is_none_or(|told| !told.contains("--store-option")), "{url} {key}: {opened:?}");
    }
    for (url, key, told) in [
        ("s3://b/p", "secret_access_key", "AWS_SECRET_ACCESS_KEY"),
        ("s3://b/p", "aws_session_token", "environment"),
        ("az://c/p", "account_key", "environment"),
        ("gs://b/p", "service_account_key", "environment"),
        ("s3://b/p", "sse_customer_key_base64", "environment"),
        ("s3://b/p", "proxy_url", "environment"),
        ("az://c/p", "access_key", "environment"),
        ("az://c/p", "master_key", "environment"),
        ("az://c/p", "azure_storage_access_key", "environment"),
        ("az://c/p", "encryption_key", "environment"),
        ("az://c/p", "sas_key", "environment"),
        ("gs://b/p", "bearer_token", "environment"),
        ("s3://b/p", "regoin", "no such option"),
        ("s3://user:word@b/p", "region", "without user"),
        ("s3://b/p?x=y", "region", "without user"),
    ] {
        let failure = open(url, key).await.expect_err(key).to_string();
        assert!(failure.contains(told), "{url} {key}: {failure}");
    }
}

#[tokio::test]
async fn a_lock_is_one_holders_and_ends_when_the_swarm_is_made() {
    let (_folder, store) = store().await;
    let cluster = ClusterId::random();
    let (mut one, mut other) = (Watch::new(), Watch::new());
    let Ok(Taken::Ours(mut lock)) = one.take(&store, &cluster, 1).await else { panic!("nobody has it") };
    assert!(matches!(other.take(&store, &cluster, 2).await, Ok(Taken::Held(1))));
    assert!(lock.still_ours().await.expect("an answer"));
    let swarm = "k9vqn1p0r3a8j2m4x6t5b7c1d".parse().expect("an id");
    assert_eq!(Lock::formed(&store, &cluster).await.expect("reads"), None);
    assert!(lock.set_formed(&swarm).await.expect("an answer"));
    assert!(matches!(other.take(&store, &cluster, 3).await, Ok(Taken::Formed)));
    assert_eq!(Lock::formed(&store, &cluster).await.expect("reads"), Some(swarm));
    // Another cluster with the same place is told, and takes nothing.
    assert!(matches!(other.take(&store, &ClusterId::random(), 4).await, Err(StoreError::Bad { .. })));
}

#[tokio::test]
async fn a_lock_that_another_one_changed_is_lost() {
    let (folder, store) = store().await;
    let cluster = ClusterId::random();
    let Ok(Taken::Ours(mut lock)) = Watch::new().take(&store, &cluster, 1).await else { panic!("nobody has it") };
    std::fs::remove_file(folder.path().join("formation-lock")).expect("removed");
    let Ok(Taken::Ours(mut others)) = Watch::new().take(&store, &cluster, 2).await else { panic!("nobody has it") };
    assert!(!lock.still_ours().await.expect("an answer"));
    assert!(lock.during(std::future::pending::<()>()).await.is_none(), "what it covers ends");
    assert!(others.still_ours().await.expect("an answer"));
}
