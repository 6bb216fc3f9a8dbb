# The gateway as an image: one program, the libraries it is linked with, certification authorities, a user; no distribution.
#
# Up to the last stage both tiers' files are the same (deploy/bin/check-images holds them to it): what the first of the two
# builds has compiled, the second finds in the cache.

# What the dependencies follow from, and nothing else of the workspace.
FROM debian:bookworm-slim AS manifests
WORKDIR /workspace
COPY . .
RUN deploy/docker/only-manifests

# The dependencies, in a layer that changes with the manifests and Cargo.lock only. Our own crates are empty here; what was
# made of them is forgotten, for cargo goes by dates, and the files that replace them may be older.
FROM rust:1.95-slim-bookworm AS dependencies
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends cmake make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /workspace
COPY --from=manifests /workspace .
RUN cargo build --locked --workspace --exclude todo-tests --profile dist \
    && rm -rf target/dist/.fingerprint/todo-*

FROM dependencies AS build
COPY . .
ARG TODO_BUILD_COMMIT=
RUN cargo build --locked --offline --workspace --exclude todo-tests --profile dist \
    && mkdir /programs \
    && cp target/dist/todo-api target/dist/todo-gateway /programs/

FROM rust:1.95-slim-bookworm AS files
COPY deploy/docker/assemble /usr/local/bin/
COPY --from=build /programs /programs
RUN assemble / /programs/*

FROM scratch
COPY --from=files /todo-gateway /
# A user without privileges listens on high ports: whoever publishes them maps 443 and 80 to these, and redirects name 443.
# The configuration is a file, because certificates cannot be named in variables; run and health must read the same one.
ENV TODO_ENVIRONMENT=production \
    TODO_GATEWAY__LISTEN__HTTPS=0.0.0.0:8443 \
    TODO_GATEWAY__LISTEN__HTTP=0.0.0.0:8080 \
    TODO_GATEWAY__LISTEN__REDIRECT_PORT=443
USER 65532:65532
EXPOSE 8443 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["/usr/local/bin/todo-gateway", "health", "--config", "/etc/todo/gateway.toml"]
ENTRYPOINT ["/usr/local/bin/todo-gateway"]
CMD ["run", "--config", "/etc/todo/gateway.toml"]
ARG VERSION=
ARG TODO_BUILD_COMMIT=
LABEL org.opencontainers.image.title="todo-gateway" \
      org.opencontainers.image.description="The edge of the todo platform" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$TODO_BUILD_COMMIT"
