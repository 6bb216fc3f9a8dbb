# The API as an image: one program, the libraries it is linked with, certification authorities, a user; no distribution.
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
COPY --from=files /todo-api /
# An image that was given no configuration refuses to start, instead of keeping its data in itself.
ENV TODO_ENVIRONMENT=production
USER 65532:65532
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["/usr/local/bin/todo-api", "health"]
ENTRYPOINT ["/usr/local/bin/todo-api"]
CMD ["run"]
ARG VERSION=
ARG TODO_BUILD_COMMIT=
LABEL org.opencontainers.image.title="todo-api" \
      org.opencontainers.image.description="The API of the todo platform" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$TODO_BUILD_COMMIT"
