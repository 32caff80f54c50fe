# `docker build .`, or `make image`, which makes the last stage alone: around a binary that cargo has built, by buildah.
FROM rust:1.95-bookworm AS build
# The image has the toolchain; its file would fetch components that a build does not need.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --profile dist --locked --package shopify-token-operator --bin shopify-token-operator \
    && deploy/weigh target/dist/shopify-token-operator \
    && deploy/image/rootfs target/dist/shopify-token-operator /rootfs

FROM scratch AS rootfs
COPY --from=build /rootfs /

FROM scratch
ARG VERSION=0.1.0
ARG REVISION
LABEL org.opencontainers.image.title="shopify-token-operator" \
      org.opencontainers.image.description="Kubernetes operator for the life of Shopify credentials" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=rootfs / /
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/usr/local/bin/shopify-token-operator"]
CMD ["run"]
