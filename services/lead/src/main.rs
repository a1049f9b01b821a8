//! The lead server.
fn main() -> std::process::ExitCode {
    onekeel_server::main("lead", onekeel_lead::routes)
}
