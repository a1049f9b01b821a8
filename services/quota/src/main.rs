//! The quota server.
fn main() -> std::process::ExitCode {
    onekeel_server::main("quota", onekeel_quota::routes)
}
