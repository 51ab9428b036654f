# syntax=docker/dockerfile:1
# scripts/image-steps does the same without a container engine.
# Both stages are of one Debian, so that the binary meets the libc it was linked with.
FROM rust:1.95.0-slim-trixie AS build
# ring compiles a little C. The versions are the suite's: a pinned one is gone after its next fix.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
# There is no git in here. For `zephr-sync --version --json`: --build-arg COMMIT="$(git rev-parse HEAD)"
ARG COMMIT=""
# The caches make a second build fast and are not part of the image, so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    BUILD_COMMIT="$COMMIT" cargo build --release --locked && cp target/release/zephr-sync /zephr-sync && strip /zephr-sync

FROM debian:trixie-slim
ARG COMMIT=""
LABEL org.opencontainers.image.title="zephr-sync" \
      org.opencontainers.image.description="Keeps a Postgres copy of a Zephr tenant that analysts can trust" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.revision="$COMMIT"
# Certificates for the API and for Postgres. No Postgres server: in a container DATABASE_URL names one.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --create-home --home-dir /var/lib/zephr-sync zephr-sync
COPY --from=build /zephr-sync /usr/local/bin/zephr-sync
COPY deploy/healthcheck /usr/local/bin/zephr-sync-healthcheck
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/zephr-sync/
# By number, so that Kubernetes sees that it is not root.
USER 10001:10001
# zephr-sync.toml, jobs/ and inbox/ are looked for here.
WORKDIR /var/lib/zephr-sync
ENV ZEPHR_SYNC_LOG_FORMAT=json
# Of the daemon. A command that runs once has nobody to ask; start it with --no-healthcheck.
HEALTHCHECK --interval=30s --timeout=5s --start-period=2m CMD ["zephr-sync-healthcheck"]
ENTRYPOINT ["zephr-sync"]
CMD ["daemon"]
