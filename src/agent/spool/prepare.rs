//! A directory that a group may write in: what comes before an agent that is not root, where somebody
//! who is made the directory.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

/// The owner and the group, nobody else.
const MODE: u32 = 0o770;

/// Gives the directory to a group. Its owner may do that without any capability, where the group is
/// one of his own.
///
/// # Errors
/// A sentence that names the directory.
pub fn prepare_spool(dir: &Path, group: u32) -> Result<(), String> {
    let failed = |what: &str, e: std::io::Error| format!("--dir {}: it can't be {what}: {e}", dir.display());
    let is = fs::metadata(dir).map_err(|e| failed("looked at", e))?;
    if !is.is_dir() {
        return Err(format!("--dir {}: it is not a directory", dir.display()));
    }
    if is.gid() != group {
        chown(dir, None, Some(group)).map_err(|e| failed("given to its group", e))?;
    }
    if is.mode() & 0o777 != MODE {
        fs::set_permissions(dir, Permissions::from_mode(MODE))
            .map_err(|e| failed("opened to its group", e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_may_write_and_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        let own = fs::metadata(&path).unwrap().gid();
        for _ in 0..2 {
            prepare_spool(&path, own).unwrap();
            let is = fs::metadata(&path).unwrap();
            assert_eq!((is.gid(), is.mode() & 0o7777), (own, 0o770));
        }
    }

    #[test]
    fn what_is_no_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool");
        let missing = prepare_spool(&path, 1).unwrap_err();
        fs::write(&path, "").unwrap();
        let file = prepare_spool(&path, 1).unwrap_err();
        for error in [missing, file] {
            assert!(error.starts_with(&format!("--dir {}: ", path.display())), "{error}");
        }
    }
}
