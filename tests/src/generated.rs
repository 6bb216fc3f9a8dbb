//! Files that are made from others, so that they cannot say something else: `make generate` writes them, a test compares.

use todo_shared::{
    config::{Tier, reference},
    environment::Environment,
};

/// Both tiers' compiled-in files.
pub const TIERS: [Tier; 2] = [
    Tier {
        name: "api",
        defaults: include_str!("../../config/api.toml"),
        overlays: [
            include_str!("../../config/development/api.toml"),
            include_str!("../../config/staging/api.toml"),
            include_str!("../../config/production/api.toml"),
        ],
    },
    Tier {
        name: "gateway",
        defaults: include_str!("../../config/gateway.toml"),
        overlays: [
            include_str!("../../config/development/gateway.toml"),
            include_str!("../../config/staging/gateway.toml"),
            include_str!("../../config/production/gateway.toml"),
        ],
    },
];

/// Every generated file: its path in the project, and what must stand in it.
pub fn files() -> [(&'static str, String); 3] {
    [
        (".env.example", env_file(Environment::Development)),
        ("config/staging/.env.example", env_file(Environment::Staging)),
        ("config/production/.env.example", env_file(Environment::Production)),
    ]
}

fn env_file(environment: Environment) -> String {
    let mut text = format!(
        "# Environment variables of both tiers in {environment}. Made by `make generate` from config/*.toml.\n\
         # A secret is better kept in a file: <NAME>_FILE names one and wins over <NAME>.\n\n\
         TODO_ENVIRONMENT={environment}\n"
    );
    for tier in &TIERS {
        text += "\n### ";
        text += tier.name;
        text += "\n\n";
        text += &reference::env_example(tier, environment);
    }
    text
}
