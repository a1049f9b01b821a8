//! How the servers are linked.

fn main() {
    println!("cargo::rerun-if-changed=../../shared/server/link.rs");
    println!("cargo::rerun-if-changed=../../shared/server/seldom.ld");
    let of_target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    if of_target("OS") == "linux" && of_target("ENV") == "gnu" {
        // The loader reads all places that it has to adjust: a table of 0.77 MB, and nearly nothing when it is packed.
        // glibc 2.36 and newer can (Debian 12, Ubuntu 24.04).
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
        let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
        // An argument of the compiler and not of -Wl, which a comma in the path would divide.
        println!("cargo::rustc-link-arg-bins=-T{package}/../../shared/server/seldom.ld");
    }
}
