//! The lead server with an allocator that counts: whoever connects to BENCH_COUNTS is told how often it was asked so far.
use std::alloc::System;
use std::io::Write;
use std::net::TcpListener;
use std::process::ExitCode;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Answers each connection with allocations and bytes, for as long as the server lives.
fn tell(listener: &TcpListener) {
    for connection in listener.incoming() {
        let counts = COUNTING.stats();
        let told = connection.and_then(|mut connection| {
            let grown = counts.allocations + counts.reallocations;
            writeln!(connection, "{grown} {}", counts.bytes_allocated)
        });
        if let Err(error) = told {
            eprintln!("somebody who asked for counts went away: {error}");
        }
    }
}

fn main() -> ExitCode {
    let address = std::env::var("BENCH_COUNTS").unwrap_or_default();
    let listener = match TcpListener::bind(&address) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("BENCH_COUNTS={address}: {error}");
            return ExitCode::FAILURE;
        }
    };
    std::thread::spawn(move || tell(&listener));
    onekeel_server::main("lead", onekeel_lead::routes)
}
