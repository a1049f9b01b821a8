//! `onekeel dev`
use clap::Args;
use onekeel_operator::stack::{Plan, Stack};

use super::calls::{create_tenant, grpcurl_lines};
use super::{build_servers, on_stack};

/// Starts the whole suite and keeps it up until Ctrl-C; prints addresses, tokens and grpcurl lines.
#[derive(Args)]
pub struct Dev {
    /// Plan of the tenant that is made to play with.
    #[arg(long, default_value = "basic")]
    plan: String,
}

impl Dev {
    pub async fn run(self) -> anyhow::Result<()> {
        eprintln!("building the servers");
        build_servers().await?;
        on_stack(&Plan::default(), async |stack: &Stack| self.play(stack).await).await
    }

    async fn play(&self, stack: &Stack) -> anyhow::Result<()> {
        let (client, tenant) = create_tenant(stack, "Playground", "playground", &self.plan).await?;
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
