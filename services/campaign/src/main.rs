//! The campaign server.
fn main() -> std::process::ExitCode {
    onekeel_server::main("campaign", onekeel_campaign::routes)
}
