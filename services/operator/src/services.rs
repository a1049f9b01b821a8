//! The services of the suite, and what each is called elsewhere.

/// The services, in the order in which they are started.
pub const SERVICES: [&str; 4] = ["quota", "tenant", "lead", "campaign"];

/// PostgreSQL's login of a service.
pub fn login_of(service: &str) -> String {
    format!("onekeel_{service}")
}

/// The environment variable that sets the password of a service's login.
pub fn password_variable(service: &str) -> String {
    format!("ONEKEEL_{}_PASSWORD", service.to_uppercase())
}
