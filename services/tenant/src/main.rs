//! The tenant server.
fn main() -> std::process::ExitCode {
    onekeel_server::main("tenant", onekeel_tenant::routes)
}
