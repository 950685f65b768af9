//! Finding the files of a run.

use std::path::{Path, PathBuf};

use crate::Failure;

/// The `.slt` files at and under these paths, sorted; a file that is named is taken whatever its extension.
///
/// # Errors
/// When a path does not exist or nothing is found: a run of nothing is not green.
pub(crate) fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            walk(path, &mut files)?;
        } else if path.is_file() {
            files.push(path.clone());
        } else {
            return Err(Failure::new(format!("{}: no such file or directory", path.display())));
        }
    }
    if files.is_empty() {
        return Err(Failure::new("there are no .slt files under the given paths"));
    }
    files.sort();
    files.dedup();
    Ok(files)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let unreadable = |error| Failure::new(format!("{}: {error}", folder.display()));
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "slt") {
            files.push(path);
        }
    }
    Ok(())
}
