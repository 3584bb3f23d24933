//! What is written of the command line itself: completions for shells, manual pages.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;

/// Flags of `completions`.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

impl CompletionsArgs {
    /// The script that the shell reads.
    pub fn script(&self) -> Vec<u8> {
        let mut script = Vec::new();
        let mut command = Cli::command();
        let name = command.get_name().to_owned();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        script
    }
}

/// Flags of `man`.
#[derive(Args, Clone, Debug)]
pub struct ManArgs {
    /// Folder that the pages are written into; it is made where it is missing.
    pub dir: PathBuf,
}

impl ManArgs {
    /// Writes a page for the program and one for each of its subcommands.
    ///
    /// # Errors
    /// A sentence that names the folder.
    pub fn write(&self) -> Result<(), String> {
        pages(&self.dir).map_err(|e| format!("{}: {e}", self.dir.display()))
    }
}

fn pages(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Cli::command(), dir)
}

#[cfg(test)]
mod tests {
    use clap::{Command, ValueEnum};

    use super::*;

    /// Every subcommand that is shown, with its name behind those that it is below, and itself.
    fn all(command: &Command, before: &str) -> Vec<(String, Command)> {
        let name = if before.is_empty() {
            command.get_name().to_owned()
        } else {
            format!("{before}-{}", command.get_name())
        };
        let below = command.get_subcommands().filter(|c| !c.is_hide_set()).flat_map(|c| all(c, &name));
        let mut found: Vec<_> = below.collect();
        found.push((name, command.clone()));
        found
    }

    fn flags(command: &Command) -> Vec<String> {
        let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
        shown.filter_map(|arg| Some(arg.get_long()?.to_owned())).collect()
    }

    #[test]
    fn there_is_a_page_for_every_subcommand_with_every_flag() {
        let dir = tempfile::tempdir().unwrap();
        ManArgs { dir: dir.path().join("man1") }.write().unwrap();
        let commands = all(&Cli::command(), "");
        assert!(commands.len() > 10);
        for (name, command) in commands {
            let page = std::fs::read_to_string(dir.path().join(format!("man1/{name}.1"))).unwrap();
            let page = page.replace("\\-", "-");
            for flag in flags(&command) {
                assert!(page.contains(&format!("--{flag}")), "{name}.1 lacks --{flag}");
            }
        }
    }

    #[test]
    fn completions_know_every_subcommand_and_flag() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(CompletionsArgs { shell: *shell }.script()).unwrap();
            for (name, command) in all(&Cli::command(), "") {
                assert!(script.contains(command.get_name()), "{shell} lacks {name}");
                for flag in flags(&command) {
                    assert!(script.contains(&flag), "{shell} lacks --{flag} of {name}");
                }
            }
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = ManArgs { dir: file.path().join("man1") }.write().unwrap_err();
        assert!(error.starts_with(&file.path().display().to_string()), "{error}");
    }
}
