use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use super::*;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("refrain-local-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn store(&self) -> LocalStore {
        LocalStore::open(&self.0, true).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn create() -> PutOptions {
    PutMode::Create.into()
}

#[tokio::test]
async fn a_name_is_given_once() {
    let scratch = Scratch::new("once");
    let store = scratch.store();
    let path = Path::from("input/1.arrow");
    store.put_opts(&path, "first".into(), create()).await.unwrap();
    let error = store.put_opts(&path, "second".into(), create()).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "first");
    store.put(&path, "third".into()).await.unwrap();
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "third");
    assert_eq!(fs::read_dir(scratch.0.join("input")).unwrap().count(), 1, "no staging file is left");
}

#[tokio::test]
async fn of_many_at_once_one_wins() {
    let scratch = Scratch::new("many");
    let stores = [scratch.store(), scratch.store()];
    let path = Path::from("manifest/1.json");
    let puts = (0..20).map(|i| stores[i % 2].put_opts(&path, i.to_string().into_bytes().into(), create()));
    let results = futures::future::join_all(puts).await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1);
    let winner = results.iter().position(Result::is_ok).unwrap();
    assert_eq!(store_bytes(&stores[0], &path).await, winner.to_string());
}

async fn store_bytes(store: &LocalStore, path: &Path) -> String {
    String::from_utf8(store.get(path).await.unwrap().bytes().await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn staging_files_are_not_listed_and_can_be_swept() {
    let scratch = Scratch::new("staging");
    let store = scratch.store();
    store.put(&Path::from("segment/a.arrow"), "a".into()).await.unwrap();
    fs::write(scratch.0.join("segment/b.arrow#17"), "torn").unwrap();
    let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
    assert_eq!(listed.into_iter().map(|m| m.location).collect::<Vec<_>>(), [Path::from("segment/a.arrow")]);
    assert_eq!(sweep_staging(&scratch.0, &["segment", "no such folder"]).unwrap(), 1);
    assert_eq!(fs::read_dir(scratch.0.join("segment")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_directory_that_vanished_is_an_error() {
    let scratch = Scratch::new("vanished");
    let store = scratch.store();
    fs::remove_dir_all(&scratch.0).unwrap();
    fs::write(&scratch.0, "a file").unwrap();
    store.put_opts(&Path::from("input/1.arrow"), "x".into(), create()).await.unwrap_err();
    fs::remove_file(&scratch.0).unwrap();
}

#[tokio::test]
async fn what_would_not_be_durable_is_refused() {
    let scratch = Scratch::new("refused");
    let store = scratch.store();
    let (a, b) = (Path::from("a"), Path::from("b"));
    store.put(&a, "a".into()).await.unwrap();
    assert!(matches!(store.copy(&a, &b).await, Err(Error::NotSupported { .. })));
    assert!(matches!(store.put_multipart(&a).await, Err(Error::NotSupported { .. })));
}
