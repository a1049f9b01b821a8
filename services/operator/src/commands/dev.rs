//! `onekeel dev`
use clap::Args;
use onekeel_operator::stack::{Plan, Stack};
use onekeel_operator::trace::Receiver;

use super::build::build_servers;
use super::calls::{create_tenant, grpcurl_lines};
use super::{on_stack, trace};

/// Starts the whole suite and keeps it up until Ctrl-C; prints addresses, tokens and grpcurl lines.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo onekeel dev                        plain text, a tenant on the basic plan
  cargo onekeel dev --tls                  TLS with an authority of this run; the lines use grpcurl -cacert
  cargo onekeel dev --plan enterprise
  cargo onekeel dev --trace --once         the journey of one CreateLead as a tree of spans, and nothing else

PostgreSQL and Redis are private ones, or those at DATABASE_URL and REDIS_URL. Ctrl-C ends everything and leaves nothing.")]
pub struct Dev {
    /// Plan of the tenant that is made to play with: basic, professional, enterprise, or one of yours.
    #[arg(long, default_value = "basic")]
    plan: String,
    /// Lets the servers speak TLS, with callers and with one another.
    #[arg(long)]
    tls: bool,
    /// Creates a lead first and shows its journey through the servers, from their own spans.
    #[arg(long)]
    trace: bool,
    /// Ends after the journey was shown.
    #[arg(long, requires = "trace")]
    once: bool,
}

impl Dev {
    pub async fn run(self) -> anyhow::Result<()> {
        eprintln!("building the servers");
        build_servers().await?;
        let mut plan = Plan::default();
        if self.tls {
            plan = plan.with_tls();
        }
        let receiver = if self.trace {
            Some(Receiver::start().await?)
        } else {
            None
        };
        if let Some(receiver) = &receiver {
            plan = trace::traced(plan, receiver);
        }
        on_stack(&plan, async |stack: &Stack| self.play(stack, receiver.as_ref()).await).await
    }

    async fn play(&self, stack: &Stack, receiver: Option<&Receiver>) -> anyhow::Result<()> {
        let (client, tenant) = create_tenant(stack, "Playground", "playground", &self.plan).await?;
        if let Some(receiver) = receiver {
            trace::show(stack, receiver, client).await?;
        }
        if self.once {
            return Ok(());
        }
        let transport = if self.tls { "by TLS" } else { "in plain text" };
        println!("\nOneKeel is up, {transport}\n");
        for server in stack.servers() {
            println!("  {:<10} {}", server.service(), server.address());
        }
        println!("  {:<10} {client} (a tenant on the plan {})", tenant.slug, tenant.plan);
        println!("  {:<10} {}", "logs", stack.folder().display());
        if let Some(certificates) = &stack.certificates {
            println!("  {:<10} {}", "trust", certificates.trusted().display());
        }
        println!("\nto copy into another terminal:");
        println!("\n{}", grpcurl_lines(stack, client)?);
        println!("\nCtrl-C ends it.");
        tokio::signal::ctrl_c().await?;
        eprintln!("ending");
        Ok(())
    }
}
