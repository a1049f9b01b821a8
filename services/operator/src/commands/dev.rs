//! `onekeel dev`
use clap::Args;
use onekeel_operator::stack::{Plan, Stack};
use onekeel_operator::trace::Receiver;

use super::calls::{create_tenant, grpcurl_lines};
use super::{build_servers, on_stack, trace};

/// Starts the whole suite and keeps it up until Ctrl-C; prints addresses, tokens and grpcurl lines.
#[derive(Args)]
pub struct Dev {
    /// Plan of the tenant that is made to play with.
    #[arg(long, default_value = "basic")]
    plan: String,
    /// Creates a lead and shows its journey through the servers, from their own spans.
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
        let receiver = if self.trace {
            Some(Receiver::start().await?)
        } else {
            None
        };
        let plan = receiver.as_ref().map_or_else(Plan::default, trace::plan);
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
        for server in stack.servers() {
            println!("{:<8} {}", server.service(), server.address());
        }
        println!("logs     {}", stack.folder().display());
        println!("tenant   {} ({}, plan {})", client, tenant.slug, tenant.plan);
        println!("\n{}", grpcurl_lines(stack, client)?);
        println!("\nCtrl-C ends it.");
        tokio::signal::ctrl_c().await?;
        eprintln!("ending");
        Ok(())
    }
}
