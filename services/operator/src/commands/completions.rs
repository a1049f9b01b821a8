//! `onekeel completions`
use clap::{Args, Command};
use clap_complete::Shell;

/// Prints the completions of this command for a shell.
#[derive(Args)]
#[command(after_help = "Examples:
  onekeel completions bash > ~/.local/share/bash-completion/completions/onekeel
  onekeel completions zsh > ~/.zfunc/_onekeel
  onekeel completions fish > ~/.config/fish/completions/onekeel.fish")]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub fn run(&self, mut onekeel: Command) {
        clap_complete::generate(self.shell, &mut onekeel, "onekeel", &mut std::io::stdout());
    }
}
