//! The command line: `serve` runs the control plane, everything else talks to it over the wire.

mod alerts;
mod audit;
mod client;
mod commands;
mod documents;
mod output;
mod rag;

use crate::server;
use crate::tokens::Role;
use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// The wall between the tenants of a shared LLM platform.
#[derive(Parser)]
#[command(name = "partywall", version, about, max_term_width = 120)]
pub struct Cli {
    /// The control plane's address.
    #[arg(long, global = true, env = "PARTYWALL_URL", default_value = "http://127.0.0.1:8700")]
    url: String,
    /// A token of it; without one, `admin.token` in the data directory.
    #[arg(long, global = true, env = "PARTYWALL_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The data directory to find `admin.token` in.
    #[arg(long = "data-dir", global = true, env = "PARTYWALL_DATA", default_value = "partywall-data")]
    data_dir: PathBuf,
    /// Prints JSON for machines.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the control plane.
    Serve(#[command(flatten)] server::Config),
    /// The control plane at a glance.
    Status,
    /// Prints the key that filters pin (`control_plane.public_keys`).
    PublicKey,
    /// Policy files.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Tenants.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Fingerprints.
    #[command(subcommand)]
    Fingerprint(FingerprintCommand),
    /// Documents of tenants, whose phrases are fingerprints.
    #[command(subcommand)]
    Document(documents::DocumentCommand),
    /// Common language: what is no phrase of anybody.
    #[command(subcommand)]
    Common(documents::CommonCommand),
    /// Decision records.
    #[command(subcommand)]
    Events(EventsCommand),
    /// Proxies' workers and the revision that each runs.
    Sidecars,
    /// Tokens of this control plane.
    #[command(subcommand)]
    Token(TokenCommand),
    /// What each kind of surface allows, rewrites, verifies and refuses.
    Surfaces {
        /// Only this kind, e.g. `chroma`.
        kind: Option<String>,
    },
    /// Whose results retrievals brought, by surface and tenant.
    Namespaces {
        /// Only this tenant's retrievals.
        #[arg(long)]
        tenant: Option<String>,
        /// Of the last so many hours.
        #[arg(long, default_value_t = 24)]
        hours: u64,
    },
    /// Recent alerts, newest first; who is told of them; a test.
    Alerts(#[command(flatten)] alerts::Alerts),
    /// Stamps a tenant's marker on records that were in a database before Partywall.
    Adopt(#[command(flatten)] AdoptArguments),
    /// Isolation audits: canaries of each tenant, looked for from every other one.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Receipts of offboarded tenants.
    #[command(subcommand)]
    Receipt(ReceiptCommand),
    /// Shell completions.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(clap::Args)]
struct AdoptArguments {
    /// Whose the records become.
    #[arg(long)]
    tenant: String,
    /// The surface.
    #[arg(long)]
    surface: String,
    /// The collection, by the clients' name.
    #[arg(long)]
    collection: String,
    /// Where the records are now, by the database's name; without it, where the tenant's are.
    #[arg(long)]
    from: Option<String>,
    /// The database's own filter (JSON, or text where its language is text), where not all unmarked records are the tenant's.
    #[arg(long)]
    filter: Option<String>,
    /// Only count.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Runs one now, and shows its report. Fails unless it passed.
    Run,
    /// Lists all audits, latest first.
    List,
    /// Shows a report.
    Show {
        /// The audit's id.
        id: String,
        /// Writes it into this file as a page.
        #[arg(long)]
        html: Option<PathBuf>,
    },
    /// Checks a report's signature, without a control plane.
    Verify {
        /// The file, as `audit show --json` prints it.
        file: PathBuf,
        /// The control plane's key: `partywall public-key`.
        #[arg(long)]
        public_key: String,
    },
}

#[derive(Subcommand)]
enum ReceiptCommand {
    /// Prints the receipt of a tenant.
    Show {
        /// The tenant's identifier.
        id: String,
    },
    /// Checks a receipt's signature, without a control plane.
    Verify {
        /// The file, as `receipt show --json` prints it.
        file: PathBuf,
        /// The control plane's key: `partywall public-key`.
        #[arg(long)]
        public_key: String,
    },
}

#[derive(Subcommand)]
enum PolicyCommand {
    /// Checks a file, without a control plane: like a compiler, with line and column.
    Check {
        /// The file; `-` for standard input.
        file: PathBuf,
    },
    /// Applies a file.
    Apply {
        /// The file; `-` for standard input.
        file: PathBuf,
        /// Even where a tenant's records would be left behind in its old place, or changes in a shared fingerprint store that is away.
        #[arg(long)]
        force: bool,
    },
    /// Prints the policy in force.
    Show,
    /// Lists what was applied when.
    History,
    /// Applies an earlier version again.
    Rollback {
        /// The version.
        version: u64,
        /// Even where a tenant's records would be left behind in its old place, or changes in a shared fingerprint store that is away.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Subcommand)]
enum TenantCommand {
    /// Onboards a tenant.
    Add {
        /// Its identifier.
        id: String,
    },
    /// Lists all tenants.
    List,
    /// Refuses a tenant's requests.
    Suspend {
        /// Its identifier.
        id: String,
    },
    /// Serves a tenant again.
    Activate {
        /// Its identifier.
        id: String,
    },
    /// Refuses all tokens issued before now.
    RevokeTokens {
        /// Its identifier.
        id: String,
    },
    /// The end of a tenant: refuses its traffic, deletes its namespace in every database, searches until nothing remains, forgets
    /// it, and prints a signed receipt. Can be repeated.
    Offboard {
        /// Its identifier.
        id: String,
        /// Only follow an offboarding that runs.
        #[arg(long)]
        watch: bool,
        /// Do not wait for the end.
        #[arg(long, conflicts_with = "watch")]
        detach: bool,
    },
    /// Forgets a tenant that owns no fingerprint.
    Remove {
        /// Its identifier.
        id: String,
    },
}

#[derive(Subcommand)]
enum FingerprintCommand {
    /// Adds a literal of a tenant.
    Add {
        /// Whose it is.
        #[arg(long)]
        tenant: String,
        /// `low`, `high` or `critical`.
        #[arg(long, default_value = "high")]
        severity: String,
        /// The literal.
        text: String,
    },
    /// Adds many: a file with one literal a line.
    Bulk {
        /// Whose they are.
        #[arg(long)]
        tenant: String,
        /// `low`, `high` or `critical`.
        #[arg(long, default_value = "high")]
        severity: String,
        /// The file; `-` for standard input.
        file: PathBuf,
    },
    /// Lists fingerprints.
    List {
        /// Only this tenant's.
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Removes a fingerprint.
    Remove {
        /// Its id.
        id: u64,
    },
    /// Why a response was cut: which fingerprints it held, whose they are, where they come from.
    Explain {
        /// The request's id, as the error and the decision have it.
        #[arg(long)]
        request_id: String,
    },
    /// Gives the phrases' segments a new key.
    RotateKey,
    /// Where fingerprints are kept.
    #[command(subcommand)]
    Store(StoreCommand),
}

#[derive(Subcommand)]
enum StoreCommand {
    /// How the store stands.
    Status,
    /// The shared store is not what it was: puts what is known here into it, joined with what it holds.
    Restore,
    /// The shared store is not what it was: takes what it holds, and gives up what only this control plane knows.
    Accept,
}

#[derive(Subcommand)]
enum EventsCommand {
    /// Lists recent decisions, newest first.
    List {
        /// Only this tenant's.
        #[arg(long)]
        tenant: Option<String>,
        /// Only with this outcome.
        #[arg(long)]
        outcome: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Prints decisions as they come.
    Tail,
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Makes a token and prints it, for the only time.
    Create {
        /// Its name.
        name: String,
        /// What it may do.
        #[arg(long)]
        role: Role,
        /// A token that a replica made, to be known here too: the file that holds it.
        #[arg(long)]
        token_file: Option<PathBuf>,
    },
    /// Lists all tokens, without themselves.
    List,
    /// Revokes a token.
    Revoke {
        /// Its name.
        name: String,
    },
}

/// Runs the command line.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match act(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("partywall: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn act(cli: Cli) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match cli.command {
        Command::Serve(config) => {
            let filter = tracing_subscriber::EnvFilter::try_from_env("PARTYWALL_LOG").unwrap_or_else(|_| "info".into());
            let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
            if config.log_json {
                log.json().init()
            } else {
                log.init()
            }
            runtime.block_on(server::serve(config)).map(|()| ExitCode::SUCCESS)
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "partywall", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::Surfaces { kind } => output::surfaces(kind.as_deref(), cli.json).map(|()| ExitCode::SUCCESS),
        Command::Audit(AuditCommand::Verify { file, public_key }) => {
            audit::verify(&file, &public_key).map(|()| ExitCode::SUCCESS)
        }
        Command::Receipt(ReceiptCommand::Verify { file, public_key }) => {
            rag::verify(&file, &public_key).map(|()| ExitCode::SUCCESS)
        }
        Command::Policy(PolicyCommand::Check { file }) => commands::check(&file, cli.json),
        command => {
            let client = client::Client::new(&cli.url, cli.token, &cli.data_dir)?;
            runtime.block_on(commands::run(&client, command, cli.json)).map(|()| ExitCode::SUCCESS)
        }
    }
}
