use super::*;

fn files(limit: u64) -> (tempfile::TempDir, TemporaryFiles) {
    let folder = tempfile::tempdir().unwrap();
    let files = TemporaryFiles::new(folder.path().to_owned(), limit);
    (folder, files)
}

#[test]
fn what_was_put_is_there_until_it_is_dropped() {
    let (folder, files) = files(u64::MAX);
    let blocks = (0..20u8).map(|i| vec![i; 100 * usize::from(i)]).collect::<Vec<_>>();
    let put = blocks.iter().map(|bytes| files.put(bytes).unwrap()).collect::<Vec<_>>();
    for (block, spilled) in blocks.iter().zip(&put).rev() {
        assert_eq!(*block, spilled.get().unwrap());
    }
    assert_eq!(files.used.load(Ordering::Relaxed), blocks.iter().map(|b| b.len() as u64).sum::<u64>());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "they have no names");
    drop(put);
    assert_eq!(files.used.load(Ordering::Relaxed), 0);
}

#[test]
fn the_limit_counts_what_is_in_files() {
    let (_folder, files) = files(2048);
    let first = files.put(&[1; 1500]).unwrap();
    let refused = files.put(&[2; 600]).unwrap_err();
    assert_eq!(refused.to_string(), "temporary file size exceeds \"temp_file_limit\" (2kB)");
    let second = files.put(&[3; 500]).unwrap();
    drop(first);
    let third = files.put(&[4; 1500]).unwrap();
    assert_eq!((second.get().unwrap(), third.get().unwrap()), (vec![3; 500], vec![4; 1500]));
    files.set_limit(0);
    assert!(files.put(&[5]).is_err());
}

#[test]
fn what_is_mapped_is_read_in_place() {
    let (folder, files) = files(u64::MAX);
    let blocks = (0..80u8).map(|i| vec![i; 1 + usize::from(i) * 4]).collect::<Vec<_>>();
    let mut mapped = blocks.iter().map(|bytes| files.map(bytes).unwrap()).collect::<Vec<_>>();
    let bytes = blocks.iter().map(|bytes| bytes.len().next_multiple_of(8) as u64).sum::<u64>();
    assert_eq!((files.used(), std::fs::read_dir(folder.path()).unwrap().count()), (bytes, 0));
    for (bytes, mapped) in blocks.iter().zip(&mapped) {
        assert_eq!(**bytes, **mapped);
        assert!(mapped.as_ptr().cast::<u64>().is_aligned());
    }
    // A file is there as long as one of its pieces is.
    mapped.truncate(1);
    assert!(files.used() < bytes / 2);
    assert_eq!(mapped[0].as_slice(), [0]);
    drop(mapped);
    assert_eq!(files.used(), 0);
    files.set_limit(16);
    assert_eq!(files.map(&[1; 17]).unwrap_err().to_string(), "temporary file size exceeds \"temp_file_limit\" (0kB)");
}

#[test]
fn a_folder_that_is_gone_is_an_error() {
    let (folder, files) = files(u64::MAX);
    let path = folder.path().display().to_string();
    drop(folder);
    let error = files.put(&[1]).unwrap_err().to_string();
    assert!(error.starts_with(&format!("could not create temporary file in \"{path}\": ")), "{error}");
}
