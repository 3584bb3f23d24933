//! Finds PostgreSQL's programs on this machine, and a user who may run them.

use std::path::{Path, PathBuf};

/// The directory of the newest PostgreSQL found: of `$PATH`, then where distributions put it.
pub(super) fn find_postgres() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).filter(|dir| is_complete(dir)).map(real);
    in_path.chain(by_version("/usr/lib/postgresql")).chain(by_version("/usr/local/opt")).next()
}

/// `pg_ctl` in `$PATH` may be a wrapper or a link; the others lie beside the real one.
fn real(dir: PathBuf) -> PathBuf {
    let target = dir.join("postgres").canonicalize().ok();
    target.and_then(|t| t.parent().map(Path::to_owned)).filter(|d| is_complete(d)).unwrap_or(dir)
}

fn by_version(root: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let digits: String =
                entry.file_name().to_string_lossy().chars().filter(char::is_ascii_digit).collect();
            Some((digits.parse().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, dir)| is_complete(dir))
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, dir)| dir).collect()
}

fn is_complete(dir: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres"].iter().all(|program| dir.join(program).is_file())
}

/// Whether this process is root's.
pub(super) fn is_root() -> bool {
    procfs::process::Process::myself().and_then(|p| p.uid()).is_ok_and(|uid| uid == 0)
}

/// User and group ids of a user that root can hand PostgreSQL to.
pub(super) fn unprivileged_user() -> Option<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    ["postgres", "nobody"].iter().find_map(|name| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}
