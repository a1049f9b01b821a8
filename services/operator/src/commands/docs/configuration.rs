//! Every setting, from the same structs that read them.
use std::fmt::Write;

use clap::{Arg, Command, CommandFactory};
use onekeel_operator::{SERVICES, password_variable};
use onekeel_server::Config;

const HEAD: &str = "# Configuration

Made from the code by `cargo onekeel docs`; changes to this page are lost.

Each setting is a flag and an environment variable; the flag wins. A secret is shown by no command and in no log, and is
better read from the file that the setting with `_FILE` names: a process list shows flags. An unknown flag or a value
that breaks its rule ends the process with exit code 2, a setting that is missing or wrong otherwise with 1, and the
error names it.

## Servers

";

pub(super) fn render(onekeel: &Command) -> anyhow::Result<String> {
    let mut page = HEAD.to_owned();
    let servers = SERVICES.map(|service| format!("`onekeel-{service}`")).join(", ");
    writeln!(
        page,
        "All servers read the same settings: {servers}. Give each its own database login, service key and certificate; \
         JWT keys, peers, the secret of page tokens and Redis are the same for all.\n"
    )?;
    table(&mut page, &Config::command(), |_| true)?;
    page.push_str("\n## The `onekeel` command\n\nOnly flags that are environment variables as well; `--help` explains the others.\n");
    for command in onekeel.get_subcommands() {
        let variable = |argument: &Arg| argument.get_env().is_some();
        if command.get_arguments().any(variable) {
            writeln!(page, "\n### `onekeel {}`\n", command.get_name())?;
            table(&mut page, command, variable)?;
        }
        if command.get_name() == "migrate" {
            passwords(&mut page)?;
        }
    }
    Ok(page)
}

fn table(page: &mut String, command: &Command, shown: impl Fn(&Arg) -> bool) -> anyhow::Result<()> {
    writeln!(
        page,
        "| variable | flag | default | secret | meaning |\n|---|---|---|---|---|"
    )?;
    let own = command
        .get_arguments()
        .filter(|argument| argument.get_id() != "help" && argument.get_id() != "version");
    for argument in own.filter(|argument| shown(argument)) {
        let code = |text: Option<String>| text.map(|text| format!("`{text}`")).unwrap_or_default();
        let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
        let flag = argument.get_long().map(|name| format!("--{name}"));
        writeln!(
            page,
            "| {} | {} | {} | {} | {} |",
            code(variable),
            code(flag),
            default(argument),
            if argument.is_hide_env_values_set() { "yes" } else { "" },
            meaning(argument)
        )?;
    }
    Ok(())
}

/// Variables without a flag: a password has no place in a process list.
fn passwords(page: &mut String) -> anyhow::Result<()> {
    for service in SERVICES {
        let variable = password_variable(service);
        writeln!(
            page,
            "| `{variable}` |  |  | yes | Password of the login `onekeel_{service}`; without one it stays as it is. |\n\
             | `{variable}_FILE` |  |  |  | File that holds {variable}. |"
        )?;
    }
    Ok(())
}

fn default(argument: &Arg) -> String {
    let values: Vec<_> = argument
        .get_default_values()
        .iter()
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    let takes_value = argument.get_action().takes_values();
    match (values.is_empty(), argument.is_required_set()) {
        (false, _) if takes_value => values.join(", "),
        (_, true) => "required".to_owned(),
        _ => String::new(),
    }
}

/// One line; a bar would end the cell.
fn meaning(argument: &Arg) -> String {
    let help = argument.get_long_help().or(argument.get_help());
    let text = help.map(ToString::to_string).unwrap_or_default();
    let line = text
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|");
    if line.ends_with('.') { line } else { format!("{line}.") }
}
