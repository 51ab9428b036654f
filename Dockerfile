# syntax=docker/dockerfile:1
FROM rust:1.95-slim AS build
# ring compiles a little C.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
# The caches make a second build fast and are not part of the image, so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    SQLX_OFFLINE=true cargo build --release --locked && cp target/release/zephr-sync /zephr-sync

FROM debian:trixie-slim
# Certificates for the API and for Postgres. No Postgres server: in a container DATABASE_URL names one.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/zephr-sync zephr-sync
COPY --from=build /zephr-sync /usr/local/bin/zephr-sync
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/zephr-sync/
USER zephr-sync
# zephr-sync.toml, jobs/ and inbox/ are looked for here.
WORKDIR /var/lib/zephr-sync
ENV ZEPHR_SYNC_LOG_FORMAT=json
ENTRYPOINT ["zephr-sync"]
CMD ["--help"]
