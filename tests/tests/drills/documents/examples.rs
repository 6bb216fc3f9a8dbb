//! Documents with one mistake each, and the line and the words with which it has to be seen; some without any.

/// Mistakes that are seen by reading.
pub(super) const READ: [(&str, &str); 36] = [
    (
        "Nothing is wrong with `make test`, `[server] listen`, `deploy/bin/stack up` and [this](architecture.md#configuration).",
        "",
    ),
    ("## Twice\n\n## Twice\n\n[first](#twice), [second](#twice-1)", ""),
    ("## It's `code`, and more\n\n[to it](#its-code-and-more) and [to a folder](decisions)", ""),
    ("[elsewhere](https://example.org/nowhere)", ""),
    ("one\n\n[two](nowhere.md)", "3: the link to nowhere.md leads to nothing"),
    ("![a picture](nowhere.png)", "1: the link to nowhere.png leads to nothing"),
    ("[out](../../outside.md)", "1: the link to ../../outside.md leads to nothing"),
    ("[ignored](../target/debug/todo-api)", "1: the link to ../target/debug/todo-api leads to nothing"),
    ("[part](architecture.md#nowhere)", "1: docs/architecture.md has no heading for"),
    ("[part](#nowhere)", "1: docs/example.md has no heading for"),
    ("[part](../Makefile#nowhere)", "1: Makefile has no heading for"),
    ("`VERSION=1.2.3 make nothing`", "1: there is no `make nothing`"),
    ("`make test HTTPS_PORT=1 # this`", ""),
    ("`deploy/bin/nothing --help`", "1: there is no deploy/bin/nothing"),
    ("`deploy/bin/deploy --nowhere 1.0.0`", "1: deploy/bin/deploy has no option --nowhere"),
    ("`deploy/bin/deploy --target stack 1.0.0 | tail --lines 1`", ""),
    ("`docs/<name>.txt`", "1: there is no docs/<name>.txt"),
    ("`config/{api,gateway}.toml`, `docs/decisions/*.md`, `api/src/{app,cli}`, `config/<tier>.toml`", ""),
    ("`config/{api,nothing}.toml`", "1: there is no config/{api,nothing}.toml"),
    ("`NOTHING.md`", "1: there is no document NOTHING.md"),
    ("`todo-api dance`", "1: todo-api has no command dance"),
    ("`todo-api rotate-keys`, `todo-gateway check --config FILE`", ""),
    ("`TODO_API__SERVER__LISTN`", "1: nothing reads a variable TODO_API__SERVER__LISTN"),
    ("`TODO_API__DATABASE__URL_FILE=/run/x`, `TODO_GATEWAY__UPSTREAMS__API__ADDRESSES`", ""),
    ("`STACK_NOTHING`", "1: nothing reads a variable STACK_NOTHING"),
    ("`[server] listn = 1`", "1: there is no configuration key server.listn"),
    ("`server.listn`", "1: there is no configuration key server.listn"),
    ("`api.replicaz`", "1: there is no configuration key api.replicaz"),
    ("`api.replicas`, `[[tls.certificates]]`, `upstreams.api`, `server.rs`, `1.2.3`", ""),
    ("`todo_api_nothing_total{code=\"x\"}`", "1: there is no metric todo_api_nothing_total"),
    ("text\n\n```sh\ntrue\n```", "3: the block of commands has no marker"),
    ("<!-- executed -->\n```sh\ntrue\nmake nothing\n```", "4: there is no `make nothing`"),
    ("```bash\ntrue\n```", "1: a block of commands is written as `sh`"),
    ("<!-- executed: says x -->\n\ntext", "1: the marker cannot be read"),
    ("<!-- not executed: -->\n\ntext", "1: the marker cannot be read"),
    ("<!-- executed -->\n\ntext\n\n```text\n```", "1: the marker has no block"),
];

/// Mistakes that are seen by running.
pub(super) const RUN: [(&str, &str); 8] = [
    ("<!-- executed: prints \"it\" and 'said \"this\"' -->\n```sh\necho 'it said \"this\"'\n```", ""),
    ("<!-- executed -->\n```sh\nname=value\n```\n<!-- executed: prints \"value\" -->\n```sh\necho \"$name\"\n```", ""),
    (
        "<!-- drill:\nname=hidden\n-->\n<!-- executed, fails: prints \"hidden\" -->\n```sh\necho \"$name\"; false\n```",
        "",
    ),
    ("<!-- not executed: it fails -->\n```sh\nfalse\n```", ""),
    ("<!-- executed -->\n```sh\nfalse\ntrue\n```", "2: it failed with exit code 1"),
    ("<!-- executed: prints \"this\" -->\n```sh\necho that\n```", "2: it does not say this"),
    ("<!-- executed, fails -->\n```sh\ntrue\n```", "2: it succeeded, and should not"),
    ("text\n\n<!-- executed -->\n```sh\ntail --follow /dev/null\n```", "4: it did not end in time"),
];
